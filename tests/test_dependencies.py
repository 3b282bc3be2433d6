"""`docs/dependencies.md` lists what requirements.txt installs, with the licenses that it has.

After a change of requirements.txt, write the page anew where they are installed:

python tests/test_dependencies.py
"""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "dependencies.md"
HEAD = """# What jreid runs on

The packages of `requirements.txt` and their licenses. Direct ones are those that jreid imports;
`data` marks what only training needs (`pip install ".[data]"`), and the others come with them.
`tests/test_dependencies.py` makes this page from what the packages say about themselves.

| package | version | license | |
|---|---|---|---|
"""
NAMES = {
    "3-Clause BSD License": "BSD",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
OF_OTHER_SYSTEMS = {"colorama": "BSD", "nest-asyncio": "BSD", "tensorflow": "Apache-2.0"}
# None of these asks anything of a program that only imports the package.
FREE = {"0BSD", "AFL-2.1", "Apache-2.0", "BSD", "CC0-1.0", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0"}
FREE |= {"Zlib", "not stated"}


def versions() -> dict[str, list[str]]:
    """The versions of each package of requirements.txt, one for each of its lines."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if match := re.match(r"([\w.-]+)==([\w.]+)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


def license(package: str) -> str:
    """What a package says; of both Python's and other systems' packages, the same words."""
    try:
        metadata = importlib.metadata.metadata(package)
    except importlib.metadata.PackageNotFoundError:
        return OF_OTHER_SYSTEMS.get(package, "not installed")
    classified = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or []
        if text.startswith("License")
    ]
    lines = (metadata.get("License") or "").strip().splitlines()
    said = metadata.get("License-Expression") or " OR ".join(
        NAMES.get(text, text) for text in classified
    )
    said = said or (lines[0].strip() if lines else "not stated")
    return re.sub(r"BSD-\d-Clause", "BSD", NAMES.get(said, said))


def directly() -> dict[str, str]:
    """The packages that pyproject.toml names, and the extra that does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {name: "direct" for name in map(_name, project["dependencies"])}
    return named | {name: "data" for name in map(_name, project["optional-dependencies"]["data"])}


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


def rows() -> dict[str, tuple[str, str, str]]:
    """The page's rows: version, license and mark of each package."""
    marks = directly()
    return {
        package: (" or ".join(found), license(package), marks.get(package, ""))
        for package, found in versions().items()
    }


@pytest.fixture(scope="module")
def page():
    lines = PAGE.read_text().partition("|---|---|---|---|\n")[2].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {package: tuple(rest) for package, *rest in cells}


def test_the_page_lists_what_is_required_with_its_license(page):
    expected = rows()
    assert page.keys() == expected.keys()
    for package, row in page.items():
        installed = expected[package][1] != "not installed"
        assert row == expected[package] if installed else row[::2] == expected[package][::2]


def test_every_license_lets_a_program_import_the_package(page):
    for package, (_, licenses, _) in page.items():
        assert {*re.split(" AND | OR ", licenses)} <= FREE, package


if __name__ == "__main__":
    table = (f"| {package} | {' | '.join(row)} |\n" for package, row in rows().items())
    PAGE.write_text(HEAD + "".join(table).replace(" |  |", " | |"))

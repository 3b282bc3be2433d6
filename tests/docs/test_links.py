"""Links and names in README.md and the documentation exist; mkdocs checks the links of docs/."""

import re

import pytest
import yaml
from helpers.doc_blocks import PAGES
from helpers.paths import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
TEST = re.compile(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`")
FILE = re.compile(r"`((?:docs|examples|configs|experiments|jreid|tests)/[\w./]+)`")
README = ROOT / "README.md"


def anchors(page):
    """The anchors of a page's headings, as mkdocs makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", h).strip().lower()) for h in headings}


def test_the_links_of_the_readme_exist():
    links = [link for link in LINK.findall(README.read_text()) if "://" not in link]
    assert len(links) > 20
    for link in links:
        path, _, anchor = link.partition("#")
        page = ROOT / path if path else README
        assert page.is_file(), link
        assert not anchor or anchor in anchors(page), link


def test_the_readme_fits_a_first_reading():
    lines = README.read_text().splitlines()
    assert len(lines) < 200
    assert any(line.startswith("![") for line in lines[:15])
    assert (ROOT / "docs" / "report.jpg").stat().st_size < 300_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_and_files_that_a_page_names_exist(page):
    content = page.read_text()
    for path, name in TEST.findall(content):
        assert (ROOT / path).is_file(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
    for path in FILE.findall(content):
        assert (ROOT / path).exists() or "NAME" in path, path


def test_pages_name_tests_and_files():
    content = "".join(page.read_text() for page in PAGES)
    assert TEST.search(content) and FILE.search(content)


def test_the_pages_load_nothing_from_the_network():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert site["theme"]["font"] is False
    assert not {"extra_javascript", "extra_css"} & {*site}

"""The Dockerfile, which is built only where docker is: what can be known without building it."""

import re
import tomllib

import pytest
from helpers.paths import ROOT, WHEEL_SOURCES


@pytest.fixture(scope="module")
def instructions():
    """Pairs of an instruction and its arguments, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(re.split(r"\s+", line.strip(), maxsplit=1)) for line in lines]


def arguments(instructions, name):
    return [rest for instruction, rest in instructions if instruction == name]


def test_the_instructions_are_dockers_and_begin_with_a_pinned_python(instructions):
    known = {"FROM", "ARG", "COPY", "RUN", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions} == known
    name, image = instructions[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = re.fullmatch(r"python:(3\.\d+)-slim", image)
    assert name == "FROM" and python
    assert f"Programming Language :: Python :: {python[1]}" in project["classifiers"]


def test_what_is_copied_is_here_and_not_ignored(instructions):
    kept = set((ROOT / ".dockerignore").read_text().replace("!", "").split())
    for copied in arguments(instructions, "COPY"):
        *sources, _ = copied.split()
        for source in sources:
            assert (ROOT / source).exists() and source in kept


def test_all_that_the_build_reads_is_copied(instructions):
    copied = " ".join(arguments(instructions, "COPY")).split()
    assert {*WHEEL_SOURCES} <= {*copied}


def test_its_parts_and_those_that_are_advised_exist(instructions):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (default,) = arguments(instructions, "ARG")
    advised = (ROOT / "README.md").read_text() + (ROOT / "Dockerfile").read_text()
    for parts in [default, *re.findall(r"--build-arg=(PARTS=[\w,]+)", advised)]:
        assert {*parts.removeprefix("PARTS=").split(",")} <= {*project["optional-dependencies"]}


def test_it_runs_jreid_as_a_user_that_is_not_root(instructions):
    assert arguments(instructions, "USER") == ["jreid"]
    after = [name for name, _ in instructions[instructions.index(("USER", "jreid")) :]]
    assert "RUN" not in after
    assert arguments(instructions, "ENTRYPOINT") == ['["jreid"]']

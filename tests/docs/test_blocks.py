"""Every command and every Python block of README.md and the documentation works.

* `jreid` commands are read by the real parser, and their configs with all fields are loaded and
  checked. Those of the verbs in `RUN` are cheap, and are run on a small untrained model as well.
* `python -m experiments...` is read by the experiment's own parser.
* `make`, `pip` and `pytest` commands name targets, parts and files that exist.
* Python blocks are run, page by page.

A block that cannot be run has `<!-- not run: REASON -->` before it.
"""

import argparse
import functools
import json
import re
import runpy
import shutil
import tomllib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.doc_blocks import BLOCK, PAGES, blocks, commands
from helpers.paths import ROOT
from helpers.untrained_run import make_run

import jreid
from jreid import config as configs
from jreid.__main__ import _parser, main
from jreid.config_flags import joined
from jreid.datasets import MODALITIES
from jreid.runs.check_config import check_config

# The verbs that are run, with the other words that a command must have. The rest trains, compiles,
# listens or needs data that nobody may pass on.
RUN = {
    "list": (),
    "config": (),
    "data": ("folder",),
    "embed": ("--images=photos",),
    "search": (),
    "evaluate": ("--allow-partial", "--compare"),
    "report": ("--rows", "comparison.html"),
    "publish": (),
}
KNOWN = {"source", "cd", "python -m venv"}  # that nothing can be wrong with
# The runs of the pages, and their seeds.
RUNS = {
    **dict.fromkeys(("agw", "quickstart", "idkl", "no_blocks", "contrastive", "a", "b", "sysu"), 0),
    **{f"{side}/seed_{seed}": seed for side in "ab" for seed in (0, 1)},
}


class ParsedError(Exception):
    """Raised in place of what an experiment does after it has read its command line."""


def command_id(value):
    return " ".join(value)[:70] if isinstance(value, list) else value.name


CASES = [
    (block, command) for block in blocks("sh") if not block.reason for command in commands(block)
]


@pytest.mark.parametrize(("block", "command"), CASES, ids=command_id)
def test_a_command_is_one_that_is_taken(block, command, monkeypatch):
    program, *arguments = command
    if program == "python" and arguments[:2] == ["-m", "jreid"]:
        program, arguments = "jreid", arguments[2:]
    if program == "jreid":
        check_jreid(arguments, monkeypatch)
    elif program == "python" and arguments[1].startswith("experiments."):
        check_experiment(arguments[1], arguments[2:], monkeypatch)
    elif program == "python" and arguments[:2] == ["-m", "pytest"]:
        paths = [word for word in arguments[2:] if word.startswith("tests")]
        assert paths and all((ROOT / path).exists() for path in paths)
    elif program == "python" and arguments[0].endswith(".py"):
        assert (ROOT / arguments[0]).is_file()
    elif program == "make":
        targets = [word for word in arguments if "=" not in word]
        phony = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {*targets} <= {*phony[0].split()}
    elif program == "pip" and arguments[0] == "install":
        check_parts(arguments[1:])
    else:
        words = " ".join(command)
        assert words.startswith((*KNOWN,)), f"{block.name}: mark it by `<!-- not run: REASON -->`"


# `jreid` in the quoted words of other programs' commands, which are not run.
QUOTED = [
    words[words.index("jreid") + 1 :]
    for block in blocks("sh")
    if "needs SLURM" in block.reason
    for command in commands(block)
    for words in (word.removeprefix("--wrap=").split() for word in command)
    if "jreid" in words[:-1]
]


@pytest.mark.parametrize("arguments", QUOTED, ids=command_id)
def test_a_quoted_command_is_one_that_is_taken(arguments, monkeypatch):
    check_jreid(arguments, monkeypatch)


def check_jreid(arguments, monkeypatch):
    if "my_reid" in " ".join(arguments):
        monkeypatch.chdir(ROOT / "examples")
        monkeypatch.syspath_prepend(str(ROOT / "examples"))
    if arguments == ["--version"]:
        return
    options, rest = _parser().parse_known_args(joined(arguments))
    overrides = [flag for flag in rest if flag.startswith(("--config.", "--noconfig."))]
    assert rest == overrides and (options.takes_config or not overrides)
    source = getattr(options, "config", None)
    if source or overrides:
        # A depth range and a seed of one's own are written as words.
        overrides = [flag.replace("(LOW,HIGH)", "(0,9)") for flag in overrides]
        check_config(configs.load(source or "agw:sysu_mm01", overrides))


def check_experiment(module, arguments, monkeypatch):
    parsed = []

    def parse(parser, given=None, namespace=None):
        parsed.append(original(parser, given, namespace))
        raise ParsedError

    original = argparse.ArgumentParser.parse_known_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse)
    monkeypatch.setattr("sys.argv", [module, *arguments])
    path = ROOT / (module.replace(".", "/") + ".py")
    with pytest.raises(ParsedError):
        runpy.run_path(str(path), run_name="__main__")
    ((options, rest),) = parsed
    assert all(flag.startswith("--config.") for flag in rest)
    if data := getattr(options, "data", None):
        name = module.removeprefix("experiments.")
        known = name if (ROOT / "configs" / f"{name}.py").is_file() else "agw"
        if isinstance(data, str):
            configs.load(f"{known}:{data}", rest)


def check_parts(arguments):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in arguments:
        match = re.fullmatch(r"(?:\.|jreid)(?:\[([\w,]+)\])?", word)
        assert match, word
        assert {*(match[1] or "data").split(",")} <= {*project["optional-dependencies"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with what the pages call by the same names: runs, a result, photos."""
    world = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    images = [f"photos/{side}/{person}/1.png" for side in MODALITIES for person in "abcd"]
    rendered = [f"data/synthetic/cam{camera}/0004/0001.jpg" for camera in (4, 6)]
    for name in [*images, "query.png", *rendered]:
        (world / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(rng.integers(0, 255, (32, 16, 3), np.uint8)).save(world / name)
    np.savez(
        world / "of_photos.npz",
        features=rng.normal(size=(8, 4)),
        identities=np.arange(8) % 4,
        cameras=np.arange(8) // 4,
        modalities=np.repeat(MODALITIES, 4),
        names=np.array(images),
    )
    shutil.copy(world / "of_photos.npz", world / "test.npz")
    features = [f"--features={world}/of_photos.npz", "--protocol=folder"]
    assert main(["evaluate", *features, f"--output={world}/mine.json"]) == 0
    run = make_run(world / "runs" / "agw")
    result = json.loads((world / "mine.json").read_text()) | {
        "method": "agw",
        "extraction": {"dtype": "float32"},
    }
    for name, seed in RUNS.items():
        folder = world / "runs" / name
        if folder != run:
            shutil.copytree(run, folder, dirs_exist_ok=True)
        (folder / "result.json").write_text(json.dumps(result | {"seed": seed}))
    return world


@pytest.fixture
def in_world(world, monkeypatch):
    """The test runs in that folder, and may use its small model, whose code is not jreid's."""
    monkeypatch.chdir(world)
    load = functools.partial(jreid.load, trust_code=True)
    monkeypatch.setattr(jreid, "load", load)
    return world


def is_run(command):
    verb = command[1] if command[0] == "jreid" else ""
    needed = RUN.get(verb)
    if needed is None or "--approximate" in command or "my_reid" in " ".join(command):
        return False
    return not needed or any(part in word for word in command[2:] for part in needed)


def what_runs(page):
    """The Python code and the cheap commands of a page, each with the name of its block."""
    for block in blocks("python", "sh"):
        if block.page == page and not block.reason:
            if block.language == "python":
                yield block.name, block.text
            else:
                yield from ((block.name, command) for command in filter(is_run, commands(block)))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if [*what_runs(page)]], ids=lambda page: page.name
)
def test_the_cheap_commands_and_the_python_blocks_of_a_page_run(page, in_world, capsys):
    """In their order: one block writes the features that the next one reads."""
    namespace = {}
    for name, code in what_runs(page):
        if isinstance(code, str):
            exec(compile(code, name, "exec"), namespace)
        else:
            run(code[1:], capsys)


def run(arguments, capsys):
    trust = ["--trust-code"] if "--trust-code" in flags_of(arguments) else []
    for word in arguments:
        if word.startswith("--output="):
            clear(Path(word.removeprefix("--output=")))
    assert main([*arguments, *trust]) == 0, (arguments, capsys.readouterr().err)


def clear(output: Path) -> None:
    if output.is_dir():
        shutil.rmtree(output)


def flags_of(arguments):
    """The flags of the verb that a command names."""
    parser = _parser()
    for word in arguments:
        actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if not actions or word not in actions[0].choices:
            break
        parser = actions[0].choices[word]
    return {flag for action in parser._actions for flag in action.option_strings}


def test_each_block_names_its_language_and_says_why_it_is_not_run():
    for page in PAGES:
        content = page.read_text()
        assert content.count("\n```") + content.startswith("```") == 2 * len(
            BLOCK.findall(content)
        ), page
        assert len(re.findall("^<!-- not run:", content, re.MULTILINE)) == sum(
            1 for match in BLOCK.finditer(content) if match["reason"]
        ), page
    languages = {block.language for block in blocks()}
    assert languages <= {"sh", "python", "text", "json"}
    assert len(CASES) > 50 and sum(is_run(command) for _, command in CASES) > 10

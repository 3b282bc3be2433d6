"""Paths as people give them: home directories, URLs, other directories, and what is no file."""

import argparse
import os
import re
import shlex
import socket
from pathlib import Path

import pytest
from helpers.paths import ROOT

from jreid import config as configs
from jreid.__main__ import _parser, main
from jreid.errors import InputError
from jreid.paths import local_path, require_file

TINY = f"{ROOT}/configs/agw.py:tiny"


@pytest.mark.fault("C2")
def test_the_home_directory_is_expanded_in_flags_and_fields(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = ["--config.data.folder=~/d", "--config.data.prepared=~/p", "--config.weights=~/w.pth"]
    config = configs.load(TINY, flags)
    assert config.data.folder == f"{tmp_path}/d"
    assert config.data.prepared == f"{tmp_path}/p"
    assert config.weights == f"{tmp_path}/w.pth"
    assert main(["evaluate", "--workdir=~/run"]) == 2
    assert f"{tmp_path}/run" in capsys.readouterr().err
    assert main(["evaluate", "--compare", "~/a.json", "~/b.json"]) == 2
    assert f"{tmp_path}/a.json" in capsys.readouterr().err
    with pytest.raises(InputError, match="home directory of ~nobody-of-this-name"):
        local_path("~nobody-of-this-name/x", "--workdir")


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    "flags",
    [
        ["evaluate", "--workdir=gs://bucket/run"],
        ["train", f"--config={TINY}", "--workdir=s3://bucket/run"],
        ["train", f"--config={TINY}", "--workdir=run", "--config.data.folder=gs://b/d"],
        ["train", f"--config={TINY}", "--workdir=run", "--config.weights=https://x.org/w.pth"],
        ["train", "--config=file:///x/agw.py:tiny", "--workdir=run"],
        ["data", "synthesize", "--output=gs://bucket/data"],
    ],
)
def test_urls_are_refused_and_make_no_folder(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(flags) == 2
    assert "is a URL" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def verbs_with_paths():
    """Each verb's parser and its flags that are paths."""
    parsers = [_parser()]
    for parser in parsers:  # grows
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
            elif action.type is Path:
                yield parser, action


def test_no_empty_path_is_the_current_folder(tmp_path, monkeypatch, capsys):
    """As of `--gallery=$UNSET`."""
    monkeypatch.chdir(tmp_path)
    found = [*verbs_with_paths()]
    assert len(found) > 25
    for parser, action in found:
        with pytest.raises(argparse.ArgumentError, match="the path is empty"):
            parser._get_values(action, [""])
    with pytest.raises(SystemExit):
        main(["train", f"--config={TINY}", "--workdir="])
    assert "--workdir: the path is empty" in capsys.readouterr().err
    assert main(["train", f"--config={TINY}", "--workdir=run", "--config.data.folder="]) == 2
    assert "config.data.folder is empty" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.fault("C2")
def test_relative_folders_are_named_with_their_directory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", f"--config={TINY}", "--workdir=run"]) == 2
    assert f"data/tiny (in {tmp_path})" in capsys.readouterr().err
    with pytest.raises(InputError, match=re.escape(f"configs/no.py (in {tmp_path})")):
        configs.load("configs/no.py:tiny")


@pytest.mark.fault("C2")
def test_a_colon_in_a_configs_path_works(tmp_path):
    file = tmp_path / "12:30" / "my:agw.py"
    file.parent.mkdir()
    file.write_text((ROOT / "configs" / "agw.py").read_text())
    assert configs.load(f"{file}:regdb,trial=3").data.split_number == 3
    assert configs.load(str(file)).data.name == "sysu_mm01"


@pytest.mark.fault("C2")
@pytest.mark.parametrize("name", ["tiny", "tiny_regdb", "synthetic", "synthetic_llcm"])
def test_a_command_that_is_proposed_is_one_that_is_taken(name, tmp_path, capsys):
    folder = tmp_path / "my data"
    flags = [f"--config.data.folder={folder}", f"--workdir={tmp_path}/run"]
    assert main(["train", f"--config={ROOT}/configs/agw.py:{name}", *flags]) == 2
    (command,) = re.findall(r"jreid (data synthesize .*?)\.$", capsys.readouterr().err.strip())
    options = _parser().parse_args(shlex.split(command))
    assert options.output == folder
    assert (options.preset == "tiny") == name.startswith("tiny")
    assert name.endswith(options.layout) or options.layout == "sysu_mm01"


@pytest.mark.fault("C2")
@pytest.mark.parametrize("name", ["folder", "sysu_mm01", "regdb", "llcm"])
def test_a_real_dataset_is_not_to_be_rendered(name, tmp_path, capsys):
    flags = [f"--config.data.folder={tmp_path}/no", f"--workdir={tmp_path}/run"]
    weights = "--config.weights=none"
    assert main(["train", f"--config={ROOT}/configs/agw.py:{name}", weights, *flags]) == 2
    assert "synthesize" not in capsys.readouterr().err


@pytest.mark.fault("B7")
def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name, cause in (("pipe", "pipe"), ("socket", "pipe"), (".", "folder"), ("x", "exist")):
            with pytest.raises(InputError, match=rf"{cause}.*; give another"):
                require_file(tmp_path / name, "give another")
    with pytest.raises(InputError, match="device"):
        require_file(tmp_path / "/dev/null", "give another")

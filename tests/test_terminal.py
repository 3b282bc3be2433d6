"""Terminals that cannot show every character: files first, and no command ends for a `±`."""

import io
import json
import sys

import numpy as np
import pytest
from helpers.paths import ROOT

from jreid.__main__ import main
from jreid.console import Console
from jreid.terminal import one_line, printable

HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e[red]:smile:[/]"


@pytest.mark.fault("B2")
@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-2", "koi8-r", "utf-8"])
def test_what_a_terminal_cannot_show_is_replaced(encoding, tmp_path, monkeypatch):
    people, cameras = np.repeat([6, 10, 17], 12), np.tile(np.repeat([1, 2, 3, 6], 3), 3)
    names = [
        f"cam{c}/{p:04d}/{i:04d}" for i, (p, c) in enumerate(zip(people, cameras, strict=True))
    ]
    labels = {"identities": people, "cameras": cameras, "names": np.array(names)}
    labels["modalities"] = np.where(cameras > 2, "infrared", "visible")
    features = np.random.default_rng(0).normal(size=(len(names), 4))
    file, output = tmp_path / "ours ± \udcff.npz", tmp_path / "result.json"
    np.savez(file, features=features, **labels)
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding=encoding))
    flags = ["--protocol=sysu_mm01:sampling=seeded", "--dataset=mine", f"--output={output}"]
    assert main(["evaluate", f"--features={file}", *flags]) == 0
    sys.stdout.flush()
    assert json.loads(output.read_text())["rows"][0]["trials"] == 10
    shown = bytes_.getvalue().decode(encoding)
    assert "ours " in shown
    assert ("±" in shown) == (encoding == "utf-8")


@pytest.mark.fault("C3")
def test_control_characters_are_written_out():
    assert printable("a\x1b[2J\r\x07\x9b\u202e\x7f") == r"a\x1b[2J\r\x07\x9b\u202e\x7f"
    assert printable("Łódź ± 行人\t\n") == "Łódź ± 行人\t\n"
    assert one_line("a\nb") == r"a\nb"


@pytest.mark.fault("C3")
def test_tables_and_lines_read_no_markup_and_no_escape_sequences():
    from rich.table import Table

    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=200, color_system="standard")
    table = Table("x", title=HOSTILE)
    table.add_row(HOSTILE, style="red")
    console.print(table)
    console.print(HOSTILE)
    text = shown.getvalue()
    assert "\x1b[2J" not in text
    assert "\x1b]0" not in text
    assert not {"\x07", "\x9b", "\u202e"} & {*text}
    assert text.count("[red]:smile:[/]") == 3
    assert "\x1b[31m" in text  # the row's own style


@pytest.mark.fault("C3")
@pytest.mark.parametrize("place", ["path", "name", "modality", "config", "tensor", "folder"])
def test_foreign_text_reaches_no_terminal_as_it_is(place, tmp_path, capsys):
    from safetensors.numpy import save_file

    hostile = HOSTILE.replace("/", "")
    tiny = [f"--config={ROOT}/configs/agw.py:tiny"]
    if place in ("path", "name", "modality"):
        label = {"name": "cam1/0001/0001", "modality": "visible"} | {place: hostile}
        file = tmp_path / f"{hostile if place == 'path' else 'x'}.npz"
        features = np.full((1, 2), 1.0 if place == "modality" else np.nan)
        labels = {"identities": [1], "cameras": [1], "names": [label["name"]]}
        np.savez(file, features=features, modalities=[label["modality"]], **labels)
        flags = ["evaluate", f"--features={file}", "--protocol=sysu_mm01"]
    elif place == "config":
        flags = ["train", *tiny, f"--workdir={tmp_path}/run", f"--config.image.resize={hostile}"]
    elif place == "tensor":
        save_file({f"module.{hostile}": np.ones(2, np.float32)}, tmp_path / "x.safetensors")
        checkpoint = f"--checkpoint={tmp_path}/x.safetensors"
        flags = ["import", *tiny, f"--workdir={tmp_path}/run", checkpoint]
    else:
        folder = tmp_path / "data"
        (folder / "visible" / hostile).mkdir(parents=True)
        (folder / "infrared").mkdir()
        (folder / "visible" / hostile / "a.jpg").touch()
        (folder / "splits.txt").write_text(f"{hostile} test\n")
        flags = ["data", "check", "folder", f"--source={folder}"]
    assert main(flags) in (1, 2)
    shown = "".join(capsys.readouterr())
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & {*shown}
    assert "[red]" in shown or place == "folder"  # whose names are named by their kind

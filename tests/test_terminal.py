"""Terminals that cannot show every character: files first, and no command ends for a `±`."""

import io
import json
import sys

import numpy as np
import pytest

from jreid.__main__ import main


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
    flags = ["--protocol=sysu_mm01", "--draw=agw", f"--output={output}"]
    assert main(["evaluate", f"--features={file}", *flags]) == 0
    sys.stdout.flush()
    assert json.loads(output.read_text())["rows"][0]["trials"] == 10
    shown = bytes_.getvalue().decode(encoding)
    assert "ours " in shown
    assert ("±" in shown) == (encoding == "utf-8")

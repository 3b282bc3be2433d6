"""A package outside of jreid: its loss, method, dataset and protocol, by the command line."""

import json

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

from jreid.__main__ import main

EXAMPLES = ROOT / "examples"
PROTOCOL = "my_reid.protocol.from_camera:camera=2"
SMALL = [
    "--config.image.size=(16,8)",
    "--config.image.padding=1",
    "--config.batch.identities=2",
    "--config.batch.images=2",
    "--config.epochs=1",
    "--config.evaluation.every_epochs=0",
    "--config.evaluation.rerank=none",
    "--config.evaluation.batch_size=8",
]


@pytest.fixture
def flags(tmp_path, monkeypatch):
    """The flags of a run on 8 people, given in a folder that holds the package."""
    rng, folder = np.random.default_rng(0), tmp_path / "data"
    folder.mkdir()
    for identity in range(8):
        for camera, modality in ((1, "visible"), (2, "infrared")):
            for number in range(2):
                image = Image.fromarray(rng.integers(0, 256, (16, 8, 3), np.uint8))
                image.save(folder / f"{identity:04d}_c{camera}_{modality}_{number:03d}.png")
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    data = [f"--config.data.folder={folder}", f"--config.data.prepared={tmp_path}/prepared"]
    return ["--config=my_reid/config.py", *data, *SMALL]


def test_a_package_of_outside_trains_and_evaluates(flags, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", *flags, f"--workdir={run}"]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.rstrip().endswith("test.npz --trust-code")
    result = json.loads((run / "result.json").read_text())
    assert [row["protocol_text"] for row in result["rows"]] == [PROTOCOL]
    versions = json.loads((run / "run.json").read_text())["versions"]
    assert {name for name in versions if name.startswith("my_reid")} == {
        "my_reid.method",
        "my_reid.dataset",
        "my_reid.loss",
        "my_reid.protocol",
    }
    assert versions["my_reid.loss"].startswith("sha256:")
    # The user's own config names this code, so the run's may, too.
    assert main(["train", *flags, f"--workdir={run}"]) == 0
    assert "is finished" in capsys.readouterr().err
    assert main(["evaluate", f"--workdir={run}"]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert main(["evaluate", f"--workdir={run}", "--trust-code"]) == 0


def test_its_parts_are_listed_and_its_data_are_checked(flags, tmp_path, capsys):
    assert main(["list", "methods", "my_reid.method"]) == 0
    assert main(["list", "losses", "my_reid.loss.circle"]) == 0
    assert main(["list", "datasets", "my_reid.dataset"]) == 0
    assert main(["list", "protocols", "my_reid.protocol.from_camera"]) == 0
    assert main(["list", "configs", "my_reid/config.py"]) == 0
    out = capsys.readouterr().out
    assert "my_reid.loss.circle" in out and "Circle loss (Sun" in out
    assert "All of this package in one config." in out
    assert main(["data", "check", "my_reid.dataset", f"--source={tmp_path}/data"]) == 0
    (tmp_path / "data" / "odd.png").write_bytes(b"")
    assert main(["data", "check", "my_reid.dataset", f"--source={tmp_path}/data"]) == 1
    assert "odd.png is not named like" in capsys.readouterr().out


def test_two_files_that_differ_in_their_suffix_are_two_images(flags, tmp_path, capsys):
    path = tmp_path / "data" / "0000_c1_visible_000.png"
    Image.open(path).save(path.with_suffix(".jpg"))
    assert main(["data", "check", "my_reid.dataset", f"--source={tmp_path}/data"]) == 0
    prepare = ["data", "prepare", "my_reid.dataset", f"--source={tmp_path}/data"]
    assert main([*prepare, f"--prepared={tmp_path}/prepared"]) == 0, capsys.readouterr().err
    assert "33 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("method=my_reid.methods", "no Python module my_reid.methods"),
        ("method=my_reid.loss", "no function called create"),
        ("triplet.kind=my_reid.loss.circel", "did you mean circle?"),
        ("data.layout=my_reid.loss", "no function called list_images"),
        ("batch.sampler=my_reid.loss.circle", "config.batch.sampler"),
        ("protocols=my_reid.protocol.from_camera:cam=2", "did you mean camera?"),
    ],
)
def test_what_is_wrong_with_outside_code_is_one_sentence(flag, message, flags, tmp_path, capsys):
    assert main(["train", *flags, f"--workdir={tmp_path}/run", f"--config.{flag}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith("jreid: "))
    assert line == lines[-1] and message in line

"""`jreid export` of a run: the file, its card, its check and what is refused."""

import hashlib
import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.command_line import SMALL_EVALUATION
from helpers.paths import ROOT

from jreid.__main__ import main
from jreid.export.export import FORMATS


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_folder, prepared):
    """A run of no epoch."""
    workdir = tmp_path_factory.mktemp("export") / "run"
    flags = [f"--config={ROOT}/configs/agw.py:tiny", "--config.epochs=0", *SMALL_EVALUATION]
    flags += [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
    flags += ["--config.method=helpers.small_method", "--config.image.gray_infrared=true"]
    flags += ["--config.data.depth_range=(600,2648)"]
    assert main(["train", "--no-report", *flags, f"--workdir={workdir}"]) == 0
    return workdir


def export(workdir, output, *flags) -> int:
    trust = "--trust-code"
    return main(["export", f"--workdir={workdir}", f"--output={output}", trust, *flags])


@pytest.fixture(scope="module", params=["onnx", "stablehlo"])
def exported(run, request):
    output = run.parent / f"model.{request.param}"
    assert export(run, output, f"--format={request.param}") == 0
    return output


def test_the_card_says_what_the_file_is(run, exported):
    card = json.loads(exported.with_name(f"{exported.name}.json").read_text())
    assert card["sha256"] == hashlib.sha256(exported.read_bytes()).hexdigest()
    (row,) = json.loads((run / "result.json").read_text())["rows"]
    assert (card["weights"], card["step"]) == (row["weights"], row["step"])
    config = json.loads((run / "config.json").read_text())
    config["data"] |= {"folder": "data/tiny", "prepared": "data/prepared"}
    assert card["config"] == config
    assert card["preprocessing"]["gray"] == {"visible": False, "infrared": True}
    assert card["preprocessing"]["depth_range"] == [600, 2648]
    assert card["compatibility"] and card["versions"]["jaxlib"]


def test_nothing_says_where_it_was_written(run, exported):
    for content in (exported, exported.with_name(f"{exported.name}.json")):
        for place in (ROOT, run.parent, sys.prefix, Path.home()):
            assert str(place).encode() not in content.read_bytes(), place


def test_the_example_embeds_as_the_run(run, exported, tiny_folder, tmp_path):
    folder = tiny_folder / "cam3"
    flags = [f"--images={folder}", "--modality=infrared", f"--output={tmp_path}/own.npz"]
    assert main(["embed", f"--workdir={run}", "--trust-code", *flags]) == 0
    with np.load(tmp_path / "own.npz") as own:
        names, features = own["names"][:3], own["features"][:3]
    images = [next(folder.glob(f"{name}.*")) for name in names]
    found = example(f"{exported.suffix[1:]}_embed").embed(exported, "infrared", images)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(found, features, rtol=0, atol=1e-5)


@pytest.mark.parametrize("format", ["onnx", "stablehlo"])
def test_the_examples_refuse_images_of_16_bits(format, tmp_path):
    PIL.Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(SystemExit, match=r"deep\.png has 16 bits per channel"):
        example(f"{format}_embed").read(tmp_path / "deep.png")


@pytest.mark.parametrize("format", ["onnx", "stablehlo"])
def test_check_compares_the_file_with_the_model(run, format, tmp_path, capsys):
    assert export(run, tmp_path / "model", f"--format={format}", "--check") == 0
    out = capsys.readouterr().out
    (difference,) = re.findall(r"unit vector: (\S+)", out)
    # A level that lies between two may be rounded to the other; these images have 512 pixels.
    assert float(difference) < 1e-4
    ((exported, own),) = re.findall(r"rank-1, .*: (\S+) \(the model: (\S+)\)", out)
    assert exported == own


@pytest.mark.parametrize("value", [0.01, np.nan])
def test_a_file_that_differs_fails_its_check(run, tmp_path, capsys, monkeypatch, value):
    class Other(FORMATS["stablehlo"].Reader):
        def __call__(self, pixels, modality):
            features = super().__call__(pixels, modality).copy()
            features[0, 0] += value
            return features

    monkeypatch.setattr(FORMATS["stablehlo"], "Reader", Other)
    assert export(run, tmp_path / "model", "--format=stablehlo", "--check", "--json") == 1
    out, err = capsys.readouterr()
    assert f"{tmp_path}/model does not embed as the model does" in err.splitlines()[-1]
    check = json.loads(out)["check"]
    assert not check["agrees"] and check["tolerance"] == 1e-3
    assert check["largest_difference"] is None or 0.009 < check["largest_difference"] < 0.011


def test_without_the_data_check_embeds_noise(run, tmp_path, capsys):
    gone = f"--config.data.folder={tmp_path}/gone"
    assert export(run, tmp_path / "model", "--format=stablehlo", "--check", gone) == 0
    out, err = capsys.readouterr()
    assert "noise" in out and "rank-1" not in out and f"{tmp_path}/gone" in err


@pytest.mark.fault("A2")
def test_a_check_measures_no_rank_1_on_other_data(run, render, tmp_path, capsys):
    other = f"--config.data.folder={render(tmp_path / 'other', seed=1)}"
    assert export(run, tmp_path / "model", "--format=stablehlo", "--check", other) == 0
    out, err = capsys.readouterr()
    assert "noise" in out and "rank-1" not in out
    assert f"{tmp_path}/other holds other data than the run in {run}" in err


@pytest.mark.parametrize(
    ("workdir", "output", "format", "named"),
    [
        ("run", "model", "stablehol", "stablehlo"),
        ("run", "gone/model", "stablehlo", "gone is not a folder"),
        ("run", "", "stablehlo", "is a folder"),
        ("none", "model", "stablehlo", "none holds no run"),
        ("untrained", "model", "stablehlo", "no last checkpoint"),
    ],
)
def test_what_cannot_be_exported_is_refused(run, tmp_path, capsys, workdir, output, format, named):
    untrained = tmp_path / "untrained"
    untrained.mkdir()
    for name in ("config.json", "run.json"):
        (untrained / name).write_bytes((run / name).read_bytes())
    folder = run if workdir == "run" else tmp_path / workdir
    assert export(folder, tmp_path / output, f"--format={format}") == 2
    assert named in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"untrained"}


@pytest.mark.parametrize("output", ["config", "config.json"])
def test_an_export_and_its_card_replace_no_other_file(run, tmp_path, capsys, output):
    (tmp_path / "config.json").write_text('{"seed": 0}')
    assert export(run, tmp_path / output, "--format=stablehlo") == 2
    assert f"{tmp_path}/config.json" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == '{"seed": 0}'


def test_a_package_that_is_missing_is_named(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert export(run, tmp_path / "model", "--format=onnx") == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "onnxruntime" in sentence and 'pip install "jreid[onnx]"' in sentence


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

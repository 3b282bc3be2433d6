"""The example of Ray: with a stand-in for it, and on a local Ray where that is installed."""

import importlib.util
import os
import runpy
import subprocess
import sys
import types

import numpy as np
import PIL.Image
import pytest
from helpers.paths import ROOT
from helpers.untrained_run import make_run

import jreid
from jreid.__main__ import main
from jreid.evaluation.results.parquet import read_about

EXAMPLE = str(ROOT / "examples" / "embed_with_ray.py")
NAMES = ("a/1.png", "a/2.png", "b.png")


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    for name in NAMES:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (32, 16, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def flags(run, images, output):
    return [
        f"--workdir={run}",
        f"--images={images}",
        "--modality=visible",
        f"--output={output}",
        "--part-images=1",
    ]


def check(output, expected):
    """The folder has the columns, the metadata and the embeddings of `jreid embed`."""
    found = jreid.load_features(output)
    assert found.names.tolist() == ["a/1", "a/2", "b"]
    assert found.digests is not None and found.modalities.tolist() == ["visible"] * 3
    np.testing.assert_allclose(found.features, expected, rtol=1e-5, atol=1e-6)
    about = read_about(output / "part-000002.parquet")
    assert about["distance"] == "cosine" and about["jreid"] == jreid.__version__


@pytest.mark.slow  # a local Ray starts in 10 seconds
def test_ray_embeds_as_jreid_does(photos, tmp_path):
    if not importlib.util.find_spec("ray"):
        pytest.skip("ray is not installed")
    run = make_run(tmp_path / "run", method="agw")
    expected = jreid.load(run).embed(photos, modality="visible")
    subprocess.run(
        [sys.executable, EXAMPLE, "--shards=2", *flags("run", "photos", "photos.parquet")],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_DEDUP_LOGS": "0"},
        cwd=tmp_path,
    )
    check(tmp_path / "photos.parquet", expected)


@pytest.fixture
def stand_in(monkeypatch):
    """Ray and its processes as function calls; returns the resources that tasks ask for."""
    asked = []

    def remote(**resources):
        asked.append(resources)
        return lambda function: types.SimpleNamespace(remote=function)

    def run(command, **options):
        if command[0] != sys.executable:  # git, which a run asks for its revision
            return original(command, **options)
        assert command[:3] == [sys.executable, "-m", "jreid"]
        return types.SimpleNamespace(returncode=main(command[3:]))

    original = subprocess.run

    ray = types.ModuleType("ray")
    ray.__dict__.update(remote=remote, get=list)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(subprocess, "run", run)
    return asked


def start(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["embed_with_ray.py", *words])
    runpy.run_path(EXAMPLE, run_name="__main__")


def test_its_output_is_that_of_jreid(stand_in, photos, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    run = make_run(tmp_path / "run")
    expected = jreid.load(run, trust_code=True).embed(photos, modality="visible")
    words = [*flags(run, photos, tmp_path / "photos.parquet"), "--trust-code"]
    start(monkeypatch, "--shards=2", "--cpus=4", "--gpus=0.5", *words)
    check(tmp_path / "photos.parquet", expected)
    assert stand_in == [{"num_cpus": 4, "num_gpus": 0.5}]


def test_shards_that_fail_are_counted(stand_in, photos, tmp_path, monkeypatch, capsys):
    words = flags(tmp_path / "no_run", photos, tmp_path / "photos.parquet")
    with pytest.raises(SystemExit, match="2 of 2 shards have failed, first 0/2"):
        start(monkeypatch, "--shards=2", *words)
    assert "no_run" in capsys.readouterr().err

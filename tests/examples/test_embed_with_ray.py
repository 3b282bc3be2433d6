"""The example of Ray Data, on a local Ray, where that is installed."""

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


@pytest.mark.slow  # a local Ray starts in 10 seconds
def test_ray_embeds_as_jreid_does(tmp_path):
    if not importlib.util.find_spec("ray"):
        pytest.skip("ray is not installed")
    run, photos = make_run(tmp_path / "run", method="agw"), tmp_path / "photos"
    random = np.random.default_rng(0)
    for name in ("a/1.png", "a/2.png", "b.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(random.integers(0, 255, (32, 16, 3), np.uint8)).save(photos / name)
    expected = jreid.load(run).embed(photos, modality="visible")
    example = str(ROOT / "examples" / "embed_with_ray.py")
    output = tmp_path / "photos.parquet"
    words = [str(run), str(photos), "visible", str(output)]
    subprocess.run(
        [sys.executable, example, *words],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_DEDUP_LOGS": "0"},
        cwd=tmp_path,
    )
    found = jreid.load_features(output)
    order = np.argsort(found.names)
    assert found.names[order].tolist() == ["a/1", "a/2", "b"]
    np.testing.assert_allclose(found.features[order], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("folder", "output", "status", "message"),
    [
        ("photos", "old.parquet", 2, "old.parquet exists, and Ray would add to it"),
        ("missing", "new.parquet", "missing is not a folder; give the folder of the images.", ""),
    ],
)
def test_what_the_example_refuses(folder, output, status, message, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.parquet").mkdir()
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))
    monkeypatch.setattr(sys, "argv", ["embed_with_ray.py", "run", folder, "visible", output])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "examples" / "embed_with_ray.py"), run_name="__main__")
    assert stopped.value.code == status
    assert message in capsys.readouterr().err

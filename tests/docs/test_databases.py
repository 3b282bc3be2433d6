"""The lines of docs/galleries.md about databases, where these are installed."""

import contextlib
import importlib.util
import io
import json

import numpy as np
import pytest
from helpers.doc_blocks import blocks

from jreid.__main__ import main

LINES = [
    block
    for block in blocks("python")
    if block.page.name == "galleries.md" and (not block.reason or "needs" in block.reason)
]
WROTE = {"lancedb": "lancedb.npz", "pymilvus": "milvus.npz", "faiss": "photos.faiss"}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """test.npz, and photos.parquet with its 200 visible images in two parts."""
    parquet = pytest.importorskip("jreid.evaluation.results.parquet")
    pytest.importorskip("pyarrow")
    random = np.random.default_rng(0)
    people = np.tile(np.arange(20), 11)
    modalities = np.repeat(["infrared", "visible"], (20, 200))
    features = random.normal(size=(20, 16))[people] + random.normal(size=(220, 16))
    features = features.astype(np.float32)
    names = np.array([f"{kind}/{i:03d}" for i, kind in enumerate(modalities)])
    labels = {
        "identities": people,
        "cameras": np.repeat([2, 1], (20, 200)),
        "modalities": modalities,
    }
    monkeypatch.chdir(tmp_path)
    np.savez("test.npz", features=features, names=names, **labels)
    about = {"parts": 2, "images": 200}
    for part, rows in enumerate((range(20, 120), range(120, 220))):
        arrays = {"features": features, "names": names, **labels, "digests": names}
        arrays = {name: array[rows] for name, array in arrays.items()}
        file = tmp_path / "photos.parquet" / parquet.PART.format(part)
        file.parent.mkdir(exist_ok=True)
        parquet.write_part(file, arrays, {**about, "part": part})
    return tmp_path


@pytest.mark.parametrize("package", WROTE)
@pytest.mark.filterwarnings("default")  # the databases' own
def test_the_lines_of_a_database_give_what_an_exact_search_gives(package, photos):
    for name in (package, *(["milvus_lite"] if package == "pymilvus" else [])):
        if not importlib.util.find_spec(name):
            pytest.skip(f"{name} is not installed")
    common, own = (block for block in LINES if block.reason in ("", f"needs {package}"))
    namespace = {}
    for block in (common, own):
        exec(compile(block.text, block.name, "exec"), namespace)
    command = ["recall", "--features=test.npz", "--protocol=folder", f"--index={WROTE[package]}"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([*command, "--json"]) == 0
    _, exact, found = json.loads(out.getvalue())["rows"]
    assert found["recall"]["10"] > 0.9
    assert found["mean_average_precision"] == pytest.approx(
        exact["mean_average_precision"], abs=0.05
    )

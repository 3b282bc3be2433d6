"""Every reader of a file, given valid files that were changed: a value, or one sentence.

FUZZ_EXAMPLES=20000 runs as many examples of each, drawn anew each time.
"""

import importlib
import io
import json
import os
import warnings

import numpy as np
import pytest
from helpers.mutations import changed_bytes, changed_json, changed_text
from helpers.paths import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from scipy.io import savemat

from jreid import config as configs
from jreid.data.images import read_images
from jreid.data.layouts.layout import Listing, Row
from jreid.data.layouts.synthetic_label import read_label
from jreid.data.layouts.sysu_mm01 import read_gallery_index
from jreid.errors import InputError
from jreid.evaluation import compare, read_features, read_result
from jreid.runs import bundle, manifest
from jreid.runs.chosen import choose, open_checkpoints
from jreid.runs.run import Run
from jreid.synthetic.synthesize import synthesize
from jreid.terminal import one_line
from jreid.training.log import _lines_until as lines_until
from jreid.weights.checkpoint_file import read_checkpoint

MOST = int(os.environ.get("FUZZ_EXAMPLES") or 0)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(0 if MOST else 600)]
fuzz = settings(
    max_examples=MOST or 200,
    deadline=10_000,  # milliseconds for one example
    derandomize=not MOST,
    database=None,
    suppress_health_check=[*HealthCheck],
)


@pytest.fixture
def place(tmp_path):
    """A folder for one example after the other."""
    return tmp_path


def attempt(read, *arguments):
    """What a reader returns, None where it refuses in one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(*arguments)
    except InputError as error:
        assert 0 < len(one_line(str(error))) < 3000
        return None


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


COLUMNS = {
    "features": np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3),
    "identities": np.array([1, 1, 2, 2]),
    "cameras": np.array([1, 3, 2, 6]),
    "modalities": np.array(["visible", "infrared"] * 2),
    "names": np.array(["cam1/0001/0001", "cam3/0001/0001", "cam2/0002/0001", "cam6/0002/0001"]),
}
FEATURES = npz(**COLUMNS)


def check_features(path):
    read = attempt(read_features, path)
    if read is not None:
        features, table = read
        assert features.dtype == np.float32
        assert np.isfinite(features).all()
        assert len(features) == len(table.name) == len(table.identity)


@fuzz
@given(content=changed_bytes(FEATURES))
def test_a_file_of_features(place, content):
    (place / "features.npz").write_bytes(content)
    check_features(place / "features.npz")


DTYPES = [
    "f2",
    "f4",
    "f8",
    "i1",
    "u8",
    "i8",
    "U3",
    "S3",
    "?",
    "c8",
    "O",
    "M8[s]",
    ">f4",
    "V3",
    "f4,i4",
]


@fuzz
@given(data=st.data())
def test_arrays_of_features(place, data):
    arrays = dict(COLUMNS)
    for name in data.draw(st.lists(st.sampled_from([*arrays]), min_size=1, max_size=2)):
        shape = data.draw(
            st.sampled_from([(), (0,), (4,), (4, 3), (4, 1), (3,), (0, 3), (2, 2, 2)])
        )
        array = np.zeros(shape, data.draw(st.sampled_from(DTYPES)))
        if array.dtype.kind == "f" and array.size:
            array.flat[0] = data.draw(st.floats(width=16))
        arrays[name] = array
    (place / "features.npz").write_bytes(npz(**arrays))
    check_features(place / "features.npz")


def mat(cells, compressed):
    file = io.BytesIO()
    savemat(file, {"rand_perm_cam": cells}, do_compression=compressed)
    return file.getvalue()


def draws():
    cells = np.empty((2, 1), object)
    for camera in range(2):
        inner = np.empty((3, 1), object)
        for identity in range(3):
            inner[identity, 0] = np.tile(np.arange(1, identity + 2, dtype=np.uint16), (10, 1))
        cells[camera, 0] = inner
    return cells


MATS = [mat(draws(), False), mat(draws(), True)]


@fuzz
@given(content=st.sampled_from(MATS).flatmap(changed_bytes))
def test_a_gallery_draw(place, content):
    (place / "rand_perm_cam.mat").write_bytes(content)
    index = attempt(read_gallery_index, place / "rand_perm_cam.mat")
    for draws in (index or {}).values():
        assert draws.dtype == np.int64
        assert draws.ndim == 2


TENSORS = save({"conv1.weight": np.ones((2, 3), np.float32), "bn1.bias": np.zeros(2, np.float16)})


@fuzz
@given(content=changed_bytes(TENSORS))
def test_safetensors(place, content):
    (place / "model.safetensors").write_bytes(content)
    for array in (attempt(read_checkpoint, place / "model.safetensors") or {}).values():
        assert isinstance(array, np.ndarray)


HEADER = {
    "__metadata__": {"format": "pt"},
    "conv1.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "bn1.bias": {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]},
}


@fuzz
@given(
    header=changed_json(HEADER), dtype=st.sampled_from(["F64", "BF16", "F8_E4M3", "BOOL", "U16"])
)
def test_headers_of_safetensors(place, header, dtype):
    text = json.dumps(header).replace("F16", dtype).encode(errors="surrogatepass")
    (place / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(28))
    attempt(read_checkpoint, place / "model.safetensors")


@pytest.fixture
def torch_file(place):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.save({"state_dict": {"conv1.weight": torch.ones(2, 3)}, "epoch": 3}, place / "whole.pth")
    return (place / "whole.pth").read_bytes()


@fuzz
@given(data=st.data())
def test_checkpoints_of_torch(place, torch_file, data):
    (place / "model.pth").write_bytes(data.draw(changed_bytes(torch_file)))
    attempt(read_checkpoint, place / "model.pth")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The three layouts, rendered."""
    home = tmp_path_factory.mktemp("layouts")
    for layout in ("sysu_mm01", "regdb", "llcm", "mp_reid"):
        synthesize(home / layout, "tiny", layout=layout, workers=1)
    return home


@pytest.mark.parametrize("layout", ["sysu_mm01", "regdb", "llcm", "mp_reid"])
@fuzz
@given(data=st.data())
def test_lists_of_a_dataset(folders, layout, data):
    module = importlib.import_module(f"jreid.data.layouts.{layout}")
    folder = folders / layout
    lists = [*folder.rglob("*.txt"), *folder.rglob("*.mat")]
    file = data.draw(st.sampled_from(sorted(lists)))
    whole = file.read_bytes()
    try:
        file.write_bytes(data.draw(changed_bytes(whole)))
        listing = attempt(module.list_images, folder, 1 if layout == "regdb" else 0)
    finally:
        file.write_bytes(whole)
    if listing is not None:
        assert isinstance(listing, Listing)
        assert all(one_line(str(fault)) for fault in listing.faults)


LABEL = {
    "layout": "llcm",
    "preset": "tiny",
    "seed": 0,
    "version": 1,
    "counts": [["test", "visible", 1, 2, 3]],
}


@fuzz
@given(content=changed_text(LABEL))
def test_the_label_of_a_rendered_dataset(place, content):
    (place / "synthetic.json").write_bytes(content)
    attempt(read_label, place)


@pytest.fixture(scope="module")
def pictures(folders):
    """A JPEG and a BMP."""
    return [
        sorted((folders / layout).rglob(kind))[0].read_bytes()
        for layout, kind in (("sysu_mm01", "*.jpg"), ("regdb", "*.bmp"))
    ]


@fuzz
@given(data=st.data())
def test_images(place, pictures, data):
    path = place / "image.jpg"
    path.write_bytes(data.draw(st.sampled_from(pictures).flatmap(changed_bytes)))
    (image,) = read_images([Row("image", 1, 1, "visible", "test", path)])
    assert image.content or image.fault


CONFIG = json.loads(configs.to_text(configs.load(f"{ROOT}/configs/agw.py:tiny", [])))


@fuzz
@given(content=changed_text(CONFIG))
def test_the_config_of_a_run(place, content):
    (place / "config.json").write_bytes(content)
    read = attempt(configs.read, place / "config.json")
    if read is not None:
        json.loads(configs.to_text(read))


RECORD = {
    "method": "agw",
    "revision": "0f" * 20,
    "device": "1 x cpu",
    "versions": {"jax": "0.10.2"},
    "config": CONFIG,
    "start": {"kind": "file", "path": "weights.safetensors", "sha256": "00ff"},
    "data_fingerprint": "ff00",
    "steps": 30,
    "protocols": ["all, 1-shot"],
    "drifts": [{"step": 10, "changed": ["seed: 1, 0"]}],
}


@fuzz
@given(content=changed_text(RECORD))
def test_the_record_of_a_run(place, content):
    (place / "config.json").write_text(json.dumps(CONFIG))
    (place / "run.json").write_bytes(content)
    run = Run(place)
    config = configs.read(place / "config.json")
    attempt(run.config)
    attempt(run.check, config)
    attempt(run.check_start, RECORD["start"])
    attempt(Run(place, allow_drift=True).claim, config, None)
    assert not any(path.name.endswith(".unfinished") for path in place.iterdir())


PUBLISHED = {"checkpoint": "best", "step": 3, "weights": "00ff", "sha256": "ff00"}
BUNDLE_RECORD = {**RECORD, "published": PUBLISHED}


@fuzz
@given(content=changed_text(BUNDLE_RECORD))
def test_the_record_of_a_bundle(place, content):
    (place / "run.json").write_bytes(content)
    (place / bundle.WEIGHTS).write_bytes(b"")
    run, config = Run(place), configs.load("agw:tiny")
    for kind in ("last", "best"):
        checkpoints = attempt(open_checkpoints, run)
        fields = attempt(choose, checkpoints, run, kind) if checkpoints else None
        if fields:
            record = bundle.record_of(run.record(), config, fields)
            assert record["published"]["weights"] == fields["weights"]


LINES = "".join(
    json.dumps({"step": step, "epoch": 0, name: 0.5}) + "\n"
    for step in range(1, 6)
    for name in ("model/loss", "validation/mAP")
)


@fuzz
@given(content=changed_bytes(LINES.encode()), start=st.integers(0, 6), unscored=st.booleans())
def test_the_metrics_of_a_run(place, content, start, unscored):
    (place / "metrics.jsonl").write_bytes(content)
    kept = attempt(lines_until, start, unscored, place / "metrics.jsonl")
    assert kept is not None
    assert all(json.loads(line)["step"] <= start for line in kept)


METRICS = {"cmc": {str(rank): 0.5 for rank in (1, 5, 10, 20)}, "mAP": 0.4, "mINP": 0.3}
RESULT_ROW = {
    "protocol": {"dataset": "sysu_mm01", "trials": 10},
    "label": "all, 1-shot",
    "fingerprint": "0aed22b5afb1",
    "rerank": "none",
    "images": "00ff",
    **METRICS,
    "std": METRICS,
    "trials": 10,
    "of_trials": 10,
    "queries": 9,
    "valid_queries": 9,
    "unmatched": {},
    "checkpoint": "last",
    "step": 3,
}
RESULT = {"method": "agw", "rows": [RESULT_ROW, {**RESULT_ROW, "checkpoint": "best"}]}


@fuzz
@given(content=changed_text(RESULT))
def test_a_result(place, content):
    (place / "result.json").write_bytes(content)
    result = attempt(read_result, place / "result.json")
    if result is not None:
        attempt(compare, result, RESULT)


@pytest.fixture
def sealed(place):
    (place / "step" / "arrays").mkdir(parents=True)
    (place / "step" / "arrays" / "kernel").write_bytes(bytes(range(99)))
    (place / "step" / "notes.json").write_text("{}")
    manifest.seal(place / "step")
    return place / "step"


@fuzz
@given(data=st.data())
def test_a_manifest(sealed, data):
    path = sealed / manifest.MANIFEST
    whole = path.read_bytes()
    changed = data.draw(changed_bytes(whole))
    path.write_bytes(changed)
    fault = manifest.fault(sealed)
    path.write_bytes(whole)
    assert (fault is None) == (changed == whole)
    assert fault is None or one_line(fault)

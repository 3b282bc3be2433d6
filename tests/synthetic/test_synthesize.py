"""The synthetic dataset in SYSU-MM01's layout, and for all: determinism, atomicity, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from jreid.data.layouts.synthetic_label import read_label
from jreid.errors import InputError
from jreid.synthetic import synthesize as synthetic
from jreid.synthetic.layouts import PRESETS
from jreid.synthetic.synthesize import synthesize

INFRARED = (3, 6)
TINY = PRESETS["tiny"]["sysu_mm01"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "data"
    synthesize(folder, "tiny", seed=0)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def identities(folder: Path, split: str) -> list[int]:
    lines = (folder / "exp" / f"{split}_id.txt").read_text().splitlines()
    assert len(lines) == 1
    return [int(identity) for identity in lines[0].split(",")]


def test_splits_are_disjoint_and_make_up_all_available_identities(tiny):
    splits = [identities(tiny, name) for name in ("train", "val", "test")]
    assert [len(split) for split in splits] == [TINY.train, TINY.validation, TINY.test]
    assert (
        sorted(np.concatenate(splits).tolist())
        == identities(tiny, "available")
        == list(range(1, 19))
    )
    assert "0001" not in (tiny / "exp" / "available_id.txt").read_text()


def test_images_lie_in_the_layout_of_sysu_mm01(tiny):
    fewest, most = TINY.images
    seen = set()
    for folder in tiny.glob("cam*/*"):
        names = sorted(file.name for file in folder.iterdir())
        assert fewest <= len(names) <= most
        assert names == [f"{index:04d}.jpg" for index in range(1, len(names) + 1)]
        seen.add((int(folder.parent.name[3:]), folder.name))
    for identity in identities(tiny, "available"):
        cameras = {camera for camera, name in seen if name == f"{identity:04d}"}
        assert {3, 4, 5, 6} <= cameras <= {1, 2, 3, 4, 5, 6}
    assert {path.name for path in tiny.iterdir()} == {
        *(f"cam{camera}" for camera in range(1, 7)), "exp", "synthetic.json",
    }  # fmt: skip


def test_some_test_identities_are_never_indoors_and_all_training_ones_are(tiny):
    indoors = {int(folder.name) for folder in tiny.glob("cam[12]/*")}
    assert set(identities(tiny, "train")) <= indoors
    assert 0 < len(set(identities(tiny, "test")) - indoors) < TINY.test


def test_gallery_draws_have_the_official_form_and_match_the_files(tiny):
    draws = loadmat(tiny / "exp" / "rand_perm_cam.mat")["rand_perm_cam"]
    assert draws.shape == (6, 1) and draws.dtype == object
    for camera in range(1, 7):
        cells = draws[camera - 1, 0]
        assert cells.shape == (18, 1) and cells.dtype == object
        for identity in range(1, 19):
            cell = cells[identity - 1, 0]
            files = list((tiny / f"cam{camera}" / f"{identity:04d}").glob("*.jpg"))
            assert cell.shape == (10, len(files)) and cell.dtype == np.uint8
            assert all(sorted(row) == list(range(1, len(files) + 1)) for row in cell.tolist())
    several = draws[2, 0][0, 0]
    assert len({tuple(row) for row in several.tolist()}) > 1


def test_infrared_is_one_channel_and_visible_is_coloured(tiny):
    height, width = TINY.size
    for camera in range(1, 7):
        files = [*(tiny / f"cam{camera}").glob("*/*.jpg")]
        assert files
        for file in files:
            with Image.open(file) as image:
                assert image.mode == "RGB" and image.size == (width, height)
                pixels = np.asarray(image, int)
            spread = np.ptp(pixels, axis=2)
            assert (spread.max() == 0) if camera in INFRARED else (spread.mean() > 4), file


def test_the_bytes_depend_on_the_seed_but_not_on_the_workers(tiny, tmp_path):
    calls = []
    synthesize(tmp_path / "two", "tiny", 0, lambda *call: calls.append(call), workers=2)
    assert contents(tmp_path / "two") == contents(tiny)
    images = len(list(tiny.glob("cam*/*/*.jpg")))
    assert calls[-1] == (images, images) and calls == sorted(calls)
    synthesize(tmp_path / "other", "tiny", 1)
    assert (tmp_path / "other/cam4/0001/0001.jpg").read_bytes() != (
        tiny / "cam4/0001/0001.jpg"
    ).read_bytes()


def test_a_finished_dataset_is_left_alone(tiny, monkeypatch):
    monkeypatch.setattr(synthetic, "_render_all", pytest.fail)
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*")}
    synthesize(tiny, "tiny", seed=0)
    assert before == {path: path.stat().st_mtime_ns for path in tiny.rglob("*")}


def test_anything_else_in_the_folder_is_refused_and_kept(tiny, tmp_path):
    with pytest.raises(InputError, match="something other"):
        synthesize(tiny, "tiny", seed=1)
    with pytest.raises(InputError, match="something other"):
        synthesize(tiny, "tiny", seed=0, layout="regdb")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="something other"):
        synthesize(tmp_path, "tiny")
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}
    with pytest.raises(InputError, match="is a file"):
        synthesize(tmp_path / "thesis.txt", "tiny")


def test_a_stopped_rendering_leaves_nothing(tmp_path):
    class StoppedError(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        synthesize(tmp_path / "data", "tiny", 0, stop)
    assert not any(tmp_path.iterdir())


@pytest.mark.fault("B4")
@pytest.mark.parametrize("seeds", [(0, 0), (1, 0)])
def test_of_two_at_once_the_second_takes_the_firsts_folder(seeds, tmp_path, monkeypatch):
    output, ours = tmp_path / "data", iter((True, False))

    def render(folder, plan, size, seed, *_):
        (folder / "image").write_text(f"{seed}")
        if next(ours):
            synthesize(output, "tiny", seeds[1])
            (folder / "image").write_text("of the second")

    monkeypatch.setattr(synthetic, "_render_all", render)
    if seeds[0] == seeds[1]:
        synthesize(output, "tiny", seeds[0])
    else:
        with pytest.raises(InputError, match="holds something other"):
            synthesize(output, "tiny", seeds[0])
    assert (output / "image").read_text() == f"{seeds[1]}"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_empty_folder_and_missing_parents_are_filled(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    for output in (tmp_path / "empty", tmp_path / "a" / "b"):
        synthesize(output, "tiny", 0)
        assert contents(output) == contents(tiny)


def test_a_label_says_what_was_rendered(tiny, tmp_path):
    label = read_label(tiny)
    assert label is not None
    what = {"layout": "sysu_mm01", "preset": "tiny", "seed": 0, "version": synthetic.VERSION}
    assert label == {**what, "counts": label["counts"]}
    assert read_label(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    ['{"preset": "tiny", "seed": 0, "version": 1}', "[1, 2]", "{", '"layout"', "3", "[" * 100_000],
)
def test_a_label_of_another_form_is_reported(content, tmp_path):
    (tmp_path / "synthetic.json").write_text(content)
    with pytest.raises(InputError, match=r"synthetic\.json is damaged or of an older jreid"):
        read_label(tmp_path)
    with pytest.raises(InputError, match="render it again"):
        synthesize(tmp_path, "tiny")
    assert contents(tmp_path) == {"synthetic.json": content.encode()}


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": ""},
        {"layout": "market"},
        {"layout": ["regdb"]},
        {"counts": None},
        {"counts": ["abcde"]},
        {"counts": [["train", 3]]},
        {"counts": [["x", "visible", 1, 1, 1]]},
        {"counts": [[["train"], "visible", 1, 1, 1]]},
        {"counts": [["train", None, 1, 1, 1]]},
        {"counts": [["train", [1], 1, 1, 1]]},
        {"counts": [["train", "visible", 1, 1, 1.5]]},
        {"counts": [["train", "visible", "1", 1, 1]]},
        {"counts": [["train", "visible", 1, -1, 1]]},
    ],
)
def test_fields_of_another_form_are_reported(changes, tiny, tmp_path):
    label = json.loads((tiny / "synthetic.json").read_text())
    (tmp_path / "synthetic.json").write_text(json.dumps(label | changes))
    with pytest.raises(InputError, match=r"json is damaged or .* render it again\.$"):
        read_label(tmp_path)


def test_bad_input_is_reported(tmp_path):
    with pytest.raises(InputError, match="preset=huge does not exist"):
        synthesize(tmp_path / "data", "huge")
    with pytest.raises(
        InputError, match=r"layout=market does not exist.*llcm, mp_reid, orbench, regdb, sysu_mm01"
    ):
        synthesize(tmp_path / "data", "tiny", layout="market")
    with pytest.raises(InputError, match="seed -1"):
        synthesize(tmp_path / "data", "tiny", seed=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        synthesize(tmp_path / "file" / "data", "tiny")

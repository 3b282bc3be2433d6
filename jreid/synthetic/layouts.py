"""Plans the synthetic dataset in each real dataset's layout: its images and its lists.

A plan is a function of the preset and the seed; `synthesize` renders it.
"""

import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jreid.data.layouts.layout import Row
from jreid.datasets import INFRARED, MODALITIES, SPLITS, VISIBLE
from jreid.synthetic.cameras import CAMERAS, CAMPUS_CAMERAS, Camera, by_night
from jreid.synthetic.randomness import Purpose, generator

TRIALS = 10  # gallery draws of SYSU-MM01, splits of RegDB, as in the official files

SYSU_INDOOR_ABSENT = (1, 3)  # ranks, modulo 5, of test identities that cameras 1 and 2 do not see
REGDB_CAMERAS = CAMERAS[1], CAMERAS[2]  # a double camera: both film the same room
LLCM_FEWEST_CAMERAS = 3  # cameras that see an identity, in each modality
LLCM_NO_INFRARED_TEST = 3  # this camera has no infrared test images
ORBENCH_SYSU_CAMERA = 10  # is added to the cameras of SYSU-MM01 in ORBench
CAPTION = "A pedestrian."
MP_REID_EXPERIMENT = "cctv_ir_cctv_rgb"
MP_REID_CAMERAS = 6  # of each modality on the ground

Splits = Mapping[str, list[int]]  # identities by split, ascending


class Preset(NamedTuple):
    """How much to render: identities by split, images, image size."""

    train: int
    validation: int
    test: int
    images: tuple[int, int]  # fewest and most of an identity in a camera and modality
    size: tuple[int, int]  # height and width in pixels


class Shot(NamedTuple):
    """One image to render.

    Attributes:
        row: the image's row in the dataset; the path is relative to the dataset's folder.
        sensor: the camera that renders it.
        key: with the seed, everything that the image's random numbers depend on.
    """

    row: Row
    sensor: Camera
    key: tuple[int, ...]


class Plan(NamedTuple):
    """A dataset: its images, and the files that list them, by relative path."""

    shots: list[Shot]
    lists: Mapping[str, bytes]


def plan_sysu_mm01(preset: Preset, seed: int) -> Plan:
    """Four visible and two infrared cameras; some test identities are never seen indoors."""
    rng = generator(seed, Purpose.PLAN)
    splits = _draw_splits(preset, rng)
    people = sum(map(len, splits.values()))
    counts = rng.integers(preset.images[0], preset.images[1] + 1, (people, len(CAMERAS)))
    ranked = enumerate(splits["test"])
    absent = [identity for rank, identity in ranked if rank % 5 in SYSU_INDOOR_ABSENT]
    counts[np.array(absent, int) - 1, :2] = 0
    shots = [
        _shot(
            f"cam{camera.number}/{identity:04d}/{index:04d}.jpg",
            split, identity, camera.number, camera, (identity, camera.number, index),
        )
        for split, identities in splits.items()
        for identity in identities
        for camera, count in zip(CAMERAS, counts[identity - 1].tolist(), strict=True)
        for index in range(1, count + 1)
    ]  # fmt: skip
    lists = {
        "exp/train_id.txt": _identity_line(splits["train"]),
        "exp/val_id.txt": _identity_line(splits["validation"]),
        "exp/test_id.txt": _identity_line(splits["test"]),
        "exp/available_id.txt": _identity_line(range(1, people + 1)),
        "exp/rand_perm_cam.mat": _gallery_draws(counts, seed),
    }
    return Plan(shots, lists)


def _gallery_draws(counts: np.ndarray, seed: int) -> bytes:
    """`rand_perm_cam.mat` in the official form: by camera and identity `[TRIALS, images]`.

    Args:
        counts: `[identities, cameras]` numbers of images.
    """
    from scipy.io import savemat

    draws = np.empty((len(CAMERAS), 1), object)
    for column, camera in enumerate(CAMERAS):
        draws[column, 0] = np.empty((len(counts), 1), object)
        for row, images in enumerate(counts[:, column].tolist()):
            rng = generator(seed, Purpose.GALLERY, camera.number, row + 1)
            trials = np.tile(np.arange(1, images + 1, dtype=np.uint8), (TRIALS, 1))
            draws[column, 0][row, 0] = rng.permuted(trials, axis=1)
    content = io.BytesIO()
    savemat(content, {"rand_perm_cam": draws})
    # The first 116 bytes are free text, in which scipy puts the date.
    header = b"MATLAB 5.0 MAT-file, random gallery draws".ljust(116)
    return header + content.getvalue()[116:]


def plan_regdb(preset: Preset, seed: int) -> Plan:
    """One visible and one infrared camera, and ten splits; the rows' splits are trial 1's."""
    rng = generator(seed, Purpose.PLAN)
    trials = [_draw_splits(preset, rng) for _ in range(TRIALS)]
    shots: list[Shot] = []
    for identity, split in sorted((i, split) for split, ids in trials[0].items() for i in ids):
        for camera, (sensor, place) in enumerate(
            zip(REGDB_CAMERAS, ("Visible", "Thermal"), strict=True), 1
        ):
            for index in range(1, preset.images[0] + 1):
                # The real names begin with sex and view, which are not known here.
                name = f"synthetic_person_{place[0].lower()}_{len(shots) + 1:05d}_{identity}.bmp"
                key = (identity, sensor.number, index)
                path = f"{place}/{identity}/{name}"
                shots.append(_shot(path, split, identity, camera, sensor, key))
    lists = {
        f"idx/{split}_{word}_{trial}.txt": _label_lines(shots, modality, _ranks(splits[split]))
        for trial, splits in enumerate(trials, 1)
        for split in ("train", "test")
        for modality, word in ((VISIBLE, "visible"), (INFRARED, "thermal"))
    }
    return Plan(shots, lists)


def plan_llcm(preset: Preset, seed: int) -> Plan:
    """Nine cameras that film visible by day and infrared by night; each sees some identities."""
    splits = _draw_splits(preset, generator(seed, Purpose.PLAN))
    shots = [
        shot
        for split, identities in splits.items()
        for identity in identities
        for infrared in (False, True)
        for shot in _llcm_person(preset, seed, split, identity, infrared)
    ]
    lists = {"idx/test_id.txt": _identity_line(splits["test"])}
    themselves = {identity: identity for identity in splits["test"]}
    for modality, word in ((VISIBLE, "vis"), (INFRARED, "nir")):
        lists[f"idx/train_{word}.txt"] = _label_lines(shots, modality, _ranks(splits["train"]))
        lists[f"idx/test_{word}.txt"] = _label_lines(shots, modality, themselves)
    return Plan(shots, lists)


def _llcm_person(
    preset: Preset, seed: int, split: str, identity: int, infrared: bool
) -> list[Shot]:
    """An identity's images in one modality, by a random choice of cameras."""
    rng = generator(seed, Purpose.PLAN, identity, infrared)
    word, first_hour = ("nir", 18) if infrared else ("vis", 9)
    there = [camera.number for camera in CAMPUS_CAMERAS]
    if infrared and split == "test":
        there.remove(LLCM_NO_INFRARED_TEST)
    seen = rng.choice(there, rng.integers(LLCM_FEWEST_CAMERAS, len(there) + 1), replace=False)
    shots = []
    for number in sorted(seen.tolist()):
        camera = CAMPUS_CAMERAS[number - 1]
        place = f"test_{word}/cam{number}" if split == "test" else word
        hour, minute, second = first_hour + rng.integers(5), rng.integers(60), rng.integers(60)
        frame = int(rng.integers(9000))
        for index in range(1, int(rng.integers(preset.images[0], preset.images[1] + 1)) + 1):
            time = f"s{hour:02d}{minute:02d}{second:02d}_f{frame + 12 * index:04d}"
            path = f"{place}/{identity:04d}/{identity:04d}_c{number:02d}_{time}_{word}.jpg"
            sensor, key = by_night(camera) if infrared else camera, (identity, number, index)
            shots.append(_shot(path, split, identity, number, sensor, (*key, int(infrared))))
    return shots


def plan_orbench(preset: Preset, seed: int) -> Plan:
    """Half of the people as in LLCM and half as in SYSU-MM01, under names that say so."""
    splits = _draw_splits(preset, generator(seed, Purpose.PLAN))
    shots = [
        shot
        for split, identities in splits.items()
        for identity in identities
        for shot in _orbench_person(preset, seed, split, identity)
    ]
    numbers = _ranks([*splits["train"], *splits["test"]])  # other ones than those of the folders

    def named(split: str, modality: str) -> list[tuple[int, str]]:
        return [
            (numbers[row.identity] + 1, row.path.as_posix())
            for row, _, _ in shots
            if (row.split, row.modality) == (split, modality)
        ]

    train = [
        {"id": number, "file_path": path, "caption": CAPTION, "split": "train"}
        for number, path in named("train", VISIBLE)
    ]
    infrared = named("test", INFRARED)
    test = {
        "RGB_GALLERY": named("test", VISIBLE),
        "NIR": infrared,
        "TEXT": [(number, CAPTION) for number, _ in infrared],
        "NIR+TEXT": [(number, path, CAPTION) for number, path in infrared],
    }
    lists = {"train_annos.json": train, "test_gallery_and_queries.json": test}
    return Plan(shots, {name: f"{json.dumps(rows)}\n".encode() for name, rows in lists.items()})


def _orbench_person(preset: Preset, seed: int, split: str, identity: int) -> list[Shot]:
    """An identity's images: of two cameras in each modality, of its origin."""
    rng, of_llcm = generator(seed, Purpose.PLAN, identity), identity % 2 == 1
    shots = []
    for word, infrared in (("vis", False), ("nir", True)):
        there = CAMPUS_CAMERAS if of_llcm else [c for c in CAMERAS if c.infrared == infrared]
        for camera, index in _of_two_cameras(preset, rng, there):
            sensor = by_night(camera) if of_llcm and infrared else camera
            origin = f"llcm_{identity + 3:04d}_c{camera.number:02d}_s120000_f"
            number = camera.number
            if not of_llcm:
                origin = f"sysu_{identity + 3:04d}_cam{number}_"
                number += ORBENCH_SYSU_CAMERA
            path = f"{word}/{identity:04d}/{identity:04d}_{origin}{index:04d}_{word}.jpg"
            key = identity, number, index, int(infrared)
            shots.append(_shot(path, split, identity, number, sensor, key))
    return shots


def plan_mp_reid(preset: Preset, seed: int) -> Plan:
    """The ground cameras, six visible and six infrared, and the lists of their experiment."""
    splits = _draw_splits(preset, generator(seed, Purpose.PLAN))
    shots = [
        shot
        for split, identities in splits.items()
        for identity in identities
        for shot in _mp_reid_person(preset, seed, split, identity)
    ]
    words = {"train": "train", "validation": "val", "test": "test"}
    lists = {f"{words[split]}_id.txt": people for split, people in splits.items()}
    lists["available_id.txt"] = sorted(itertools.chain(*splits.values()))
    home = f"split/exp_{MP_REID_EXPERIMENT}"
    return Plan(shots, {f"{home}/{name}": _identity_line(ids) for name, ids in lists.items()})


def _mp_reid_person(preset: Preset, seed: int, split: str, identity: int) -> list[Shot]:
    """An identity's images: of two cameras in each modality."""
    rng = generator(seed, Purpose.PLAN, identity)
    shots = []
    for infrared in (False, True):
        for camera, index in _of_two_cameras(preset, rng, CAMPUS_CAMERAS[:MP_REID_CAMERAS]):
            number = camera.number + (MP_REID_CAMERAS if infrared else 0)
            path = f"{number:02d}/{identity:04d}/{index:04d}.jpg"
            sensor, key = by_night(camera) if infrared else camera, (identity, number, index)
            shots.append(_shot(path, split, identity, number, sensor, key))
    return shots


def _of_two_cameras(
    preset: Preset, rng: np.random.Generator, cameras: Sequence[Camera]
) -> Iterator[tuple[Camera, int]]:
    """A random choice of two cameras, each with the numbers of its images of an identity."""
    for position in sorted(rng.choice(len(cameras), 2, replace=False).tolist()):
        for index in range(1, int(rng.integers(preset.images[0], preset.images[1] + 1)) + 1):
            yield cameras[position], index


def _draw_splits(preset: Preset, rng: np.random.Generator) -> Splits:
    order = rng.permutation(preset.train + preset.validation + preset.test) + 1
    parts = np.split(order, np.cumsum([preset.train, preset.validation]))
    return {split: sorted(part.tolist()) for split, part in zip(SPLITS, parts, strict=True)}


def _shot(
    path: str, split: str, identity: int, camera: int, sensor: Camera, key: tuple[int, ...]
) -> Shot:
    name, modality = path.rpartition(".")[0], MODALITIES[sensor.infrared]
    return Shot(Row(name, identity, camera, modality, split, Path(path)), sensor, key)


def _ranks(identities: Iterable[int]) -> dict[int, int]:
    return {identity: rank for rank, identity in enumerate(identities)}


def _identity_line(identities: Iterable[int]) -> bytes:
    return (",".join(map(str, identities)) + "\n").encode()


def _label_lines(shots: Iterable[Shot], modality: str, labels: Mapping[int, int]) -> bytes:
    """Path and label of every image of one modality whose identity has a label."""
    return "".join(
        f"{row.path.as_posix()} {labels[row.identity]}\n"
        for row, _, _ in shots
        if row.modality == modality and row.identity in labels
    ).encode()


LAYOUTS: Mapping[str, Callable[[Preset, int], Plan]] = {
    "sysu_mm01": plan_sysu_mm01,
    "regdb": plan_regdb,
    "llcm": plan_llcm,
    "orbench": plan_orbench,
    "mp_reid": plan_mp_reid,
}

PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "default": {
        "sysu_mm01": Preset(120, 20, 60, images=(6, 8), size=(128, 64)),
        "regdb": Preset(50, 0, 50, images=(10, 10), size=(128, 64)),
        "llcm": Preset(80, 0, 40, images=(1, 3), size=(128, 64)),
        "orbench": Preset(80, 0, 40, images=(2, 4), size=(128, 64)),
        "mp_reid": Preset(80, 10, 40, images=(2, 4), size=(128, 64)),
    },
    "tiny": {
        "sysu_mm01": Preset(8, 4, 6, images=(2, 3), size=(64, 32)),
        "regdb": Preset(6, 0, 6, images=(3, 3), size=(64, 32)),
        "llcm": Preset(8, 0, 6, images=(1, 3), size=(64, 32)),
        "orbench": Preset(8, 0, 6, images=(2, 3), size=(64, 32)),
        "mp_reid": Preset(8, 4, 6, images=(2, 3), size=(64, 32)),
    },
}

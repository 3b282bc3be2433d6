"""Renders a small visible-infrared pedestrian dataset in SYSU-MM01's own folder layout.

Every image is a function of (seed, identity, camera, index) alone, so that the bytes do not depend
on the number of worker processes. `rendering` draws the images; this file decides which there are.
"""

import io
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import savemat

from jreid.data.rendering.cameras import CAMERAS, jpeg
from jreid.data.rendering.pedestrians import sample_person
from jreid.data.rendering.photograph import photograph
from jreid.data.rendering.randomness import Purpose, generator
from jreid.errors import InputError

VERSION = 1  # of the renderer: raised whenever the same preset and seed give other bytes

INDOOR_ABSENT = (1, 3)  # test identities of these ranks modulo 5 are never seen by cameras 1 and 2
TRIALS = 10  # gallery draws, as in the official file
IMAGES_A_WORKER = 400  # starting a process costs as much as rendering some hundred images


class Preset(NamedTuple):
    """How much to render: identities by split, images an identity and camera, image size."""

    train: int
    validation: int
    test: int
    images: tuple[int, int]  # fewest and most
    size: tuple[int, int]  # height and width in pixels


PRESETS: Mapping[str, Preset] = {
    "default": Preset(train=120, validation=20, test=60, images=(6, 8), size=(128, 64)),
    "tiny": Preset(train=8, validation=4, test=6, images=(2, 3), size=(64, 32)),
}

Splits = dict[str, list[int]]  # identities by split
Counts = dict[int, tuple[int, ...]]  # numbers of images in cameras 1 to 6 by identity


class Job(NamedTuple):
    """One identity's rendering: the number of images in each of the six cameras."""

    folder: str
    preset: str
    seed: int
    identity: int
    counts: tuple[int, ...]


def synthesize(
    output: Path,
    preset: str = "default",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Renders a dataset into `output`, or returns at once if it already stands there.

    The folder appears complete or not at all: it is rendered beside its place and then renamed.
    The same preset and seed give the same bytes, whatever the number of workers.

    Args:
        output: the dataset's folder: `cam1` to `cam6`, `exp`, and `synthetic.json`.
        preset: a name of `PRESETS`.
        seed: not negative.
        progress: called with the numbers of images done and in all.
        workers: processes, by default one a core; 1 renders in this process.

    Raises:
        InputError: the preset is unknown, the seed negative, or `output` holds something else or
            cannot be written.
    """
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r} is unknown: choose one of {', '.join(PRESETS)}")
    if seed < 0:
        raise InputError(f"seed {seed} is negative: give 0 or more")
    label = {"preset": preset, "seed": seed, "version": VERSION}
    output = Path(output).absolute()
    partial_folder = output.parent / f".{output.name}.partial"
    try:
        if _is_complete(output, label):
            return
        if partial_folder.exists():
            shutil.rmtree(partial_folder)
        partial_folder.mkdir(parents=True)
        _render_all(partial_folder, preset, seed, progress, workers)
        (partial_folder / "synthetic.json").write_text(json.dumps(label) + "\n")
        partial_folder.replace(output)
    except OSError as error:
        raise InputError(
            f"{output} cannot be written ({error.strerror or error}): "
            "name a folder that you may write to, on a disk with space"
        ) from error


def _is_complete(output: Path, label: dict[str, str | int]) -> bool:
    """Whether the dataset of this label is there; raises if anything else is."""
    if not output.exists():
        return False
    if not output.is_dir():
        raise InputError(f"{output} is a file: name a new folder for the synthetic dataset")
    if not any(output.iterdir()):
        return False
    try:
        found = json.loads((output / "synthetic.json").read_text())
    except (OSError, ValueError):
        found = None
    if found != label:
        raise InputError(
            f"{output} holds something else than the synthetic dataset {label}: "
            "name a new folder, or remove this one"
        )
    return True


def _plan(preset: Preset, seed: int) -> tuple[Splits, Counts]:
    """Who is in which split, and how often each camera sees whom."""
    rng = generator(seed, Purpose.PLAN)
    people = preset.train + preset.validation + preset.test
    order = rng.permutation(people) + 1
    parts = np.split(order, np.cumsum([preset.train, preset.validation]))
    splits = {
        name: sorted(part.tolist())
        for name, part in zip(("train", "val", "test"), parts, strict=True)
    }
    counts = rng.integers(preset.images[0], preset.images[1] + 1, (people, len(CAMERAS)))
    absent = [identity for rank, identity in enumerate(splits["test"]) if rank % 5 in INDOOR_ABSENT]
    counts[np.array(absent, int) - 1, :2] = 0
    return splits, {i + 1: tuple(row) for i, row in enumerate(counts.tolist())}


def _render_all(
    folder: Path,
    preset: str,
    seed: int,
    progress: Callable[[int, int], None] | None,
    workers: int | None,
) -> None:
    splits, counts = _plan(PRESETS[preset], seed)
    (folder / "exp").mkdir()
    _write_id_lists(folder / "exp", splits, counts)
    _write_gallery_draws(folder / "exp" / "rand_perm_cam.mat", counts, seed)
    jobs = [Job(str(folder), preset, seed, identity, counts[identity]) for identity in counts]
    total, done = sum(map(sum, counts.values())), 0
    workers = workers or min(os.cpu_count() or 1, 1 + total // IMAGES_A_WORKER)
    with closing(_run(jobs, workers)) as finished:  # after an error, drop the jobs not yet begun
        for images in finished:
            done += images
            if progress:
                progress(done, total)


def _run(jobs: list[Job], workers: int) -> Generator[int, None, None]:
    """Renders the jobs in order and yields each one's number of images."""
    if workers == 1:
        yield from map(_render_person, jobs)
        return
    # A fork of a process in which JAX has started its threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_die_with_parent) as pool:
        yield from pool.map(_render_person, jobs)


def _die_with_parent() -> None:
    """Ends this worker when its parent is killed, which otherwise leaves it waiting for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _write_id_lists(folder: Path, splits: Splits, counts: Counts) -> None:
    for name, identities in {**splits, "available": sorted(counts)}.items():
        (folder / f"{name}_id.txt").write_text(",".join(map(str, identities)) + "\n")


def _write_gallery_draws(file: Path, counts: Counts, seed: int) -> None:
    """`rand_perm_cam.mat` in the official form: by camera and identity `[TRIALS, images]`."""
    draws = np.empty((len(CAMERAS), 1), object)
    for row, camera in enumerate(CAMERAS):
        draws[row, 0] = np.empty((len(counts), 1), object)
        for identity, numbers in counts.items():
            rng = generator(seed, Purpose.GALLERY, camera.number, identity)
            trials = np.tile(np.arange(1, numbers[row] + 1, dtype=np.uint8), (TRIALS, 1))
            draws[row, 0][identity - 1, 0] = rng.permuted(trials, axis=1)
    content = io.BytesIO()
    savemat(content, {"rand_perm_cam": draws})
    # The first 116 bytes are free text, in which scipy puts the date.
    header = b"MATLAB 5.0 MAT-file, random gallery draws".ljust(116)
    file.write_bytes(header + content.getvalue()[116:])


def _render_person(job: Job) -> int:
    """Renders one identity's images and returns their number."""
    person = sample_person(generator(job.seed, Purpose.PERSON, job.identity))
    size = PRESETS[job.preset].size
    for camera, count in zip(CAMERAS, job.counts, strict=True):
        folder = Path(job.folder, f"cam{camera.number}", f"{job.identity:04d}")
        if count:
            folder.mkdir(parents=True)
        for index in range(1, count + 1):
            rng = generator(job.seed, Purpose.IMAGE, job.identity, camera.number, index)
            image = photograph(person, camera, job.seed, size, rng)
            (folder / f"{index:04d}.jpg").write_bytes(jpeg(image, camera, rng))
    return sum(job.counts)

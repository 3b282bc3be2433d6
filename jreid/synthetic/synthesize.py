"""Renders a small visible-infrared pedestrian dataset in the folder layout of a real one.

Every image is a function of (seed, identity, camera, index), and of the modality where a camera has
both, and of nothing else, so the bytes do not depend on the number of worker processes.
`layouts` plans the images, `photograph` draws them, and this file runs both.
"""

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jreid.data.forms import bmp
from jreid.data.layouts.layout import counts
from jreid.data.layouts.synthetic_label import LABEL_FILE, read_label
from jreid.data.whole_folder import whole_folder
from jreid.errors import InputError
from jreid.find import require_name
from jreid.process import cores
from jreid.synthetic.cameras import jpeg
from jreid.synthetic.layouts import LAYOUTS, PRESETS, Plan, Shot
from jreid.synthetic.pedestrians import sample_person
from jreid.synthetic.photograph import photograph
from jreid.synthetic.randomness import Purpose, generator

VERSION = 1  # of the renderer: raised when the same preset and seed give other bytes

IMAGES_PER_WORKER = 400  # starting a process takes as long as rendering a few hundred images


class Job(NamedTuple):
    """One identity's images, their size (height, width), and the dataset they belong to."""

    folder: str
    size: tuple[int, int]
    seed: int
    shots: list[Shot]


def synthesize(
    output: Path,
    preset: str = "default",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    layout: str = "sysu_mm01",
) -> None:
    """Renders a dataset into `output`, or returns without work if it already exists there.

    The folder is created completely or not at all: it is rendered under another name and then
    renamed. If several calls run at the same time, the first to end creates the folder, and the
    others accept it if it is the same dataset. The same preset and seed give the same bytes, with
    any number of workers.

    Args:
        output: the dataset's folder: images and lists as in the layout, and `synthetic.json`.
        preset: a name of `PRESETS`.
        seed: not negative.
        progress: called with the numbers of images done and in all.
        workers: number of processes, by default one per core; 1 renders in this process.
        layout: a name of `LAYOUTS`: the real dataset that gives the folder's layout.

    Raises:
        InputError: preset or layout is unknown, the seed is negative, or `output` holds something
            else or cannot be written.
    """
    require_name("preset", preset, PRESETS)
    require_name("layout", layout, LAYOUTS)
    if seed < 0:
        raise InputError(f"seed {seed} is negative: give 0 or more.")
    label = {"layout": layout, "preset": preset, "seed": seed, "version": VERSION}
    output = Path(output).absolute()
    try:
        if _is_complete(output, label):
            return
        how_much = PRESETS[preset][layout]
        plan = LAYOUTS[layout](how_much, seed)
        found = counts(shot.row for shot in plan.shots)
        with whole_folder(output) as folder:
            _render_all(folder, plan, how_much.size, seed, progress, workers)
            rows = [[*group, *count] for group, count in found.items()]
            (folder / LABEL_FILE).write_text(json.dumps({**label, "counts": rows}) + "\n")
        _is_complete(output, label)  # otherwise another process created something else first
    except OSError as error:
        raise InputError(
            f"{output} cannot be written ({error.strerror or error}): "
            "name a folder that you may write to, on a disk with space."
        ) from error


def _is_complete(output: Path, wanted: dict[str, Any]) -> bool:
    """Whether the dataset of these fields exists; raises InputError if something else exists."""
    if not output.exists():
        return False
    if not output.is_dir():
        raise InputError(f"{output} is a file: name a new folder for the synthetic dataset.")
    if not any(output.iterdir()):
        return False
    found = read_label(output)
    if found is None or not wanted.items() <= found.items():
        raise InputError(
            f"{output} holds something other than the synthetic dataset {wanted}: "
            "name a new folder, or remove this one."
        )
    return True


def _render_all(
    folder: Path,
    plan: Plan,
    size: tuple[int, int],
    seed: int,
    progress: Callable[[int, int], None] | None,
    workers: int | None,
) -> None:
    for path, content in plan.lists.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    people: dict[int, list[Shot]] = {}
    for shot in plan.shots:
        people.setdefault(shot.row.identity, []).append(shot)
    jobs = [Job(str(folder), size, seed, shots) for shots in people.values()]
    total, done = len(plan.shots), 0
    workers = workers or min(len(cores()), 1 + total // IMAGES_PER_WORKER)
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
    # A forked worker may hang if JAX has already started threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_die_with_parent) as pool:
        yield from pool.map(_render_person, jobs)


def _die_with_parent() -> None:
    """Ends this worker when its parent is killed; otherwise it would wait forever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _render_person(job: Job) -> int:
    """Renders one identity's images and returns their number."""
    person = sample_person(generator(job.seed, Purpose.PERSON, job.shots[0].row.identity))
    for row, sensor, key in job.shots:
        rng = generator(job.seed, Purpose.IMAGE, *key)
        image = photograph(person, sensor, job.seed, job.size, rng)
        file = Path(job.folder, row.path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            bmp(np.asarray(image)) if file.suffix == ".bmp" else jpeg(image, sensor, rng)
        )
    return len(job.shots)

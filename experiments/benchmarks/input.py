"""Images per second that our pipeline and a plain PyTorch DataLoader decode and augment.

python -m experiments.benchmarks.input [CONFIG ...] [--images=N] [--rounds=R] [--folder=DIR]

Of each config's augmentation (default: all methods at SYSU-MM01's scale); configs of equal
augmentation share a row. All work as in training, on all cores that the process may use:

* encoded: our pipeline, which reads the bytes of the JPEG files from memory, where a Table holds
  them;
* resized: our pipeline with `config.data.cache=resized`;
* a DataLoader with one worker process for each core; its Dataset opens the files by path, as the
  released codes and torchvision's transforms do, and the system keeps them in its cache.

They take turns, and the best round of each counts. The table has images per second of CPU time, of
the whole process and its workers: what one core does. Other work on the machine changes that less
than the clock. Ours include the normalization of the batches in float32, which is the device's
work: a GPU takes it from the cores. Without --folder, files of SYSU-MM01's size are rendered into a
temporary folder.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from PIL import Image

from jreid import config as configs
from jreid.config_file import shipped_configs
from jreid.data.augmentation import Augmentation
from jreid.data.pipeline import training_batches
from jreid.data.plain_folder import read_folder
from jreid.data.resized import resized_images
from jreid.data.samplers import Plan
from jreid.data.table import Table
from jreid.datasets import MODALITIES
from jreid.distributed.mesh import make_mesh, split
from jreid.errors import InputError
from jreid.process import configure, cores
from jreid.synthetic.cameras import CAMERAS
from jreid.synthetic.pedestrians import sample_person
from jreid.synthetic.photograph import photograph
from jreid.synthetic.randomness import Purpose, generator

P, K = 8, 4  # identities of a step, images of an identity and modality
WARM_STEPS, STEPS = 6, 24
# An H200 trains ResNet-50 on 3,700 images per second in bfloat16; beside it are 16 cores.
WANTED = 3700 / 16
Batches = Callable[[], Iterator[Any]]


class Speed(NamedTuple):
    """Images per second, by the clock and by the CPU time of all threads and processes."""

    a_second: float
    a_cpu_second: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a row for each kind of augmentation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    every = [f"{name}:sysu_mm01" for name in shipped_configs()]
    parser.add_argument("configs", nargs="*", default=every)
    parser.add_argument("--images", type=int, default=320, help="number of images to render")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="folder of JPEG files (default: rendered ones)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary, "images")
        if not options.folder:
            folder.mkdir()
            render(folder, options.images)
        try:
            names, paths, _ = read_folder(folder)
            augmentations = by_augmentation(options.configs)
        except InputError as error:
            parser.error(str(error))
        if len(paths) < 4 * P:
            parser.error(f"there are {len(paths)} images; give at least {4 * P}.")
        images = [path.read_bytes() for path in paths]
        size = sum(map(len, images)) / len(images) / 1e3
        print(f"{len(images)} images of {size:.1f} kB on average, on {len(cores())} cores\n")
        print("| config | size | encoded | resized | PyTorch DataLoader | encoded / wanted |")
        print("|---|---|---|---|---|---|")
        for sources, augmentation in augmentations.items():
            pipelines = {
                "encoded": ours(names, images, augmentation),
                "resized": ours(names, images, augmentation, resized_in=Path(temporary)),
                "peer": torch_loader(paths, augmentation),
            }
            found = compare(pipelines, options.rounds)
            height, width = augmentation.size
            cells = [found.get(name) for name in pipelines]
            rates = [f"{speed.a_cpu_second:,.0f}" if speed else "-" for speed in cells]
            wanted = f"{found['encoded'].a_cpu_second / WANTED:.1f}"
            row = sources, f"{height} x {width}", *rates, wanted
            print(f"| {' | '.join(row)} |", flush=True)
    print(f"\nImages per second of CPU time. Wanted are {WANTED:.0f}: 3,700 by 16 cores.")


def augmentation_of(source: str) -> Augmentation:
    """The augmentation of a config."""
    return Augmentation(**configs.load(source).image, erase_fill=0.0)


def by_augmentation(sources: Sequence[str]) -> dict[str, Augmentation]:
    """The augmentations of configs; the key names all configs that have it."""
    same: dict[Augmentation, list[str]] = {}
    for source in sources:
        same.setdefault(augmentation_of(source), []).append(source)
    return {", ".join(names): augmentation for augmentation, names in same.items()}


def render(folder: Path, images: int) -> None:
    """Renders JPEG files like SYSU-MM01's: crops of 250 to 500 pixels' height, 5 to 30 kB."""
    for index in range(images):
        rng = np.random.default_rng([0, index])
        camera = CAMERAS[index % len(CAMERAS)]
        person = sample_person(generator(0, Purpose.PERSON, index // 8))
        height = int(rng.integers(250, 501))
        size = max(100, int(height * rng.uniform(0.35, 0.5))), height
        small = photograph(person, camera, 0, (240, 120), rng)
        pixels = np.asarray(small.resize(size, Image.Resampling.BICUBIC))
        noise = rng.normal(0, 3, (*pixels.shape[:2], 1 if camera.infrared else 3))
        noisy = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
        noisy.save(folder / f"{index:05d}.jpg", quality=int(rng.integers(80, 95)))


def compare(pipelines: dict[str, Batches | None], rounds: int) -> dict[str, Speed]:
    """Lets the pipelines take turns; the best of each. None is a pipeline that is not there."""
    there = {name: run for name, run in pipelines.items() if run}
    speeds: dict[str, list[Speed]] = {name: [] for name in there}
    for _ in range(rounds):
        for name, run in there.items():
            speeds[name].append(measure(run()))
    return {name: Speed(*map(max, zip(*found, strict=True))) for name, found in speeds.items()}


def measure(batches: Iterator[Any]) -> Speed:
    """The speed of a running pipeline; batches that are ready in advance are used first."""
    for _ in range(WARM_STEPS):
        next(batches)
    start, cpu = time.monotonic(), cpu_seconds()
    for _ in range(STEPS):
        jax.block_until_ready(next(batches))
    images = STEPS * 2 * P * K
    speed = Speed(images / (time.monotonic() - start), images / (cpu_seconds() - cpu))
    for _ in batches:
        pass
    return speed


def cpu_seconds() -> float:
    """CPU time of this process, all its threads, and its workers."""
    process = psutil.Process()
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def ours(
    names: list[str],
    images: list[bytes],
    options: Augmentation,
    identities: int = P,
    images_each: int = K,
    resized_in: Path | None = None,
) -> Batches:
    """jreid's training pipeline on made-up labels, up to the devices.

    Args:
        resized_in: the folder of the cache of resized images; None to decode in each step.
    """
    rows = np.arange(len(images))
    content = np.empty(len(images), object)
    content[:] = images
    table = Table(
        name=np.array(names),
        identity=rows // 2 % identities,
        camera=rows,
        modality=np.array(MODALITIES)[rows % 2],
        split=np.full(len(images), "train"),
        image=content,
    )
    plan = Plan("identity_uniform", table, identities, images_each, seed=0, epochs=1000)
    first = plan.steps - WARM_STEPS - STEPS
    resized = resized_images(table, options, resized_in) if resized_in else None
    sharding = split(make_mesh())
    return lambda: training_batches(table, plan, options, 0, first, sharding, resized)


def torch_loader(paths: list[Path], options: Augmentation) -> Batches | None:
    """PyTorch's DataLoader; None if PyTorch is missing."""
    try:
        from experiments.benchmarks.input_torch import loader
    except ImportError:
        return None
    batches = loader(paths, options, (WARM_STEPS + STEPS, 2 * P * K))
    return lambda: iter(batches)


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()

"""Images per second that our pipeline and a plain PyTorch DataLoader decode and augment.

python -m experiments.benchmarks.input [--images=N] [--rounds=R] [--folder=DIR]

Both work as in training, on all cores. Ours has one thread for each core and reads the bytes of the
JPEG files from memory, where a Table holds them. The DataLoader has one worker process for each
core, and its Dataset opens the files by path, as the released codes and torchvision's transforms
do; the system keeps them in its cache. They take turns, and the best round of each counts. CPU
seconds are those of the whole process and its workers; other work on the machine changes them less
than the clock. Without --folder, files of SYSU-MM01's size are rendered into a temporary folder.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from PIL import Image, ImageOps

from jreid.data.augmentation import Augmentation
from jreid.data.pipeline import training_batches
from jreid.data.pixels import IMAGENET_MEAN, IMAGENET_STD
from jreid.data.plain_folder import read_folder
from jreid.data.samplers import Plan
from jreid.data.table import MODALITIES, Table
from jreid.distributed.mesh import make_mesh, split
from jreid.errors import InputError
from jreid.process import configure
from jreid.synthetic.cameras import CAMERAS
from jreid.synthetic.pedestrians import sample_person
from jreid.synthetic.photograph import photograph
from jreid.synthetic.randomness import Purpose, generator

P, K = 8, 4  # identities of a step, images of an identity and modality
WARM_STEPS, STEPS = 6, 24
ERASING = {"erase_area": (0.02, 0.33), "erase_ratio": (0.3, 3.3), "erase_fill": 0.0}
OPTIONS = {
    "AGW, 288x144": Augmentation(
        (288, 144), "lanczos", "crop_first", 0.5, 10, 0.0, erase_probability=0.0, **ERASING
    ),
    "IDKL, 384x144": Augmentation(
        (384, 144), "bilinear", "flip_first", 0.5, 10, 127.0, erase_probability=0.5, **ERASING
    ),
}
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}


class Speed(NamedTuple):
    """Images per second, by the clock and by the CPU time of all threads and processes."""

    a_second: float
    a_cpu_second: float


def main() -> None:
    """Prints a line for each pipeline and each kind of augmentation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=320, help="number of images to render")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="folder of JPEG files (default: rendered ones)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if not arguments.folder:
            render(Path(temporary), arguments.images)
        names, paths, _ = read_folder(arguments.folder or Path(temporary))
        if len(paths) < 4 * P:
            raise InputError(f"there are {len(paths)} images; give at least {4 * P}")
        images = [path.read_bytes() for path in paths]
        size = sum(map(len, images)) / len(images) / 1e3
        print(f"{len(images)} images of {size:.1f} kB on average")
        for label, options in OPTIONS.items():
            runs = {"jreid": ours(names, images, options)}
            if plain := torch_loader(paths, options):
                runs["PyTorch DataLoader"] = plain
            compare(label, runs, arguments.rounds)
    if not plain:
        print("PyTorch is not installed, so there is nothing to compare with.")


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


def compare(label: str, runs: dict[str, Callable[[], Iterator[Any]]], rounds: int) -> None:
    """Lets the pipelines take turns and prints the best of each, and the ratio."""
    speeds: dict[str, list[Speed]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            speeds[name].append(measure(run()))
    best = {name: Speed(*map(max, zip(*found, strict=True))) for name, found in speeds.items()}
    for name, (a_second, a_cpu_second) in best.items():
        print(
            f"{label}: {name} {a_second:.0f} images/s, {a_second / cores():.0f} per core, "
            f"{a_cpu_second:.0f} per CPU second"
        )
    if len(best) == 2:
        clock, cpu = (mine / plain for mine, plain in zip(*best.values(), strict=True))
        print(f"{label}: {clock:.2f} times as fast, {cpu:.2f} times by CPU time")


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


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def ours(
    names: list[str],
    images: list[bytes],
    options: Augmentation,
    identities: int = P,
    images_each: int = K,
) -> Callable[[], Iterator[Any]]:
    """jreid's training pipeline on made-up labels, up to the devices."""
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
    return lambda: training_batches(table, plan, options, 0, first, split(make_mesh()))


def torch_loader(paths: list[Path], options: Augmentation) -> Callable[[], Iterator[Any]] | None:
    """A DataLoader with one worker for each core; None if PyTorch is missing."""
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        return None
    rows = np.random.default_rng(0).integers(len(paths), size=(WARM_STEPS + STEPS, 2 * P * K))
    loader = DataLoader(
        TorchImages(paths, options),  # pyright: ignore[reportArgumentType]
        batch_sampler=rows.tolist(),
        num_workers=cores(),
        multiprocessing_context="spawn",  # a fork of a process with threads may hang
        persistent_workers=True,
    )
    return lambda: iter(loader)


class TorchImages:
    """Files opened, decoded and augmented as the released loaders do: Pillow, then tensors.

    The same steps as torchvision's transforms, so that the benchmark does not need torchvision.
    """

    def __init__(self, paths: list[Path], options: Augmentation) -> None:
        self.paths, self.options = paths, options

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Any:
        import torch

        options = self.options
        height, width = options.size
        image = Image.open(self.paths[row]).convert("RGB")
        image = image.resize((width, height), RESAMPLING[options.resize])
        flips = torch.rand(1).item() < options.flip_probability
        if flips and options.order == "flip_first":
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = ImageOps.expand(image, options.padding, (int(options.padding_fill),) * 3)
        top, left = torch.randint(2 * options.padding + 1, (2,)).tolist()
        image = image.crop((left, top, left + width, top + height))
        if flips and options.order == "crop_first":
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        levels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        pixels = levels.to(torch.float32).div(255)  # ToTensor
        mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
        return self.erase(pixels.clone().sub_(mean).div_(std))  # Normalize

    def erase(self, pixels: Any) -> Any:
        """Random erasing in place."""
        import torch

        options = self.options
        height, width = options.size
        if torch.rand(1).item() >= options.erase_probability:
            return pixels
        for _ in range(10):
            area = height * width * torch.empty(1).uniform_(*options.erase_area).item()
            log_ratio = torch.log(torch.tensor(options.erase_ratio)).tolist()
            ratio = math.exp(torch.empty(1).uniform_(*log_ratio).item())
            tall, wide = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if tall < height and wide < width:
                top = torch.randint(height - tall + 1, (1,)).item()
                left = torch.randint(width - wide + 1, (1,)).item()
                pixels[:, top : top + tall, left : left + wide] = options.erase_fill
                break
        return pixels


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()

"""Peak memory of a process that holds all of SYSU-MM01 and makes training batches of it.

python -m experiments.benchmarks.input_memory [--folder=DIR] [--prepared=DIR]

The number is the highest resident set, with all libraries, without the encoded bytes of the images:
once for the process that packs the dataset on first use, once for a later one. Without --folder, a
temporary folder gets as many files as SYSU-MM01 has in each split and camera, and of its sizes.
They repeat 300 rendered pictures, each file with its own comment.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

from experiments.benchmarks.input import K, P, augmentation_of, render
from experiments.benchmarks.measure import peak
from jreid.data.layouts.sysu_mm01 import COUNTS, SPLIT_FILES
from jreid.process import configure

PICTURES, STEPS = 300, 20


def main() -> None:
    """Prints a line for the first process and one for the second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="folder of SYSU-MM01 (default: made-up files)")
    parser.add_argument("--prepared", type=Path, help="where packed images are kept")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.folder, options.prepared)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary, "sysu_mm01")
        if not options.folder:
            make_files(folder)
        places = [f"--folder={folder}", f"--prepared={options.prepared or Path(temporary, 'p')}"]
        for label in ("packing", "packed before"):
            print(f"{label}: ", end="", flush=True)
            command = [sys.executable, "-m", "experiments.benchmarks.input_memory", "--measure"]
            subprocess.run([*command, *places], check=True)


def make_files(folder: Path) -> None:
    """Makes a folder of SYSU-MM01's layout and counts; only the files' bytes are made up."""
    with tempfile.TemporaryDirectory() as temporary:
        render(Path(temporary), PICTURES)
        pictures = [file.read_bytes() for file in sorted(Path(temporary).iterdir())]
    first, number = 1, 0
    for split, file in SPLIT_FILES.items():
        counts = {group.camera: count for group, count in COUNTS.items() if group.split == split}
        most = max(395 * (split == "train"), *(count.identities for count in counts.values()))
        identities = range(first, first + most)
        first += most
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(",".join(map(str, identities)) + "\n")
        for camera, count in counts.items():
            # Some cameras take the first identities, others the last, so that each one appears.
            chosen = identities[:: -1 if camera in (2, 5, 6) else 1][: count.identities]
            for image in range(count.images):
                place = folder / f"cam{camera}" / f"{chosen[image % len(chosen)]:04d}"
                place.mkdir(parents=True, exist_ok=True)
                content = with_comment(pictures[number % PICTURES], f"{number}")
                (place / f"{image // len(chosen) + 1:04d}.jpg").write_bytes(content)
                number += 1


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same picture with a comment, so that its bytes are different."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + jpeg[2:]


def measure(folder: Path, prepared: Path) -> None:
    """Prints the memory that this process needs for a folder's images and batches of them."""
    from jreid.data.dataset import Source, load
    from jreid.data.pipeline import training_batches
    from jreid.data.samplers import Plan

    source = Source("sysu_mm01", "sysu_mm01", folder, allow_partial=True)
    table = load(source, prepared).table
    encoded, loaded, images = sum(map(len, table.image)), peak(), len(table.image)
    training = table.take(np.flatnonzero(table.split == "train"))
    plan = Plan("identity_uniform", training, P, K, seed=0, epochs=1)
    sharding = jax.sharding.NamedSharding(
        jax.make_mesh((1,), ("data",), devices=jax.devices()[:1]),
        jax.sharding.PartitionSpec("data"),
    )
    augmentation = augmentation_of("agw:sysu_mm01")
    for step, batch in enumerate(training_batches(training, plan, augmentation, 0, 0, sharding), 1):
        jax.block_until_ready(batch)
        if step == STEPS:
            break
    print(
        f"{images:,} images of {encoded / 1e6:.0f} MB; beyond them {(loaded - encoded) / 1e6:.0f} "
        f"MB when loaded, {(peak() - encoded) / 1e6:.0f} MB after {STEPS} steps of AGW",
        flush=True,
    )


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()

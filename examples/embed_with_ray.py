"""Embeds images by Ray, on the processors or GPUs of one machine or of a cluster.

pip install ".[ray]"
python examples/embed_with_ray.py --shards=8 --gpus=1 \
    --workdir=runs/agw --images=photos --modality=visible --output=photos.parquet

All flags but the first ones are those of `jreid embed`, and the output is the folder that its jobs
write with `--shard=0/8` to `7/8`. Each is a task of Ray, which starts it again if its machine is
lost; parts that are complete are kept. All machines must see the same files.
"""

import argparse
import os
import subprocess
import sys

import ray  # pyright: ignore[reportMissingImports]


def embed(shard: str, flags: list[str], folder: str) -> int:
    """Embeds a share of the images in a process of its own, and returns its exit status."""
    command = [sys.executable, "-m", "jreid", "embed", f"--shard={shard}", *flags]
    return subprocess.run(command, cwd=folder).returncode


def main() -> None:
    """Starts the tasks and waits for all of them."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="All other flags are those of `jreid embed`.",
        allow_abbrev=False,
    )
    parser.add_argument("--shards", type=int, required=True, help="number of tasks")
    parser.add_argument("--cpus", type=float, default=1, help="processor cores of each task")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each task")
    options, flags = parser.parse_known_args()
    task = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus)(embed)
    shards = [f"{number}/{options.shards}" for number in range(options.shards)]
    statuses = ray.get([task.remote(shard, flags, os.getcwd()) for shard in shards])
    failed = [shard for shard, status in zip(shards, statuses, strict=True) if status]
    if failed:
        sys.exit(
            f"{len(failed)} of {options.shards} shards have failed, first {failed[0]}: its error "
            "is above; give the same command again, and it keeps the parts that are complete."
        )


if __name__ == "__main__":
    main()

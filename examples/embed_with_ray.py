"""Embeds a folder of images by Ray Data, on the processors or GPUs of one machine or a cluster.

pip install "ray[data]"
python examples/embed_with_ray.py runs/agw photos visible photos.parquet --workers=8 --gpus=1

The output is a folder of Parquet files with the columns `name` and `embedding`, for
`jreid.load_features`, `jreid search --index` and databases. It does not record the model. Run and
photos must be on a file system that all workers see.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray  # pyright: ignore[reportMissingImports]

import jreid
from jreid import process
from jreid.data.plain_folder import read_folder
from jreid.errors import InputError


class Embedder:
    """A worker, which loads the model once."""

    def __init__(self, run: str, modality: str) -> None:
        process.configure()  # keeps what it compiles for the next worker
        self.model, self.modality = jreid.load(run), modality

    def __call__(self, batch: dict[str, Any]) -> pa.Table:
        """`name` and `embedding` [D] of a batch of image files."""
        paths = batch["path"].tolist()
        features = self.model.embed(paths, modality=self.modality, progress=False)
        embedding = pa.FixedSizeListArray.from_arrays(features.reshape(-1), features.shape[1])
        return pa.table({"name": batch["name"], "embedding": embedding})


def embed(
    run: str, folder: str, modality: str, output: str, workers: int = 1, gpus: float = 0
) -> None:
    """Writes the embeddings of a folder's images; each worker has so many GPUs."""
    names, paths, _ = read_folder(Path(folder))
    images = zip(names, paths, strict=True)
    rows = ray.data.from_items(
        [{"name": name, "path": str(path.resolve())} for name, path in images]
    )
    rows.map_batches(
        Embedder,  # pyright: ignore[reportArgumentType]
        fn_constructor_args=(os.path.abspath(run), modality),
        batch_size=512,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_gpus=gpus,
    ).write_parquet(os.path.abspath(output))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("run", "folder", "modality", "output"):
        parser.add_argument(name)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0, help="of each worker")
    options = parser.parse_args()
    if Path(options.output).exists():
        parser.error(f"{options.output} exists, and Ray would add to it; remove it first.")
    try:
        embed(**vars(options))
    except InputError as error:
        sys.exit(str(error))

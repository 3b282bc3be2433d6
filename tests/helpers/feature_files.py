"""Writes the arrays of labeled features in every format that jreid reads."""

import csv
import json

import numpy as np
from safetensors.numpy import save_file

from jreid.evaluation.results.parquet import write_part


def about_of(arrays):
    """The metadata of a single part."""
    return {"model": "m", "modality": "", "parts": 1, "images": len(arrays["names"]), "part": 0}


def save_npz(path, arrays):
    np.savez(path, **arrays)


def save_parquet(path, arrays):
    write_part(path, {**arrays, "digests": _digests(arrays)}, about_of(arrays))


def save_folder(path, arrays):
    """Three parts, written in another order."""
    path.mkdir()
    arrays = {**arrays, "digests": _digests(arrays)}
    size = -(-len(arrays["names"]) // 3)
    for part in (2, 0, 1):
        some = {name: array[part * size : (part + 1) * size] for name, array in arrays.items()}
        about = {**about_of(arrays), "parts": 3, "part": part}
        write_part(path / f"part-{part:06d}.parquet", some, about)


def save_safetensors(path, arrays):
    texts = {name: json.dumps(arrays[name].tolist()) for name in ("names", "modalities")}
    tensors = {name: arrays[name] for name in ("features", "identities", "cameras")}
    save_file(tensors, path, texts)


def save_npy(path, arrays):
    np.save(path, arrays["features"])
    columns = {"name": "names", "identity": "identities", "camera": "cameras"}
    columns["modality"] = "modalities"
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(arrays[name].tolist() for name in columns.values()), strict=True))


def _digests(arrays):
    return [f"{i:064x}" for i in range(len(arrays["names"]))]


FORMATS = {
    "a.npz": save_npz,
    "a.parquet": save_parquet,
    "parts.parquet": save_folder,
    "a.safetensors": save_safetensors,
    "a.npy": save_npy,
}

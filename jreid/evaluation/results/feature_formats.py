"""The arrays of files of embeddings: .npz, .parquet, .safetensors, and .npy with a .csv beside it.

The arrays are `features` `[N, D]`, and with one entry for each row `names`, `identities`, `cameras`
and `modalities`.
"""

import csv
import json
import textwrap
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreid.errors import InputError
from jreid.evaluation.results.memory import refuse_more_than_memory
from jreid.evaluation.results.parquet import SUFFIX, first_file, read_about, read_parquet
from jreid.evaluation.text import read_number
from jreid.files import parse_json
from jreid.paths import require_file

ORIGIN = "origin"  # an additional array for the features of a run
MODEL = "model"  # the same for their model's hash
OF_CSV = {"names": "name", "identities": "identity", "cameras": "camera", "modalities": "modality"}

Read = Callable[[Path, Sequence[str], Sequence[str]], dict[str, np.ndarray]]


def read_arrays(
    path: Path, needed: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays of a file, unchanged.

    Args:
        optional: names of arrays that are read if the file has them.

    Raises:
        InputError: it is not of one of the formats, is damaged, or lacks a needed array.
    """
    if not path.exists():
        require_file(path, "give a file of features: .npz, .parquet, .safetensors or .npy")
    return READERS.get(path.suffix, _read_npz)(path, needed, optional)


def read_origin_of(path: Path) -> Any:
    """The origin that `jreid embed` wrote into a file that `read_arrays` has read, or None."""
    if path.suffix == SUFFIX:
        return read_about(first_file(path)).get(ORIGIN)
    if not zipfile.is_zipfile(path):
        return None
    with np.load(path, allow_pickle=False) as file:
        return parse_json(str(file[ORIGIN])) if ORIGIN in file else None


def read_model_of(path: Path) -> str:
    """The hash of the model that made the features of a file; empty if the file has none.

    `jreid embed` records it: as the array `model` in .npz, and in the metadata of Parquet. In
    .safetensors it is a JSON text, as names are.
    """
    if path.suffix == SUFFIX:
        return str(read_about(first_file(path)).get(MODEL, ""))
    arrays = {} if path.suffix == ".npy" else read_arrays(path, (), (MODEL,))
    return str(arrays.get(MODEL, ""))


def refuse_bomb(path: Path) -> None:
    """Raises InputError for arrays that are larger than the machine's memory when unpacked."""
    with zipfile.ZipFile(path) as archive:
        needed = sum(member.file_size for member in archive.infolist())
    refuse_more_than_memory(path, needed)


def _read_npz(path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, np.ndarray]:
    require_file(path, "give the .npz file of your features")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not an .npz file, or it is incomplete; save it by np.savez.")
    arrays, reading = {}, "its list of arrays"
    try:
        refuse_bomb(path)
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            missing = [name for name in needed if name not in file]
            there = [*needed, *(name for name in optional if name in file)]
            for reading in there if not missing else ():
                arrays[reading] = file[reading]
    except InputError:
        raise
    except Exception as error:  # numpy and zipfile may raise any exception for a damaged file
        raise InputError(
            f"{path}: {reading} cannot be read ({_cause(error)}); save it again by np.savez, as "
            "numbers or text and not as objects."
        ) from error
    _require(path, missing, needed, "save it by np.savez with the arrays")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy returns other members of the file as bytes
            raise InputError(f"{path}: {name} is not an array; save it again by np.savez.")
    return arrays


def _read_safetensors(
    path: Path, needed: Sequence[str], optional: Sequence[str]
) -> dict[str, np.ndarray]:
    """Texts, which the format does not have as tensors, are JSON lists in its metadata."""
    from safetensors import safe_open

    require_file(path, "give the .safetensors file of your features")
    arrays = {}
    try:
        with safe_open(path, "np") as file:
            texts, tensors = file.metadata() or {}, {*file.keys()}
            for name in (*needed, *optional):
                if name in texts:
                    arrays[name] = np.array(json.loads(texts[name]))
                elif name in tensors:
                    arrays[name] = file.get_tensor(name)
    except Exception as error:  # safetensors has exceptions of its own
        raise InputError(
            f"{path} cannot be read ({_cause(error)}); save it again by safetensors."
        ) from error
    missing = [name for name in needed if name not in arrays]
    how = "save numbers as tensors, and texts as JSON lists in its metadata, by the names"
    _require(path, missing, needed, how)
    return arrays


def _read_npy(path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, np.ndarray]:
    """Features, and a .csv file of the same name with a line for each row."""
    require_file(path, "give the .npy file of your features")
    table = path.with_suffix(".csv")
    columns = ",".join(OF_CSV.values())
    require_file(table, f"write it beside {path.name}, a line {columns} and one for each row")
    try:
        # Mapped, so that numpy compares the header with the size of the file.
        features = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # as of .npz
        raise InputError(
            f"{path} cannot be read ({_cause(error)}); save it again by np.save."
        ) from error
    try:
        with table.open(newline="", encoding="utf-8-sig") as opened:
            rows = [*csv.DictReader(opened, strict=True)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read ({_cause(error)}); write it again.") from error
    wanted = [OF_CSV[name] for name in needed if name in OF_CSV]
    for number, row in enumerate(rows, 2):
        gone = [column for column in wanted if not row.get(column)]
        if gone or None in row:
            raise InputError(
                f"{table}:{number} has no {' nor '.join(gone) or 'right number of columns'}; write "
                f"{columns}."
            )
    names = [
        name
        for name, column in OF_CSV.items()
        if name in needed or (name in optional and rows and all(row.get(column) for row in rows))
    ]
    texts = {name: [row[OF_CSV[name]] for row in rows] for name in names}
    return {"features": features, **{name: _column(table, name, texts[name]) for name in names}}


def _column(table: Path, name: str, texts: Sequence[str]) -> np.ndarray:
    if name in ("names", "modalities"):
        return np.array(texts, str)
    try:
        return np.array([read_number(text, int) for text in texts], np.int64)
    except (ValueError, OverflowError) as error:
        column = OF_CSV[name]
        raise InputError(
            f"{table}: {column} has a value that is not a whole number; correct it."
        ) from error


def _require(path: Path, missing: Sequence[str], needed: Sequence[str], how: str) -> None:
    if missing:
        raise InputError(f"{path} has no array {' nor '.join(missing)}; {how} {', '.join(needed)}.")


def _cause(error: Exception) -> str:
    return textwrap.shorten(str(error), 200)


READERS: Mapping[str, Read] = {
    ".npy": _read_npy,
    ".safetensors": _read_safetensors,
    SUFFIX: lambda *arguments: read_parquet(*arguments)[0],
}
SUFFIXES = (".npz", *READERS)  # of files of embeddings

"""Embeddings as Parquet: a folder of parts, which separate jobs may write, or a single file.

A part has the columns `name`, `embedding` (a list of fixed length), `identity`, `camera`,
`modality` and `sha256`. The schema's metadata have, under `jreid`, a JSON text: which model made
the embeddings, and which part of how many this is. Files of other programs have no metadata.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jreid.errors import InputError
from jreid.evaluation.results.memory import refuse_more_than_memory
from jreid.files import parse_json, write_whole
from jreid.paths import require_file

SUFFIX = ".parquet"
VERSION = 1  # of the metadata
ABOUT = b"jreid"
PART = "part-{:06d}.parquet"
# The columns, by the names of the arrays in other formats.
COLUMNS = {
    "features": "embedding",
    "names": "name",
    "identities": "identity",
    "cameras": "camera",
    "modalities": "modality",
    "digests": "sha256",
}
# What the parts of a folder have in common.
COMMON = ("version", "model", "modality", "parts", "images", "names")


def write_part(file: Path, arrays: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Writes a part, completely or not at all.

    Args:
        arrays: by the keys of `COLUMNS`: `features` `[N, D]` float32 or float16, and lists or
            arrays `[N]`; None in `identities` and `cameras` stands for unknown labels.
        about: the metadata, plain values.

    Raises:
        InputError: pyarrow is not installed, or the file cannot be written.
    """
    pa, parquet = require_pyarrow()
    features = np.ascontiguousarray(arrays["features"])
    integer = pa.int64()
    types = {"identities": integer, "cameras": integer}
    columns = {
        name: pa.array(arrays[key], types.get(key, pa.string()))
        for key, name in COLUMNS.items()
        if key != "features"
    }
    values = pa.array(features.reshape(-1))
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(values, features.shape[1])
    table = pa.table({name: columns[name] for name in COLUMNS.values()})
    text = json.dumps({"version": VERSION, **about}, sort_keys=True)
    table = table.replace_schema_metadata({ABOUT: text})
    options = {"compression": "none", "write_page_checksum": True}  # embeddings do not compress
    write_whole(file, lambda opened: parquet.write_table(table, opened, **options))


def read_parquet(
    path: Path, needed: Sequence[str], optional: Sequence[str] = ()
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file, or of all parts of a folder, and the metadata of the first part.

    Args:
        needed: the keys of `COLUMNS` to read.
        optional: those to read if every image has a value.

    Raises:
        InputError: pyarrow is not installed, a part or a column is missing, empty or damaged, or
            the parts do not belong together.
    """
    files = files_of(path)
    abouts = [read_about(file) for file in files]
    _check_parts(path, files, abouts)
    _pa, parquet = require_pyarrow()
    try:
        footers = [parquet.read_metadata(file) for file in files]
        rows = sum(footer.num_rows for footer in footers)
        fields = {field.name: field for field in parquet.read_schema(files[0])}
        missing = [COLUMNS[key] for key in needed if COLUMNS[key] not in fields]
        if missing:
            raise InputError(
                f"{path} has no column {' nor '.join(missing)}; it needs "
                f"{', '.join(COLUMNS[key] for key in needed)}."
            )
        width = getattr(fields["embedding"].type, "list_size", 1)
        refuse_more_than_memory(path, 8 * width * rows)
        keys = [*needed, *(key for key in optional if COLUMNS[key] in fields)]
        parts = [_read_file(path, file, keys, optional) for file in files]
    except InputError:
        raise
    except Exception as error:  # pyarrow raises many kinds of errors for a damaged file
        raise _damaged(path, error) from error
    if not rows:
        raise InputError(f"{path} has no rows; give a file with embeddings.")
    whole = [key for key in keys if all(key in part for part in parts)]
    return {key: _joined(path, [part[key] for part in parts]) for key in whole}, abouts[0]


def read_about(file: Path) -> dict[str, Any]:
    """The metadata of a part; empty for a file of another program.

    Raises:
        InputError: pyarrow is not installed, or the file is damaged or of a newer jreid.
    """
    _pa, parquet = require_pyarrow()
    require_file(file, "give a .parquet file of embeddings")
    try:
        metadata = parquet.read_schema(file).metadata or {}
        about = parse_json(metadata[ABOUT].decode()) if ABOUT in metadata else {}
        if not isinstance(about, dict) or about.get("version", VERSION) != VERSION:
            raise ValueError("its metadata are of another version of jreid")
    except Exception as error:  # as above
        raise _damaged(file, error) from error
    return about


def files_of(path: Path) -> list[Path]:
    """The parts in a folder by name, or the file itself; InputError if the folder has none."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.glob(f"*{SUFFIX}") if not file.name.startswith("."))
    if not files:
        raise InputError(f"{path} has no {SUFFIX} file; give the folder that `jreid embed` wrote.")
    return files


def _check_parts(path: Path, files: Sequence[Path], abouts: Sequence[Mapping[str, Any]]) -> None:
    """Raises InputError unless the files are all parts of one whole."""
    first = abouts[0]
    for file, about in zip(files, abouts, strict=True):
        for name in COMMON:
            if about.get(name) != first.get(name):
                raise InputError(
                    f"{file} and {files[0].name} do not belong together: {name} is "
                    f"{about.get(name)} in the one and {first.get(name)} in the other; give the "
                    "`jreid embed` again that wrote the older one, or remove it."
                )
    if not path.is_dir() or "parts" not in first:
        return
    there = {about.get("part") for about in abouts}
    gone = [number for number in range(first["parts"]) if number not in there]
    if gone:
        raise InputError(
            f"{path} has {len(there)} of its {first['parts']} parts; the first that is missing is "
            f"{PART.format(gone[0])}: give the `jreid embed --shard` again that has not ended."
        )


def _read_file(
    path: Path, file: Path, keys: Sequence[str], optional: Sequence[str]
) -> dict[str, np.ndarray]:
    """The arrays of one file, without optional ones that have empty values."""
    _pa, parquet = require_pyarrow()
    columns = [COLUMNS[key] for key in keys]
    table = parquet.read_table(file, columns=columns, page_checksum_verification=True)
    arrays = {}
    for key in keys:
        column = table[COLUMNS[key]].combine_chunks()
        if column.null_count and key in optional:
            continue
        if column.null_count:
            raise InputError(
                f"{path}: {COLUMNS[key]} is empty for {column.null_count} of {len(column)} images "
                f"in {file.name}; give every image one."
            )
        arrays[key] = _features(path, column) if key == "features" else _labels(column)
    return arrays


def _features(path: Path, column: Any) -> np.ndarray:
    """`[N, D]` of a column of lists."""
    pa, _ = require_pyarrow()
    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (pa.types.is_fixed_size_list(kind) or lists):
        raise InputError(f"{path}: embedding is {kind}; it must be a list of numbers.")
    values = column.flatten().to_numpy(zero_copy_only=False)
    if len(column) and len(values) % len(column):
        raise InputError(f"{path}: embedding has lists of several lengths.")
    if lists and len({*np.diff(column.offsets.to_numpy()).tolist()}) > 1:
        raise InputError(f"{path}: embedding has lists of several lengths.")
    return values.reshape(len(column), -1) if len(column) else values.reshape(0, 0)


def _labels(column: Any) -> np.ndarray:
    pa, _ = require_pyarrow()
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.to_numpy(zero_copy_only=False)
    return np.array(column.to_pylist())


def _joined(path: Path, parts: Sequence[np.ndarray]) -> np.ndarray:
    shapes = {part.shape[1:] for part in parts if len(part)}
    if len(shapes) > 1:
        raise InputError(f"{path}: embedding has lists of several lengths.")
    filled = [part for part in parts if len(part)]
    return filled[0] if len(filled) == 1 else np.concatenate(filled)


def _damaged(path: Path, error: Exception) -> InputError:
    cause = textwrap.shorten(str(error), 200)
    return InputError(
        f"{path} cannot be read as Parquet ({cause}); write it again, or remove it and give the "
        "same `jreid embed` again."
    )


def require_pyarrow() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`; InputError if they are not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            'Parquet needs pyarrow; install it by `pip install "jreid[parquet]"`, or use .npz.'
        ) from error
    return pyarrow, parquet

"""Embeddings as Parquet: a folder of parts, which separate jobs may write, or a single file.

A part has the columns `name`, `embedding` (a list of fixed length), `identity`, `camera`,
`modality` and `sha256`. The schema's metadata have, under `jreid`, a JSON text: which model made
the embeddings, and which part of how many this is. Files of other programs have no metadata.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jreid.errors import InputError
from jreid.evaluation.results.memory import refuse_more_than_memory
from jreid.files import parse_json, write_whole
from jreid.optional_parts import require_part
from jreid.paths import require_file

SUFFIX = ".parquet"
VERSION = 1  # of the metadata
ABOUT = b"jreid"
PART = "part-{:06d}.parquet"
SHOWN = 40  # characters of a value in an error
ROWS_AT_ONCE = 4096  # of a file, in memory beside the whole
# The columns, by the names of the arrays in other formats.
COLUMNS = {
    "features": "embedding",
    "names": "name",
    "identities": "identity",
    "cameras": "camera",
    "modalities": "modality",
    "digests": "sha256",
}
# Metadata that every part has of its own, and those that depend on the images of a folder; all
# others say how the embeddings were made, and are equal in all that is read together.
OF_PART = ("part", "jreid", "run")
OF_IMAGES = ("images", "parts", "names")


class DamagedError(InputError):
    """A file that is no Parquet file, or no longer."""


class _File(NamedTuple):
    """A file to read.

    Attributes:
        path: of the file.
        about: its metadata, as `read_about` returns them.
        types: of its columns by name, as pyarrow has them.
        rows: the number of its images.
        prefix: what their names begin with: nothing, or the subfolder of the images and a slash.
    """

    path: Path
    about: dict[str, Any]
    types: Mapping[str, Any]
    rows: int
    prefix: str = ""


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

    A folder may hold folders of parts, one for each subfolder of the images, of any modality: names
    then begin with that subfolder.

    Args:
        needed: the keys of `COLUMNS` to read, `features` among them.
        optional: those to read if every image has a value.

    Raises:
        InputError: pyarrow is not installed, a part or a column is missing, empty, twice there or
            damaged, or the parts do not belong together.
    """
    files = []
    for prefix, paths in _paths_of(path).items():
        some = [_open(file)._replace(prefix=prefix) for file in paths]
        _check_parts(paths[0].parent if path.is_dir() else path, some)
        files += some
    _require_equal(files, (*OF_PART, *OF_IMAGES, "modality"))
    types, rows = files[0].types, sum(file.rows for file in files)
    missing = [COLUMNS[key] for key in needed if COLUMNS[key] not in types]
    if missing:
        raise InputError(
            f"{path} has no column {' nor '.join(missing)}; it needs "
            f"{', '.join(COLUMNS[key] for key in needed)}."
        )
    if not rows:
        raise InputError(f"{path} has no rows; give a file with embeddings.")
    keys = [*needed, *(key for key in optional if COLUMNS[key] in types)]
    return _read(path, files, rows, keys, optional), files[0].about


def read_about(file: Path) -> dict[str, Any]:
    """The metadata of a part; empty for a file of another program.

    Raises:
        DamagedError: the file is damaged.
        InputError: pyarrow is not installed, or the file cannot be read or is of a newer jreid.
    """
    return _open(file).about


def files_in(folder: Path) -> list[Path]:
    """The files and folders of Parquet in a folder, sorted by name; none if there is no folder."""
    return sorted(file for file in folder.glob(f"*{SUFFIX}") if not file.name.startswith("."))


def first_file(path: Path) -> Path:
    """The first file in a folder, or the file itself; InputError if the folder has none."""
    return next(iter(_paths_of(path).values()))[0]


def first_difference(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> tuple[str, Any, Any] | None:
    """The first name with two values, and these; of mappings in mappings `outer.inner`."""
    for name in [*one, *(name for name in other if name not in one)]:
        first, second = one.get(name), other.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            if inner := first_difference(first, second):
                return f"{name}.{inner[0]}", *inner[1:]
        elif first != second:
            return name, first, second
    return None


def _open(file: Path) -> _File:
    """The footer of a file; errors as `read_about`."""
    _pa, parquet = require_pyarrow()
    require_file(file, "give a .parquet file of embeddings")
    try:
        footer = parquet.read_metadata(file)
        schema = footer.schema.to_arrow_schema()
        metadata = schema.metadata or {}
        about = parse_json(metadata[ABOUT].decode()) if ABOUT in metadata else {}
        counts = [about.get(name, 0) for name in ("part", "parts", "images")]
        if not all(isinstance(count, int) for count in counts):
            raise ValueError("its metadata have no counts of images and parts")
    except Exception as error:  # pyarrow raises many kinds of errors for a damaged file
        raise _unreadable(file, error) from error
    if about and about.get("version") != VERSION:
        raise InputError(
            f"{file} was written by another version of jreid; read it with that, or write it again."
        )
    return _File(file, about, {field.name: field.type for field in schema}, footer.num_rows)


def _paths_of(path: Path) -> dict[str, list[Path]]:
    """The files to read, by the prefix of their images' names; InputError if there are none."""
    if not path.is_dir():
        return {"": [path]}
    found = files_in(path)
    if not found:
        raise InputError(f"{path} has no {SUFFIX} file; give the folder that `jreid embed` wrote.")
    folders = [folder for folder in found if folder.is_dir()]
    if not folders:
        return {"": found}
    if len(folders) < len(found):
        raise InputError(f"{path} has files and folders of Parquet; keep one of the two kinds.")
    return {f"{folder.stem}/": _paths_of(folder)[""] for folder in folders}


def _check_parts(path: Path, files: Sequence[_File]) -> None:
    """Raises InputError unless the files are all parts of one whole, each once."""
    _require_equal(files, OF_PART)
    about = files[0].about
    if not path.is_dir() or "parts" not in about:
        return
    there: dict[Any, Path] = {}
    for file in files:
        number = file.about.get("part")
        if number in there:
            raise InputError(
                f"{file.path} and {there[number].name} are the same part; remove one of the two."
            )
        there[number] = file.path
    gone = next((number for number in range(about["parts"]) if number not in there), None)
    if gone is not None:
        raise InputError(
            f"{path} has {len(there)} of its {about['parts']} parts; the first that is missing is "
            f"{PART.format(gone)}: give the `jreid embed --shard` again that has not ended."
        )
    rows, images = sum(file.rows for file in files), about.get("images")
    if rows != images:
        raise InputError(
            f"{path} has {rows} rows for {images} images; remove it and give the same "
            "`jreid embed` again."
        )


def _require_equal(files: Sequence[_File], apart: Sequence[str]) -> None:
    """Raises InputError unless the metadata of all files are equal, apart from some."""

    def common(file: _File) -> dict[str, Any]:
        return {name: value for name, value in file.about.items() if name not in apart}

    first = files[0]
    for file in files:
        if found := first_difference(common(file), common(first)):
            name, one, other = found[0], *map(shortened, found[1:])
            raise InputError(
                f"{file.path} and {first.path.name} do not belong together: {name} is {one} in the "
                f"one and {other} in the other; give the same `jreid embed` for both, or remove "
                "the one that is too many."
            )


def _read(
    path: Path, files: Sequence[_File], rows: int, keys: Sequence[str], optional: Sequence[str]
) -> dict[str, np.ndarray]:
    """The arrays of all files, without optional ones that have empty values."""
    features, start, parts = np.empty((0, 0)), 0, {key: [] for key in keys if key != "features"}
    for some in _batches(path, files, keys, optional):
        part = some.pop("features")
        stop = start + len(part)
        if not start:  # all embeddings are in memory only once
            copied = 0 if part.dtype == np.float32 else 4  # to float32
            refuse_more_than_memory(path, (part.itemsize + copied) * part.shape[1] * rows)
            features = np.empty((rows, part.shape[1]), part.dtype)
        if part.shape[1] != features.shape[1]:
            raise InputError(f"{path}: embedding has lists of several lengths.")
        features = features.astype(np.result_type(features, part), copy=False)
        features[start:stop] = part
        start = stop
        for key in [*parts]:
            if key in some:
                parts[key].append(some[key])
            else:
                del parts[key]
    return {"features": features, **{key: np.concatenate(parts[key]) for key in parts}}


def _batches(
    path: Path, files: Sequence[_File], keys: Sequence[str], optional: Sequence[str]
) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of some rows at a time, without optional ones that have empty values."""
    _pa, parquet = require_pyarrow()
    columns = [COLUMNS[key] for key in keys]
    for file in files:
        done = 0
        try:
            with parquet.ParquetFile(file.path, page_checksum_verification=True) as opened:
                for batch in opened.iter_batches(ROWS_AT_ONCE, columns=columns):
                    done += len(batch)
                    if done <= file.rows:
                        yield _arrays(path, file, batch, keys, optional)
            if done != file.rows:
                raise ValueError(f"it has {done} rows, and its footer says {file.rows}")
        except InputError:
            raise
        except Exception as error:  # as above
            raise _unreadable(file.path, error) from error


def _arrays(
    path: Path, file: _File, batch: Any, keys: Sequence[str], optional: Sequence[str]
) -> dict[str, np.ndarray]:
    arrays = {}
    for key in keys:
        column = batch[COLUMNS[key]]
        if column.null_count and key in optional:
            continue
        if column.null_count:
            raise InputError(
                f"{path}: {COLUMNS[key]} is empty for {column.null_count} of {len(column)} images "
                f"in {file.path.name}; give every image one."
            )
        arrays[key] = _features(path, column) if key == "features" else _labels(column)
    if file.prefix and "names" in arrays:
        arrays["names"] = np.array([file.prefix + name for name in arrays["names"].tolist()])
    return arrays


def _features(path: Path, column: Any) -> np.ndarray:
    """`[N, D]` of a column of lists."""
    pa, _ = require_pyarrow()
    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (lists or pa.types.is_fixed_size_list(kind)) or not (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    ):
        raise InputError(f"{path}: embedding is {kind}; it must be a list of numbers.")
    values = column.flatten().to_numpy(zero_copy_only=False)
    if lists and len({*np.diff(column.offsets.to_numpy()).tolist()}) > 1:
        raise InputError(f"{path}: embedding has lists of several lengths.")
    return values.reshape(len(column), -1)


def _labels(column: Any) -> np.ndarray:
    pa, _ = require_pyarrow()
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.to_numpy(zero_copy_only=False)
    return np.array(column.to_pylist())


def shortened(value: object) -> str:
    """A value of metadata in a few words, for errors."""
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that cannot be read: damaged, unless the system says why."""
    cause = textwrap.shorten(str(error), 200)
    kind = InputError if isinstance(error, OSError) and error.errno else DamagedError
    return kind(
        f"{path} cannot be read as Parquet ({cause}); write it again, or remove it and give the "
        "same `jreid embed` again."
    )


def require_pyarrow() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`; InputError if they are not installed."""
    require_part("parquet", "Parquet", "use .npz")
    import pyarrow
    from pyarrow import parquet

    return pyarrow, parquet

"""Reads features of any model, and their labels as a Table, from an .npz file."""

import hashlib
import json
import os
import posixpath
import re
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jreid.data.table import MODALITIES, Table
from jreid.errors import InputError
from jreid.evaluation.ranking.inputs import require_finite
from jreid.files import parse_json
from jreid.paths import require_file

ARRAYS = ("features", "identities", "cameras", "modalities", "names")
ORIGIN = "origin"  # an additional array for the features of a run
OF_ROW = (  # the fields of a result row that it may set; no metrics
    *("dataset", "images", "checkpoint", "step", "asked_step", "of_steps", "fallback", "weights"),
    *("partial", "skipped_images", "other_data", "trained_on", "trained_on_unknown", "of_split"),
)
SUFFIX = re.compile(r"\.(jpe?g|png|bmp|gif|tiff?|webp)$", re.IGNORECASE)


def read_features(path: Path) -> tuple[Float[np.ndarray, "n d"], Table]:
    """The features of an .npz file and the Table of their labels, both sorted by name.

    The file holds `features` [N, D] floating-point, `identities` [N] and `cameras` [N] integers,
    `modalities` [N] of `visible` or `infrared`, and `names` [N] such as `cam1/0006/0001`: the
    image's path in the dataset's folder. A suffix such as `.jpg`, a leading `./` and backslashes
    are normalized.

    Returns:
        Features [N, D] float32; and the Table, with all rows in the `test` split and empty images.

    Raises:
        InputError: the file or one of its arrays cannot be used; the error names the array.

    >>> from pathlib import Path
    >>> labels = {"identities": [7, 7], "cameras": [3, 1], "modalities": ["infrared", "visible"]}
    >>> names = ["cam3/0007/0001.jpg", "cam1/0007/0001.jpg"]
    >>> np.savez("f.npz", features=np.array([[1.0, 2.0], [3.0, 4.0]]), names=names, **labels)
    >>> features, table = read_features(Path("f.npz"))
    >>> table.name.tolist(), features.tolist()
    (['cam1/0007/0001', 'cam3/0007/0001'], [[3.0, 4.0], [1.0, 2.0]])
    """
    arrays = _read(path)
    features = arrays["features"]
    if features.ndim != 2 or 0 in features.shape or features.dtype.kind != "f":
        raise _unusable(path, "features", features, "a non-empty [N, D] array of floating point")
    for name in ARRAYS[1:]:
        if arrays[name].shape != features.shape[:1]:
            wanted = f"[{len(features)}], one entry for each row of features"
            raise _unusable(path, name, arrays[name], wanted)
    names = np.array([*map(_normal, _text(path, "names", arrays["names"]).tolist())])
    table = Table(
        name=names,
        identity=_integers(path, "identities", arrays["identities"]),
        camera=_integers(path, "cameras", arrays["cameras"]),
        modality=_text(path, "modalities", arrays["modalities"]),
        split=np.full(len(names), "test"),
        image=np.array([b""] * len(names), object),
    )
    order = np.argsort(names)
    table = table.take(order)
    with np.errstate(over="ignore"):  # values that overflow are reported as infinite
        features = features.astype(np.float32)[order]
    _check(path, features, table)
    return features, table


def read_origin(path: Path, table: Table) -> dict[str, Any]:
    """The origin that `jreid embed` wrote beside features: `row`, fields of a result row, etc.

    Empty for features of another program. A row is marked as partial if the labels have changed
    since they were written.

    Args:
        table: as from `read_features`.

    Raises:
        InputError: it cannot be read.
    """
    with np.load(path, allow_pickle=False) as file:
        if ORIGIN not in file:
            return {}
        try:
            origin = parse_json(str(file[ORIGIN]))
            written, labels = origin["row"], origin["labels"]
            row = {name: written[name] for name in OF_ROW if name in written}
        except Exception as error:  # as in `_read`
            raise InputError(
                f"{path}: {ORIGIN} was not written by `jreid embed`; embed the images again, or "
                "save the file without it."
            ) from error
    if labels != labels_of(table):
        row |= {"partial": True, "images": ""}
    return {**origin, "row": row}


def labels_of(table: Table) -> str:
    """SHA-256 of a table's identities, cameras and modalities, for any order of its rows."""
    columns = (column.tolist() for column in (table.identity, table.camera, table.modality))
    return hashlib.sha256(json.dumps(sorted(zip(*columns, strict=True))).encode()).hexdigest()


def _check(path: Path, features: np.ndarray, table: Table) -> None:
    repeated = table.name[1:][table.name[1:] == table.name[:-1]]
    if repeated.size:
        raise InputError(
            f"{path}: names has {repeated[0]} more than once ({repeated.size} repeated names in "
            "all); give each image one row."
        )
    wrong = np.flatnonzero(~np.isin(table.modality, MODALITIES))
    if wrong.size:
        raise InputError(
            f"{path}: modalities has {str(table.modality[wrong[0]])!r} for {table.name[wrong[0]]} "
            f"({wrong.size} wrong entries in all); use {', '.join(MODALITIES)}."
        )
    try:
        require_finite(features, "stored", table.name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, np.ndarray]:
    """The file's arrays, unchanged."""
    require_file(path, "give the .npz file of your features")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not an .npz file, or it is incomplete; save it by np.savez.")
    arrays, reading = {}, "its list of arrays"
    try:
        refuse_bomb(path)
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file]
            for reading in ARRAYS if not missing else ():
                arrays[reading] = file[reading]
    except InputError:
        raise
    except Exception as error:  # numpy and zipfile may raise any exception for a damaged file
        cause = textwrap.shorten(str(error), 200)
        raise InputError(
            f"{path}: {reading} cannot be read ({cause}); save it again by np.savez, as numbers or "
            "text and not as objects."
        ) from error
    if missing:
        raise InputError(
            f"{path} has no array {' nor '.join(missing)}; save it by np.savez with the arrays "
            f"{', '.join(ARRAYS)}."
        )
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy returns other members of the file as bytes
            raise InputError(f"{path}: {name} is not an array; save it again by np.savez.")
    return arrays


def refuse_bomb(path: Path) -> None:
    """Raises InputError for arrays that are larger than the machine's memory when unpacked."""
    with zipfile.ZipFile(path) as archive:
        needed = sum(member.file_size for member in archive.infolist())
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise InputError(
            f"{path} needs {needed / 1e9:,.0f} GB when it is unpacked, but this machine has "
            f"{there / 1e9:,.0f} GB of memory; save fewer features, or use float32."
        )


def _integers(path: Path, name: str, array: np.ndarray) -> Int[np.ndarray, " n"]:
    if array.dtype.kind in "iu" and (array <= np.iinfo(np.int64).max).all():
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        # Above this, the type cannot represent every integer.
        largest = 2.0 ** (np.finfo(array.dtype).nmant + 1)
        if (np.abs(array) < largest).all() and (array == np.floor(array)).all():
            return array.astype(np.int64)
    raise _unusable(
        path, name, array, "whole numbers that their type represents exactly, within int64"
    )


def _text(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "U":
        raise _unusable(path, name, array, "text, such as np.array of a list of str")
    return array


def _normal(name: str) -> str:
    """`./cam1\\0006/0001.jpg` is `cam1/0006/0001`."""
    return SUFFIX.sub("", posixpath.normpath(name.replace("\\", "/")))


def _unusable(path: Path, name: str, array: np.ndarray, wanted: str) -> InputError:
    return InputError(f"{path}: {name} is {array.dtype}{list(array.shape)}; it must be {wanted}.")

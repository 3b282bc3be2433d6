"""Reads features of any model, and their labels as a Table, from a file."""

import hashlib
import json
import os
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jreid.data.table import Table
from jreid.datasets import MODALITIES, SETTINGS
from jreid.errors import InputError
from jreid.evaluation.ranking.inputs import require_finite
from jreid.evaluation.results.feature_formats import ORIGIN, read_arrays, read_origin_of
from jreid.paths import local_path

ARRAYS = ("features", "identities", "cameras", "modalities", "names")
OF_ROW = (  # the fields of a result row that it may set; no metrics
    *("dataset", "images", "checkpoint", "step", "asked_step", "of_steps", "fallback", "weights"),
    *("partial", "skipped_images", "other_data", "trained_on", "trained_on_unknown", "of_split"),
)
SUFFIX = re.compile(r"\.(jpe?g|png|bmp|gif|tiff?|webp)$", re.IGNORECASE)


class Features(NamedTuple):
    """N embeddings, in the order of their file.

    Attributes:
        features: `[N, D]` float32.
        names: `[N]` str: the images, as the file has them.
        identities: `[N]` int64; None if not every image has one.
        cameras: the same.
        modalities: `[N]` str, `visible` or `infrared`; None if not every image has one.
        digests: `[N]` str: SHA-256 of the image files, if the file has them.
    """

    features: Float[np.ndarray, "n d"]
    names: np.ndarray
    identities: Int[np.ndarray, " n"] | None = None
    cameras: Int[np.ndarray, " n"] | None = None
    modalities: np.ndarray | None = None
    digests: np.ndarray | None = None


def load_features(path: str | os.PathLike[str]) -> Features:
    """The embeddings in a file, with the labels that it has.

    Args:
        path: an .npz or .safetensors file with arrays `features` `[N, D]`, `names` and, if you
            like, `identities`, `cameras` and `modalities` (in .safetensors, texts are JSON lists in
            the metadata); an .npy file of the features with a .csv file beside it, whose columns
            are `name`, `identity`, `camera` and `modality`; or a .parquet file, or a folder of
            them, as `jreid embed` writes it.

    Raises:
        InputError: the file or one of its arrays cannot be used; the error names the array.

    >>> np.savez("f.npz", features=np.array([[1.0, 2.0], [3.0, 4.0]]), names=["a", "b"])
    >>> loaded = load_features("f.npz")
    >>> loaded.features.tolist(), loaded.names.tolist(), loaded.identities
    ([[1.0, 2.0], [3.0, 4.0]], ['a', 'b'], None)
    """
    file = Path(local_path(os.fspath(path), "path"))
    needed, optional = ("features", "names"), (*ARRAYS[1:4], "digests")
    arrays = read_arrays(file, needed, optional)
    features = _checked(file, arrays)
    for name in ("identities", "cameras"):
        if name in arrays:
            arrays[name] = _integers(file, name, arrays[name])
    for name in ("names", "modalities", "digests"):
        if name in arrays:
            arrays[name] = _text(file, name, arrays[name])
    return Features(**{**arrays, "features": features})


def read_features(path: Path) -> tuple[Float[np.ndarray, "n d"], Table]:
    """The features of a file and the Table of their labels, both sorted by name.

    The file, of a format that `jreid.load_features` reads, holds `features` [N, D] floating-point,
    `identities` [N] and `cameras` [N] integers, `modalities` [N] of `visible` or `infrared`, and
    `names` [N] such as `cam1/0006/0001`: the image's path in the dataset's folder. A suffix such as
    `.jpg`, a leading `./` and backslashes are normalized; `a.jpg` and `a.png` keep their suffixes.

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
    return read_in_order(path)[:2]


def read_in_order(
    path: Path,
) -> tuple[Float[np.ndarray, "n d"], Table, Int[np.ndarray, " n"]]:
    """As `read_features`, and the row in the file of each row of the table."""
    arrays = read_arrays(path, ARRAYS)
    features = _checked(path, arrays)
    names = np.array(normal_names(_text(path, "names", arrays["names"]).tolist()))
    table = Table(
        name=names,
        identity=_integers(path, "identities", arrays["identities"]),
        camera=_integers(path, "cameras", arrays["cameras"]),
        modality=_text(path, "modalities", arrays["modalities"]),
        split=np.full(len(names), "test"),
        image=np.array([b""] * len(names), object),
    )
    order = np.argsort(names)
    if (order != np.arange(len(order))).any():  # else it would only copy all features
        features, table = features[order], table.take(order)
    _check(path, features, table)
    return features, table, order


def _checked(path: Path, arrays: Mapping[str, np.ndarray]) -> Float[np.ndarray, "n d"]:
    """The features as float32, after checking the shapes of all arrays."""
    features = arrays["features"]
    floating = jnp.issubdtype(features.dtype, jnp.floating)  # numpy's does not know bfloat16
    if features.ndim != 2 or 0 in features.shape or not floating:
        wanted = "a non-empty [N, D] array of floating point"
        if features.dtype.kind == "V":
            wanted += " that numpy can save, such as float32 but not bfloat16"
        raise _unusable(path, "features", features, wanted)
    for name, array in arrays.items():
        if name != "features" and array.shape != features.shape[:1]:
            wanted = f"[{len(features)}], one entry for each row of features"
            raise _unusable(path, name, array, wanted)
    with np.errstate(over="ignore"):  # values that overflow are reported as infinite
        return features.astype(np.float32, copy=False)


def read_origin(path: Path, table: Table) -> dict[str, Any]:
    """The origin that `jreid embed` wrote beside features; empty for those of another program.

    `row` has fields of a result row, which is marked as partial if the labels have changed since
    they were written. `settings` says which of the dataset's lists the images are of, as
    `read_protocol` takes it: RegDB's `split_number`, for example.

    Args:
        table: as from `read_features`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        origin = read_origin_of(path)
        if origin is None:
            return {}
        written, labels = origin["row"], origin["labels"]
        row = {name: written[name] for name in OF_ROW if name in written}
        settings = _settings(origin.get("settings", {}))  # earlier files have none
    except InputError:
        raise
    except Exception as error:  # as of reading arrays
        raise InputError(
            f"{path}: {ORIGIN} was not written by `jreid embed`; embed the images again, or "
            "save the file without it."
        ) from error
    if labels not in (labels_of(table), _labels_without_names(table)):
        row |= {"partial": True, "images": ""}
    return {**origin, "row": row, "settings": settings}


def _settings(written: Mapping[str, Any]) -> dict[str, int | str]:
    """The settings in an origin; ValueError if one cannot be of its field."""
    types = {one.field: type(one.choices[0]) for one in SETTINGS.values()}
    for name, value in written.items():
        if not isinstance(value, types.get(name, int | str)):
            raise ValueError(f"{name} is {value!r}")
    return dict(written)


def labels_of(table: Table) -> str:
    """SHA-256 of a table's `normal_names` and labels, for any order of its rows."""
    return _digest(table.name, table.identity, table.camera, table.modality)


def _labels_without_names(table: Table) -> str:
    """As earlier versions wrote it: they did not see labels that two images had exchanged."""
    return _digest(table.identity, table.camera, table.modality)


def _digest(*columns: np.ndarray) -> str:
    rows = sorted(zip(*(column.tolist() for column in columns), strict=True))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


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


def _integers(path: Path, name: str, array: np.ndarray) -> Int[np.ndarray, " n"]:
    if array.dtype.kind in "iu" and (array <= np.iinfo(np.int64).max).all():
        return array.astype(np.int64)
    if jnp.issubdtype(array.dtype, jnp.floating):
        # Above this, the type cannot represent every integer.
        largest = 2.0 ** (jnp.finfo(array.dtype).nmant + 1)
        if (np.abs(array) < largest).all() and (array == np.floor(array)).all():
            return array.astype(np.int64)
    raise _unusable(
        path, name, array, "whole numbers that their type represents exactly, within int64"
    )


def _text(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "U":
        raise _unusable(path, name, array, "text, such as np.array of a list of str")
    return array


def normal_names(names: Iterable[str]) -> list[str]:
    """Names as a dataset has them: `./cam1\\0006/0001.jpg` is `cam1/0006/0001`.

    Images that differ in the suffix alone keep theirs, as `find_images` names them: `a.jpg` and
    `a.png`, and `a.png.jpg` beside `a.png`. But `a` and `a.jpg` are one image under two names.
    """
    paths = [*map(_path, names)]
    stems = [SUFFIX.sub("", path) for path in paths]
    counts, whole = Counter(stems), {*paths}

    def keeps_suffix(stem: str) -> bool:
        return SUFFIX.search(stem) is not None if stem in whole else counts[stem] > 1

    return [path if keeps_suffix(stem) else stem for path, stem in zip(paths, stems, strict=True)]


def name_among(names: Collection[str], name: str) -> str:
    """The spelling that a name has among some `normal_names`; of another one its stem."""
    path = _path(name)
    return path if path in names else SUFFIX.sub("", path)


def _path(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/"))


def _unusable(path: Path, name: str, array: np.ndarray, wanted: str) -> InputError:
    return InputError(f"{path}: {name} is {array.dtype}{list(array.shape)}; it must be {wanted}.")

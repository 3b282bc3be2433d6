"""The Table: a dataset as columns, one row for each image."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

# (camera, identity) -> [trials, n] int64: row t is the order of the image numbers 1..n in trial t.
GalleryIndex = Mapping[tuple[int, int], np.ndarray]


class Table(NamedTuple):
    """A dataset as columns of equal length N, rows sorted by name.

    Attributes:
        name: `[N]` str, path relative to the dataset's folder, without suffix.
        identity: `[N]` int64, the dataset's own person number.
        camera: `[N]` int64, the dataset's own camera number.
        modality: `[N]` str, `visible` or `infrared`.
        split: `[N]` str, `train`, `validation` or `test`.
        image: `[N]` object, the encoded bytes of the file; for the few formats that TensorFlow and
            Pillow decode differently, Pillow's pixels as a BMP.
    """

    name: np.ndarray
    identity: np.ndarray
    camera: np.ndarray
    modality: np.ndarray
    split: np.ndarray
    image: np.ndarray

    def take(self, rows: np.ndarray) -> "Table":
        """The Table of these rows only: a boolean mask or indices `[M]`."""
        return Table(*(column[rows] for column in self))

    def of_split(self, split: str) -> "Table":
        """The Table of the rows of a split."""
        return self.take(self.split == split)

    def fingerprint(self) -> str:
        """SHA-256 of every column, image bytes included, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, identity, camera, modality, split, image in zip(*self, strict=True):
            row = f"{name}\t{identity}\t{camera}\t{modality}\t{split}\t"
            digest.update(row.encode() + hashlib.sha256(image).digest())
        return digest.hexdigest()

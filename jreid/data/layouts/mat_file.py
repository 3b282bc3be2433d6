"""Reads cells of numbers from MATLAB files. A damaged file can crash SciPy's reader.

The format: MATLAB 5.0 MAT-File Format, The MathWorks; what `save -v6` and `save -v7` write.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jreid.files import read_limited

LARGEST = 200_000_000  # bytes, unpacked; SYSU-MM01's permutations are 40 million as doubles
DEEPEST = 4  # cells within cells
MATRIX, COMPRESSED, CELLS, COMPLEX = 14, 15, 1, 0x0800
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
NUMBERS |= {12: "i8", 13: "u8"}
NUMERIC_CLASSES = range(6, 16)


def read_cells(path: Path, name: str) -> np.ndarray:
    """The cell array of this name: an object array of its shape, of cell arrays and numbers.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, too large, of another format, or has no such cell array.
    """
    content = memoryview(read_limited(path, LARGEST))
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    if order is None:
        raise ValueError("it is not a MATLAB 5.0 file, which `save -v7` writes")
    for kind, element in _unpacked(content[128:], order):
        if kind == MATRIX:
            found, value = _matrix(element, order, DEEPEST)
            if found == name and value.dtype == object:
                return value
    raise ValueError(f"it has no cell array {name}")


def _unpacked(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """The elements of a file, decompressed."""
    room = LARGEST
    for kind, element in _elements(content, order):
        if kind != COMPRESSED:
            yield kind, element
            continue
        unpacking = zlib.decompressobj()
        try:
            unpacked = unpacking.decompress(element, room)
        except zlib.error as error:
            raise ValueError(f"it is damaged: {error}") from error
        room -= len(unpacked)
        if room <= 0:
            raise ValueError(f"it holds more than {LARGEST:,} bytes")
        if not unpacking.eof:
            raise ValueError("it is cut off")
        yield from _elements(memoryview(unpacked), order)


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of each element. Up to four bytes may be stored in the tag itself."""
    while content:
        if len(content) < 8:
            raise ValueError("it is cut off")
        kind, size = struct.unpack_from(f"{order}II", content)
        start = 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, 4
        end = start + size if kind == COMPRESSED else -(-(start + size) // 8) * 8
        if start + size > len(content) or (start == 4 and size > 4):
            raise ValueError("it is damaged: an element is larger than the file")
        yield kind, content[start : start + size]
        content = content[end:]


def _matrix(content: memoryview, order: str, deepest: int) -> tuple[str, np.ndarray]:
    """Name and value of a matrix; the value is empty if it holds neither cells nor numbers."""
    if not content:
        return "", np.empty((0, 0))
    elements = _elements(content, order)
    flags, shape, name = (_next(elements) for _ in range(3))
    sizes = _numbers(shape, order)
    shape = tuple(sizes.tolist())
    whole = np.issubdtype(sizes.dtype, np.integer)
    if len(flags[1]) != 8 or len(shape) < 2 or not whole or min(shape) < 0:
        raise ValueError("it is damaged: a matrix has no head")
    (flag,) = struct.unpack_from(f"{order}I", flags[1])
    text, size = bytes(name[1]).decode("latin-1"), math.prod(shape)
    if flag & 0xFF == CELLS and deepest:
        cells = [_cell(element, order, deepest - 1) for element in elements]
        value = np.empty(len(cells), object)
        value[:] = cells
    elif flag & 0xFF in NUMERIC_CLASSES and not flag & COMPLEX:
        value = _numbers(_next(elements), order) if size else np.empty(0)
    else:
        return text, np.empty((0, 0))
    if value.size != size:
        raise ValueError(f"it is damaged: a matrix of {size} has {value.size} entries")
    return text, value.reshape(shape, order="F")


def _cell(element: tuple[int, memoryview], order: str, deepest: int) -> np.ndarray:
    kind, content = element
    if kind != MATRIX:
        raise ValueError("it is damaged: a cell holds no matrix")
    return _matrix(content, order, deepest)[1]


def _next(elements: Iterator[tuple[int, memoryview]]) -> tuple[int, memoryview]:
    found = next(elements, None)
    if found is None:
        raise ValueError("it is damaged: a matrix is cut off")
    return found


def _numbers(element: tuple[int, memoryview], order: str) -> np.ndarray[Any, Any]:
    kind, content = element
    if kind not in NUMBERS or len(content) % int(NUMBERS[kind][1]):
        raise ValueError("it is damaged: numbers are of an unknown type")
    return np.frombuffer(content, order + NUMBERS[kind])

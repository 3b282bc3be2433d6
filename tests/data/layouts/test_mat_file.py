import io
import re
import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from jreid.data.layouts import mat_file
from jreid.data.layouts.mat_file import read_cells

TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def cells_of(values, shape):
    cells = np.empty(len(values), object)
    cells[:] = values
    return cells.reshape(shape, order="F")


def saved(path, compressed=False, **variables):
    savemat(path, variables, do_compression=compressed)
    return path


def equal(ours, theirs):
    if ours.dtype == object:
        return ours.shape == theirs.shape and all(map(equal, ours.flat, theirs.flat))
    return ours.shape == theirs.shape and (ours == theirs).all()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_cells_of_every_type_as_scipy_reads_them(tmp_path, kind, compressed):
    inner = [np.arange(size * 3).reshape(3, size).astype(kind) for size in (1, 4, 0, 2)]
    outer = cells_of([cells_of(inner, (2, 2)), cells_of(inner[:1], (1, 1))], (2, 1))
    path = saved(tmp_path / "a.mat", compressed, other=np.ones(3), text="text", cells=outer)
    ours, theirs = read_cells(path, "cells"), loadmat(path)["cells"]
    assert ours.shape == (2, 1)
    assert equal(ours, theirs)
    assert ours[0, 0][1, 0].tolist() == inner[1].tolist()


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def bomb(size):
    packed = zlib.compress(bytes(size))
    return bytes(124) + b"\0\1IM" + struct.pack("<II", 15, len(packed)) + packed


def nested(depth):
    """Cells within cells within cells."""
    content = b""
    for _ in range(depth):
        head = element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<ii", 1, 1))
        content = head + element(1, b"c") + element(14, content)
    return bytes(124) + b"\0\1IM" + element(14, content)


@pytest.mark.fault("B7")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a MATLAB 5.0 file"),
        (bytes(128), "not a MATLAB 5.0 file"),
        (bytes(124) + b"\0\1IM", "no cell array cells"),
        (bytes(124) + b"\0\1IM" + bytes(7), "cut off"),
        (bytes(124) + b"\0\1IM" + struct.pack("<II", 14, 2**31), "larger than the file"),
        (bomb(10_000), "more than 9,000 bytes"),
        (bomb(1000)[:-9], "damaged|cut off"),
        (nested(100), "no cell array cells"),
        (bytes(9001), "larger than 9,000 bytes"),
    ],
)
def test_files_that_are_damaged_or_hostile(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(mat_file, "LARGEST", 9000)
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_cells(tmp_path / "a.mat", "cells")


def test_what_is_no_cell_array(tmp_path):
    path = saved(tmp_path / "a.mat", cells={"field": 1}, z=np.ones(2) + 1j)
    for name in ("cells", "z", "none"):
        with pytest.raises(ValueError, match=re.escape(f"no cell array {name}")):
            read_cells(path, name)


@pytest.mark.fault("B7")
def test_a_byte_that_has_scipy_crash_is_only_damage(tmp_path):
    file = io.BytesIO()
    savemat(file, {"cells": cells_of([np.ones((1, 2))], (1, 1))}, do_compression=False)
    whole = file.getvalue()
    for place in range(128, len(whole)):
        for value in (0, 1, 14, 15, 255):
            (tmp_path / "a.mat").write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                read_cells(tmp_path / "a.mat", "cells")
            except ValueError as error:
                assert str(error).startswith("it ")

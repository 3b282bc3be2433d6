"""A disk that is full, faulty or cut off: operations on files that fail once, or are recorded.

A test goes through all operations with `for layer in failing_once(errno.ENOSPC)`: in the first
round the first operation under `injected(layer)` fails, in the second round the second, and so on.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir")  # of os
KINDS = ("open", "write", *CALLS)


class Layer:
    """Counts operations, and lets the `fails`-th one fail with an `errno`; then it is `broke`."""

    def __init__(self, fails: int, number: int, kinds: Sequence[str]) -> None:
        self.fails, self.number, self.kinds = fails, number, kinds
        self.count, self.broke = 0, ""

    def operation(self, kind: str, path: object) -> None:
        self.count += kind in self.kinds
        if self.count == self.fails and not self.broke:
            self.broke = f"{kind} {path}"
            raise OSError(self.number, os.strerror(self.number))


class _File(io.FileIO):
    """What is written through it is torn where the write fails."""

    layer: Layer

    def write(self, content: Any) -> int:
        try:
            self.layer.operation("write", self.name)
        except OSError:
            super().write(bytes(content)[: len(content) // 2])
            raise
        return super().write(content)


@contextlib.contextmanager
def injected(layer: Layer) -> Iterator[Layer]:
    """Has every operation on files in this process, but C++'s own, go through the layer."""
    real_open, real = io.open, {name: getattr(os, name) for name in CALLS}

    def wrap(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            layer.operation(name, arguments[0])
            return real[name](*arguments, **options)

        return call

    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not {*mode} & {*"wax"} or "+" in mode:
            return real_open(file, mode, *arguments, **options)
        layer.operation("open", file)
        raw = _File(file, mode.replace("b", "").replace("t", ""))
        raw.layer = layer
        content = io.BufferedWriter(raw)
        return content if "b" in mode else io.TextIOWrapper(content, encoding="utf-8")

    io.open = opened
    for name in CALLS:
        setattr(os, name, wrap(name))
    try:
        yield layer
    finally:
        io.open = real_open
        for name in CALLS:
            setattr(os, name, real[name])


def failing_once(number: int, kinds: Sequence[str] = KINDS, most: int = 400) -> Iterator[Layer]:
    """Layers whose first operation fails, whose second does, ..., until one had none to fail.

    Only operations of these kinds count.
    """
    for fails in range(1, most):
        yield (layer := Layer(fails, number, kinds))
        if not layer.broke:
            assert fails > 1, "nothing was written"
            return
    raise AssertionError(f"more than {most} operations")


@contextlib.contextmanager
def power_cuts(promised: Callable[[Path], bool] = lambda path: True) -> Iterator[list[str]]:
    """Records what a power cut could lose: names given before their content was on the disk.

    At every rename to a promised name, all files and folders that are renamed must have been synced
    as they are; and the new name's folder afterwards.
    """
    lost: list[str] = []
    synced: dict[tuple[int, int], tuple[int, int]] = {}  # device, inode: size, time of change
    pending: dict[tuple[int, int], Path] = {}  # folders with a name that is not on the disk
    real = {name: getattr(os, name) for name in ("fsync", "rename", "replace")}

    def identity(stat: os.stat_result) -> tuple[int, int]:
        return stat.st_dev, stat.st_ino

    def version(stat: os.stat_result) -> tuple[int, int]:
        return stat.st_size, stat.st_mtime_ns

    def fsync(handle: Any) -> None:
        real["fsync"](handle)
        stat = os.fstat(handle)
        synced[identity(stat)] = version(stat)
        pending.pop(identity(stat), None)

    def renamed(name: str) -> Callable[..., None]:
        def call(old: Any, new: Any, **options: Any) -> None:
            if promised(Path(new)):
                for path in (Path(old), *Path(old).rglob("*")):
                    stat = path.stat()
                    if synced.get(identity(stat)) != version(stat):
                        lost.append(f"{path} was not on the disk when it became {new}")
            real[name](old, new, **options)
            if promised(Path(new)):
                folder = Path(new).absolute().parent
                pending[identity(folder.stat())] = Path(new)

        return call

    os.fsync, os.rename, os.replace = fsync, renamed("rename"), renamed("replace")
    try:
        yield lost
    finally:
        os.fsync, os.rename, os.replace = real["fsync"], real["rename"], real["replace"]
    lost.extend(f"the name {path} was not on the disk at the end" for path in pending.values())

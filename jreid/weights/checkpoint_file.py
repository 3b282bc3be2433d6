"""Reads files of parameters without running code from them; the file's suffix does not matter."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from jreid.errors import InputError
from jreid.optional_parts import require_part
from jreid.paths import require_file

OLDEST_TORCH = (2, 10)  # before it, weights_only could be made to corrupt memory: CVE-2026-24747
CONVERT = "convert it to .safetensors on a machine that has PyTorch"
# Scripts' keys for a state dict. Beside a teacher there is a student, which is not evaluated.
NESTS = ("net", "state_dict", "model", "model_state_dict", "teacher")
DEEPEST = 8  # how many such keys may be nested
MODULE, COMPILED = "module.", "_orig_mod."  # of DataParallel, and of torch.compile, in names
INTEGERS = {f"{sign}{bits}" for sign in "IU" for bits in (8, 16, 32, 64)}
NUMBERS = {"F64", "F32", "F16", "BF16", "BOOL"} | INTEGERS
# The most bytes of float32 for each byte of the file: 8-bit floats need 4, arrays with two names
# need more. Without a limit, an array that repeats a number by a stride of 0 could have any size.
MAX_GROWTH = 16
NO_CHECKPOINTS = {
    b"<!doctype": "an HTML page",
    b"<html": "an HTML page",
    b"version https://git-lfs": "a Git LFS pointer",
}


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """The named arrays of a safetensors file or of a PyTorch checkpoint.

    The content of the file shows which of the two it is. A PyTorch checkpoint is a pickle; it is
    read only by `torch.load(weights_only=True)`, which refuses to run code. A state dict nested
    under "net", "state_dict", "model", "model_state_dict" or "teacher" is found. The prefixes
    "module." of DataParallel, even repeated, and "_orig_mod." of torch.compile, anywhere in a name,
    are removed. Floating arrays are returned as float32, which is exact for 16-bit and PyTorch's
    8-bit numbers.

    Raises:
        InputError: no such file, not a checkpoint, one that would run code or use unlimited memory,
            a type of number that cannot be read, or PyTorch is missing or too old.
    """
    path = Path(path)
    require_file(path, "give the path of a checkpoint")
    try:
        with path.open("rb") as file:
            head = file.read(256)
        kind = _kind(path, head, path.stat().st_size)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give the path of a checkpoint"
        ) from error
    entries = _read_safetensors(path) if kind == "safetensors" else _read_pickle(path)
    return {name: _float32(value) for name, value in _plain_names(path, entries).items()}


def _kind(path: Path, head: bytes, size: int) -> str:
    """`safetensors` or `pickle`, by how the file begins."""
    for beginning, what in NO_CHECKPOINTS.items():
        if head.lstrip().lower().startswith(beginning):
            raise InputError(f"{path} is {what}, not a checkpoint: download the file itself")
    # Check this first: a safetensors file begins with a length, which may look like a pickle.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "pickle"
    cause = "begins as neither a safetensors file nor a PyTorch checkpoint" if head else "is empty"
    raise InputError(f"{path} {cause}: download or copy it again")


def _plain_names(path: Path, entries: Mapping[str, Any]) -> dict[str, Any]:
    """The entries without the prefixes of PyTorch's wrappers."""
    names = [name.replace(COMPILED, "") for name in entries]
    while names and all(name.startswith(MODULE) for name in names):
        names = [name.removeprefix(MODULE) for name in names]
    plain = dict(zip(names, entries.values(), strict=True))
    if len(plain) < len(entries):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"{path} holds {_short(twice)} twice, with and without a prefix: get a file with one "
            "state dict"
        )
    return plain


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118
                kind = file.get_slice(name).get_dtype()
                if kind not in NUMBERS:
                    raise InputError(
                        f"{path}: {_short(name)} holds numbers of the type {kind}, which numpy "
                        "lacks: convert the file to float32"
                    )
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is a broken safetensors file ({error}): download or copy it again"
        ) from error


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    require_part("torch", f"{path}", CONVERT)
    import torch

    _require_new_torch(path, torch.__version__)
    try:
        _refuse_compressed(path)
        # An open file, since PyTorch would choose by the suffix of a path.
        with path.open("rb") as file, torch.serialization.safe_globals(_placeholders()):
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        tensors = _state_dict(path, loaded)
        _refuse_growth(path, sum(4 * tensor.numel() for tensor in tensors.values()))
        detached = {name: tensor.detach() for name, tensor in tensors.items()}
        return {n: (t.float() if t.is_floating_point() else t).numpy() for n, t in detached.items()}
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        cause = f"loading it would run {asked[1]}" if asked else "it is not a PyTorch checkpoint"
        raise InputError(
            f"{path} is refused because {cause}: get a file with nothing but a state dict"
        ) from error
    except Exception as error:  # a broken file may raise anything in PyTorch's readers
        raise InputError(
            f"{path} is empty, cut off or not a PyTorch checkpoint: download or copy it again"
        ) from error


def _require_new_torch(path: Path, version: str) -> None:
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise InputError(
            f"{path} is not read by PyTorch {version}, in which a checkpoint can corrupt memory; "
            f'install {oldest} or newer by `pip install "jreid[torch]"`, or {CONVERT}.'
        )


def _refuse_compressed(path: Path) -> None:
    """Refuses an archive that claims to be larger than the file: PyTorch does not compress."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _refuse_growth(path, sum(entry.file_size for entry in archive.infolist()), most=1)


def _refuse_growth(path: Path, needed: int, most: int = MAX_GROWTH) -> None:
    size = path.stat().st_size
    if needed > most * size:
        raise InputError(
            f"{path} has {size:,} bytes and would take {needed:,} of memory, which is too much "
            "for a checkpoint: download or copy it again"
        )


def _state_dict(path: Path, loaded: Any) -> Mapping[str, Any]:
    """The state dict inside what a training script saved."""
    for _ in range(DEEPEST):
        if isinstance(loaded, Mapping):
            nests = (loaded.get(key) for key in NESTS)
            loaded = next((nest for nest in nests if isinstance(nest, Mapping)), loaded)
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path} holds no state dict but a {type(loaded).__name__}: get another")
    for name, value in loaded.items():
        if not isinstance(name, str) or not hasattr(value, "is_floating_point"):
            kind = type(value).__name__
            raise InputError(f"{path} holds no state dict: its entry {_short(name)} is a {kind}")
    return loaded


class _Placeholder:
    """Replaces what is saved beside the weights, such as an accuracy; keeps nothing."""

    def __new__(cls, *_: Any) -> "_Placeholder":
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass


def _placeholders() -> list[Any]:
    """What PyTorch builds in place of numpy values and of a script's arguments.

    The unpickling of numpy values can corrupt memory.
    """
    builders = ("core.multiarray.scalar", "core.multiarray._reconstruct")
    names = [f"numpy.{prefix}{builder}" for prefix in ("", "_") for builder in builders]
    names += ["numpy.dtype", "numpy.ndarray", "argparse.Namespace"]
    return [(_Placeholder, name) for name in names]


def _float32(value: np.ndarray) -> np.ndarray:
    floating = np.issubdtype(value.dtype, np.floating) or value.dtype == jnp.bfloat16
    with np.errstate(over="ignore"):  # a later check refuses arrays that overflow, by name
        return value.astype(np.float32, copy=False) if floating else value


def _short(name: object) -> str:
    text = repr(name) if not isinstance(name, tuple | Mapping) else type(name).__name__
    return text if len(text) <= 80 else f"{text[:80]}..."

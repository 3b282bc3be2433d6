"""PyTorch checkpoints: reading the file without running it, and renaming its entries to ours."""

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load_file

from jreid.errors import InputError
from jreid.nn.torch_layout import Layout

Entries = Mapping[str, np.ndarray]
Variables = Mapping[str, Any]

PICKLES = (".pth", ".pt", ".t", ".bin", ".tar")
NESTS = ("net", "state_dict", "model")  # under which training scripts save the state dict
NAMES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}
SHOWN = 5  # names of one kind in an error message


class Leaf(NamedTuple):
    """One array of ours and the PyTorch entry that fills it."""

    collection: str
    path: str
    shape: tuple[int, ...]
    entry: str


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """The named arrays of a `.safetensors` file or of a PyTorch checkpoint.

    A PyTorch checkpoint is a pickle; it is read by `torch.load(weights_only=True)` alone, which
    refuses to run code. A state dict nested under "net", "state_dict" or "model" is taken out, and
    DataParallel's prefix "module." left out. Floating arrays come back as float32.

    Raises:
        InputError: no such file, not a checkpoint, one that would run code, or PyTorch is missing.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(256).lstrip().lower()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give the path of a checkpoint"
        ) from error
    if head.startswith((b"<!doctype", b"<html")):
        raise InputError(f"{path} is an HTML page, not a checkpoint: download the file itself")
    if path.suffix == ".safetensors":
        entries = _read_safetensors(path)
    elif path.suffix in PICKLES:
        entries = _read_pickle(path)
    else:
        known = " ".join((".safetensors", *PICKLES))
        raise InputError(f"{path} ends in none of {known}: rename or convert it")
    if all(name.startswith("module.") for name in entries):
        entries = {name.removeprefix("module."): value for name, value in entries.items()}
    return {name: _float32(value) for name, value in entries.items()}


def convert(entries: Entries, variables: Variables, layout: Layout) -> dict[str, Any]:
    """Fills `params` and `batch_stats` with the entries of a published state dict.

    Args:
        entries: as `read_checkpoint` returns them.
        variables: of our network; only shapes will do, but for what the layout makes optional.
            Other collections are handed on.
        layout: where the published implementation keeps what.

    Returns:
        The same tree with numpy float32 arrays; what is optional and missing stays as it is.

    Raises:
        InputError: an entry is missing, has another shape or is not finite, or the file holds one
            that is neither used nor declared unused. One message names them all.
    """
    optional = re.compile("|".join(layout.optional) or "$.")
    leaves = [
        leaf
        for leaf in expected_leaves(variables, layout)
        if leaf.entry in entries or not optional.match(leaf.path)
    ]
    what = "the checkpoint does not fit, give the --config that it was trained with"
    refuse_misfits(what, entries, leaves, layout)
    return fill(entries, variables, leaves)


def expected_leaves(variables: Variables, layout: Layout) -> Iterator[Leaf]:
    """Every array of `params` and `batch_stats` with the name of its entry."""
    for collection in ("params", "batch_stats"):
        arrays: dict[str, Any] = flatten_dict(variables.get(collection, {}), sep="/")
        for path, array in arrays.items():
            scope, _, name = path.rpartition("/")
            entry = scope + "/"
            for pattern, replacement in layout.renames:
                entry = re.sub(pattern, replacement, entry)
            entry = entry.replace("/", ".") + NAMES.get((collection, name), name)
            yield Leaf(collection, path, tuple(array.shape), entry)


def refuse_misfits(what: str, entries: Entries, leaves: list[Leaf], layout: Layout) -> None:
    """Raises an InputError that counts and names what is missing, extra, mis-shaped or NaN."""
    problems = {"missing": [], "of another shape": [], "not finite numbers": []}
    for leaf in leaves:
        theirs = entries.get(leaf.entry)
        if theirs is None:
            problems["missing"].append(leaf.entry)
        elif not _fits(theirs.shape, leaf.shape):
            hint = " (set config.data.identities)" if "classifier" in leaf.path else ""
            shapes = f"{_text(theirs.shape)} in the file but {_text(_torch_order(leaf.shape))} here"
            problems["of another shape"].append(f"{leaf.entry}: {shapes}{hint}")
        elif theirs.dtype != np.float32 or not np.isfinite(theirs).all():
            problems["not finite numbers"].append(leaf.entry)
    used = {leaf.entry for leaf in leaves}
    unused = re.compile("|".join((*layout.unused, r"(.*\.)?num_batches_tracked$")))
    problems["unknown here"] = [e for e in entries if e not in used and not unused.match(e)]
    parts = []
    for kind, found in problems.items():
        names = list(dict.fromkeys(found))
        if names:
            more = ", ..." if len(names) > SHOWN else ""
            parts.append(f"{len(names)} {kind} ({', '.join(names[:SHOWN])}{more})")
    if parts:
        raise InputError(f"{what}: {'; '.join(parts)}")


def fill(entries: Entries, variables: Variables, leaves: list[Leaf]) -> dict[str, Any]:
    """The variables with each leaf's entry in its place, in our order of axes."""
    result = dict(variables)
    for collection in {leaf.collection for leaf in leaves}:
        arrays: dict[str, Any] = flatten_dict(variables[collection], keep_empty_nodes=True, sep="/")
        for leaf in leaves:
            if leaf.collection == collection:
                ours = _our_order(entries[leaf.entry], rank=len(leaf.shape))
                arrays[leaf.path] = np.ascontiguousarray(ours)
        result[collection] = unflatten_dict(arrays, sep="/")
    return result


def _our_order(entry: np.ndarray, rank: int) -> np.ndarray:
    """A PyTorch kernel in our order; a 1x1 convolution becomes a matrix where ours is one."""
    if rank == 4:
        return entry.transpose(2, 3, 1, 0)
    return entry.reshape(entry.shape[:2]).T if rank == 2 else entry


def _torch_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Outputs, inputs, then height and width: the axes of a PyTorch kernel."""
    return (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else shape


def _fits(theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    expected = _torch_order(ours)
    return theirs == expected or (len(ours) == 2 and theirs == (*expected, 1, 1))


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (SafetensorError, KeyError, OSError) as error:
        raise InputError(f"{path} is a broken safetensors file ({error}): get it anew") from error


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path} can be read by PyTorch only: `pip install torch`, or convert it to "
            ".safetensors on a machine that has it"
        ) from error
    try:
        with torch.serialization.safe_globals(_placeholders()):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {name: tensor.detach() for name, tensor in _state_dict(path, loaded).items()}
        return {n: (t.float() if t.is_floating_point() else t).numpy() for n, t in tensors.items()}
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        cause = f"loading it would run {asked[1]}" if asked else "it is no PyTorch checkpoint"
        raise InputError(
            f"{path} is refused because {cause}: get a file with nothing but a state dict"
        ) from error
    except Exception as error:  # a broken file fails in as many ways as PyTorch has readers
        raise InputError(
            f"{path} is empty, truncated or no PyTorch checkpoint: get it anew"
        ) from error


def _state_dict(path: Path, loaded: Any) -> Mapping[str, Any]:
    """The state dict inside what a training script saved."""
    while isinstance(loaded, Mapping):
        nests = [loaded[key] for key in NESTS if isinstance(loaded.get(key), Mapping)]
        if not nests:
            break
        loaded = nests[0]
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path} holds no state dict but a {type(loaded).__name__}: get another")
    for name, value in loaded.items():
        if not isinstance(name, str) or not hasattr(value, "is_floating_point"):
            kind = type(value).__name__
            raise InputError(f"{path} holds no state dict: its entry {name!r} is a {kind}")
    return loaded


class _Placeholder:
    """Stands for a numpy value saved beside the weights, such as an accuracy; keeps nothing."""

    def __new__(cls, *_: Any) -> "_Placeholder":
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass


def _placeholders() -> list[Any]:
    """What PyTorch builds in place of numpy values: their own unpickling can corrupt memory."""
    builders = ("core.multiarray.scalar", "core.multiarray._reconstruct")
    names = [f"numpy.{prefix}{builder}" for prefix in ("", "_") for builder in builders]
    return [(_Placeholder, name) for name in ("numpy.dtype", "numpy.ndarray", *names)]


def _float32(value: np.ndarray) -> np.ndarray:
    floating = np.issubdtype(value.dtype, np.floating) or value.dtype.name == "bfloat16"
    with np.errstate(over="ignore"):  # what overflows is refused later, by name
        return value.astype(np.float32) if floating else value


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"

"""PyTorch state dicts: renames their entries to ours."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jreid.errors import InputError
from jreid.nn.torch_layout import Layout

Entries = Mapping[str, np.ndarray]
Variables = Mapping[str, Any]

NAMES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}
SHOWN = 5  # names of one kind in an error message
# Methods that jreid lacks, and entries that only their checkpoints have.
OTHER_METHODS = {
    "MMN, a method that jreid lacks": ("encode1.weight", "decode.weight"),
    "DEEN or YYDS, methods that jreid lacks": ("DEE.FC11.weight", "MFA1.CNL.g.weight"),
}


class Leaf(NamedTuple):
    """One of our arrays and the PyTorch entry that fills it."""

    collection: str
    path: str
    shape: tuple[int, ...]
    entry: str


def convert(
    entries: Entries, variables: Variables, layout: Layout, source: str = "the checkpoint"
) -> dict[str, Any]:
    """Fills `params` and `batch_stats` with the entries of a published state dict.

    Args:
        entries: as `read_checkpoint` returns them.
        variables: of our network. Shapes are enough, except for arrays that the layout makes
            optional. Other collections are returned unchanged.
        layout: the names of the published implementation.
        source: the checkpoint's file, for errors.

    Returns:
        The same tree with numpy float32 arrays. Optional arrays that are missing stay as they are.

    Raises:
        InputError: an entry is missing, has another shape or is not finite, or the file has an
            entry that is neither used nor declared unused. One message names them all, and another
            method, if the entries are known to be of one.
    """
    if method := other_method(entries):
        raise InputError(f"{source} is of {method}: give a checkpoint of the --config's method.")
    optional = re.compile("|".join(layout.optional) or "$.")
    leaves = [
        leaf
        for leaf in expected_leaves(variables, layout)
        if leaf.entry in entries or not optional.match(leaf.path)
    ]
    what = f"{source} does not fit, give the --config that it was trained with"
    refuse_misfits(what, entries, leaves, layout)
    return fill(entries, variables, leaves)


def other_method(entries: Iterable[str]) -> str | None:
    """The method that jreid lacks and whose checkpoint has these names, if it is known."""
    names = {*entries}
    return next((method for method, theirs in OTHER_METHODS.items() if names >= {*theirs}), None)


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
    """The variables with each leaf replaced by its entry, in our order of axes."""
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


def torch_order(array: np.ndarray) -> np.ndarray:
    """An array of a convolution or a norm in the order of PyTorch's axes; inverts `fill`."""
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array)


def _torch_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Outputs, inputs, then height and width: the axes of a PyTorch kernel."""
    return (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else shape


def _fits(theirs: tuple[int, ...], ours: tuple[int, ...]) -> bool:
    expected = _torch_order(ours)
    return theirs == expected or (len(ours) == 2 and theirs == (*expected, 1, 1))


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"

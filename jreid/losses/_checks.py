"""Checks of a loss's arguments: arrays against their annotations, and options by name."""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import AbstractArray, Array, Float, jaxtyped

P = ParamSpec("P")
R = TypeVar("R")

Margin = float | int | Float[Array, ""]
REDUCTIONS = {"mean": jnp.mean, "sum": jnp.sum}


def choose(options: Mapping[str, R], name: str, what: str) -> R:
    """The option of this name.

    Raises:
        ValueError: there is no option of this name; the message lists the existing names.
    """
    require(name, options, what)
    return options[name]


def require(name: str, names: Collection[str], what: str) -> None:
    """Raises ValueError, with the existing names, unless the name is one of them."""
    if name not in names:
        raise ValueError(f"{what} must be one of {', '.join(names)}, not {name!r}")


def checked(loss: Callable[P, R]) -> Callable[P, R]:
    """The loss, which raises ValueError for an array of another shape or type than its annotation.

    Otherwise identities of shape `[N, 1]` or of another length would broadcast and give a wrong
    loss. Shapes are known while tracing, so a compiled loss pays nothing. Arrays of numpy are
    accepted like those of jax. An empty array is refused, since its mean is NaN. Arrays in a
    mapping or a sequence are checked, too.
    """
    signature = inspect.signature(loss)
    wanted = {
        name: kind
        for name, hint in typing.get_type_hints(loss).items()
        if name != "return" and (kind := _array_kind(hint))
    }

    @functools.wraps(loss)
    def check_and_call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        given = bound.arguments
        leaves = [
            (f"{name}{jax.tree_util.keystr(path)}", leaf, kind)
            for name, kind in wanted.items()
            for path, leaf in jax.tree.leaves_with_path(given.get(name))
        ]
        with jaxtyped("context"):  # in it, axes of the same name must have the same length
            for name, leaf, kind in leaves:
                if not isinstance(leaf, kind) or 0 in leaf.shape:
                    found = ", ".join(_describe(*item) for item in leaves)
                    raise ValueError(
                        f"{name} of {loss.__name__} does not fit: it takes non-empty arrays whose "
                        f"axes of the same name have the same length, and was given {found}."
                    )
        given |= {name: jax.tree.map(jnp.asarray, given[name]) for name in wanted if name in given}
        return loss(*bound.args, **bound.kwargs)

    return check_and_call


def _array_kind(hint: Any) -> Any:
    """The shape and type that an annotation asks for, of any array library, if it asks for one."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Mapping, Sequence, tuple):
        return _array_kind(inner[-1])
    if origin in (types.UnionType, typing.Union) and len(inner) == 2 and inner[1] is type(None):
        return _array_kind(inner[0])
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return hint.dtype[Any, hint.dim_str]
    return None


def _describe(name: str, array: Any, kind: Any) -> str:
    found = f"{array.dtype}{list(array.shape)}" if hasattr(array, "shape") else f"{array!r}"
    return f"{name}: {found} for {kind.dtype.__name__}[{kind.dim_str.strip()}]"

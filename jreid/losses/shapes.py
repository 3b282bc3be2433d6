"""Checks what a public loss is given against its annotations, in and out of jit."""

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from jaxtyping import AbstractArray, Int, Integer, jaxtyped

P = ParamSpec("P")
R = TypeVar("R")


def checked(loss: Callable[P, R]) -> Callable[P, R]:
    """The loss, which raises ValueError for an array of another shape or type than its annotation.

    Otherwise identities of shape `[N, 1]` or of another length would broadcast to another value.
    Shapes are known while tracing, so a compiled loss pays nothing. Arrays of jax and of numpy
    pass; an empty one does not, since its mean is no number.
    """
    signature = inspect.signature(loss)
    wanted = {
        name: kind
        for name, hint in typing.get_type_hints(loss).items()
        if name != "return" and (kind := _array_kind(hint))
    }

    @functools.wraps(loss)
    def check_and_call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        arrays = {name: given[name] for name in wanted if given.get(name) is not None}
        with jaxtyped("context"):  # in which an axis of one name has one length
            for name, array in arrays.items():
                if not isinstance(array, wanted[name]) or 0 in array.shape:
                    found = ", ".join(_describe(*item, wanted) for item in arrays.items())
                    raise ValueError(
                        f"{name} of {loss.__name__} does not fit: it takes non-empty arrays whose "
                        f"axes of the same name have the same length, and was given {found}."
                    )
        return loss(*args, **kwargs)

    return check_and_call


def _array_kind(hint: Any) -> Any:
    """The shape and type that an annotation asks for, of any array library, if it asks for one."""
    if isinstance(hint, types.UnionType):
        return next(filter(None, map(_array_kind, typing.get_args(hint))), None)
    if not (isinstance(hint, type) and issubclass(hint, AbstractArray)):
        return None
    kind: Any = Integer if hint.dtype is Int else hint.dtype
    return kind[Any, hint.dim_str]


def _describe(name: str, array: Any, wanted: dict[str, Any]) -> str:
    kind = wanted[name]
    found = f"{array.dtype}{list(array.shape)}" if hasattr(array, "shape") else f"{array!r}"
    return f"{name}: {found} for {kind.dtype.__name__}[{kind.dim_str.strip()}]"

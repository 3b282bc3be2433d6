"""Memory that is full, of a device or of the machine, reported in one sentence."""

import contextlib
from collections.abc import Callable, Iterator

import jax

from jreid.errors import InputError


@contextlib.contextmanager
def explain_out_of_memory(what: str, remedy: Callable[[], str]) -> Iterator[None]:
    """Turns the error of full memory into an InputError.

    Args:
        what: does not fit.
        remedy: words that end the sentence, asked for only when needed.
    """
    try:
        yield
    except MemoryError as error:
        cause = str(error).strip() or "no memory is left"
        raise InputError(
            f"{what} does not fit the memory of this machine ({cause}); {remedy()}."
        ) from error
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        cause = str(error).strip().splitlines()[0].removeprefix("RESOURCE_EXHAUSTED: ")
        device = jax.local_devices()[0].device_kind
        raise InputError(
            f"{what} does not fit the memory of {device} ({cause}); {remedy()}."
        ) from error

"""Reports full memory, of a device or of the machine, in one sentence."""

import contextlib
from collections.abc import Iterator

import jax

from jreid.errors import InputError

# The end of a sentence on a training step.
SMALLER_STEP = (
    "lower config.batch.identities or config.batch.images, set --config.dtype=bfloat16, or use "
    "more devices"
)


class OutOfMemoryError(InputError):
    """Something does not fit into the memory of a device or of the machine."""


@contextlib.contextmanager
def explain_out_of_memory(what: str, remedy: str) -> Iterator[None]:
    """Turns an out-of-memory error into OutOfMemoryError, an InputError.

    Args:
        what: the work that does not fit.
        remedy: the end of the sentence.
    """
    try:
        yield
    except MemoryError as error:
        cause = str(error).strip() or "no memory is left"
        raise OutOfMemoryError(
            f"{what} does not fit into the memory of this machine ({cause}); {remedy}."
        ) from error
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        cause = str(error).strip().splitlines()[0].removeprefix("RESOURCE_EXHAUSTED: ")
        device = jax.local_devices()[0].device_kind
        raise OutOfMemoryError(
            f"{what} does not fit into the memory of {device} ({cause}); {remedy}."
        ) from error

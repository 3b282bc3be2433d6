"""Several processes of a run: the first one decides, writes and prints for all."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jreid.errors import InputError

Made = TypeVar("Made")
TEXT = 1000  # bytes of an error that other processes report
REPORTED = "All processes know of this error."  # a note that is added to such an error


class OtherProcessError(InputError):
    """Another process has failed, so that this one cannot go on."""


def is_main_process() -> bool:
    """Whether this process is the one that writes files and prints."""
    return jax.process_index() == 0


def on_main_process(decide: Callable[[], Any]) -> Any:
    """Calls `decide` in the first process only, and returns its value in all processes.

    Every process must call this. The value must be JSON.

    Raises:
        InputError: as `decide`, in every process, so that none waits for one that has exited. Any
            other error of `decide` is an InputError in the other processes.
    """
    if jax.process_count() == 1:
        return decide()
    decided: dict[str, Any] = {}
    failure = None
    if is_main_process():
        try:
            decided = {"value": decide()}
        except Exception as error:
            failure, decided = error, {"error": str(error) or repr(error)}
    decided = _broadcast(decided)
    if failure is not None:
        raise failure
    if "error" in decided:
        raise InputError(decided["error"])
    return decided["value"]


def main_process_first(make: Callable[[], Made]) -> Made:
    """Calls `make` in the first process, then in the others; returns each process's own value.

    Raises:
        InputError: as `make`; if the first process raises it, every process does.
    """
    made: list[Made] = []
    on_main_process(lambda: made.append(make()))
    return made[0] if made else make()


def gather(compute: Callable[[], Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Calls `compute` in every process, and returns each of its arrays from all processes.

    Every process must call this. `compute` may call it again.

    Returns:
        `[processes, ...]` each, bit for bit. An array must have one shape and type in all
        processes.

    Raises:
        OtherProcessError: `compute` has raised an error in another process, so that none waits for
            one that has exited.
    """
    if jax.process_count() == 1:
        return [array[None] for array in compute()]
    failure, arrays = None, []
    try:
        arrays = [np.ascontiguousarray(array) for array in compute()]
    except Exception as error:
        if _is_known(error):
            raise
        failure = error
    texts = _texts("" if failure is None else str(failure) or repr(failure))
    if failure is not None:
        failure.add_note(REPORTED)
        raise failure
    for process, text in enumerate(texts):
        if text:
            raise OtherProcessError(f"process {process}: {text}")
    # As bytes, since JAX would round float64 and int64.
    gathered = (
        multihost_utils.process_allgather(array.reshape(-1).view(np.uint8)) for array in arrays
    )
    return [
        np.asarray(data).view(array.dtype).reshape(len(texts), *array.shape)
        for data, array in zip(gathered, arrays, strict=True)
    ]


def _is_known(error: BaseException | None) -> bool:
    """Whether an inner `gather` has reported the error to all processes, so that none waits."""
    while error is not None:
        if isinstance(error, OtherProcessError) or REPORTED in getattr(error, "__notes__", ()):
            return True
        error = error.__cause__ or error.__context__
    return False


def require_same(what: str, content: str | np.ndarray) -> None:
    """Raises InputError in every process unless all have the same content.

    Args:
        what: a name of the content, for the error: "the config".
    """
    if jax.process_count() == 1:
        return
    data = content.encode() if isinstance(content, str) else content.tobytes()
    digest = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
    digests = multihost_utils.process_allgather(digest)
    differ = [process for process, other in enumerate(digests) if (other != digests[0]).any()]
    if differ:
        raise InputError(
            f"{what} of process {differ[0]} differs from that of process 0; start all processes by "
            "the same command, with the same files."
        )


def _texts(text: str) -> list[str]:
    """The text of each process, cut to `TEXT` bytes."""
    own = np.zeros(TEXT, np.uint8)
    content = text.encode()[:TEXT]
    own[: len(content)] = np.frombuffer(content, np.uint8)
    everybody = np.asarray(multihost_utils.process_allgather(own))
    return [row.tobytes().rstrip(b"\0").decode(errors="ignore") for row in everybody]


def _broadcast(value: Any) -> Any:
    content = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(content.size)))
    filled = np.resize(content, size)
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(filled)).tobytes())


def wait_for_all(reason: str) -> None:
    """Returns once every process has called it."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(reason)

"""Several processes of a run: the first one decides, writes and prints for all."""

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jreid.errors import InputError

Made = TypeVar("Made")


def is_main_process() -> bool:
    """Whether this process is the one that writes files and prints."""
    return jax.process_index() == 0


def on_main_process(decide: Callable[[], Any]) -> Any:
    """Calls `decide` in the first process only, and returns its value in all processes.

    Every process must call this. The value must be JSON.

    Raises:
        InputError: as `decide`, in every process, so that none waits for one that has exited.
    """
    if jax.process_count() == 1:
        return decide()
    decided: dict[str, Any] = {}
    if is_main_process():
        try:
            decided = {"value": decide()}
        except InputError as error:
            decided = {"error": str(error)}
    decided = _broadcast(decided)
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


def require_same(what: str, content: str) -> None:
    """Raises InputError in every process unless all have the same content.

    Args:
        what: a name of the content, for the error: "the config".
    """
    if jax.process_count() == 1:
        return
    digest = np.frombuffer(hashlib.sha256(content.encode()).digest(), np.uint8)
    digests = multihost_utils.process_allgather(digest)
    differ = [process for process, other in enumerate(digests) if (other != digests[0]).any()]
    if differ:
        raise InputError(
            f"{what} of process {differ[0]} differs from that of process 0; start all processes by "
            "the same command, with the same files."
        )


def _broadcast(value: Any) -> Any:
    content = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(content.size)))
    filled = np.resize(content, size)
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(filled)).tobytes())


def wait_for_all(reason: str) -> None:
    """Returns once every process has called it."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(reason)

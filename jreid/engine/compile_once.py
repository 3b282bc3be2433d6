"""Has one process compile a program that others need, too; they read it from the cache."""

import contextlib
import fcntl
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax


@contextlib.contextmanager
def compiled_once(function: Any, *arguments: Any) -> Iterator[None]:
    """A context for the first call of a function, in which no other process compiles the same.

    Runs of a sweep that start together need the same program, and JAX's cache has it only after one
    of them has compiled it. The lock is a file in the cache's folder. Without a cache, or where
    files cannot be locked, nothing waits; neither do the processes of one run, which compute
    together.

    Args:
        function: from `jax.jit`, or a partial of one; for others nothing waits.
        arguments: of the call.
    """
    settings: Any = jax.config
    folder = settings.jax_enable_compilation_cache and settings.jax_compilation_cache_dir
    if isinstance(function, functools.partial):
        function, arguments = function.func, (*function.args, *arguments)
    if not folder or not hasattr(function, "lower") or jax.process_count() > 1:
        yield
        return
    program = hashlib.sha256(function.lower(*arguments).as_text().encode()).hexdigest()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = stack.enter_context((Path(folder) / f"{program}.lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

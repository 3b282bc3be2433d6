"""Has one process compile a program that others need, too; they read it from the cache."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jreid.files import one_at_a_time

PATIENCE = 900.0  # seconds; no program has taken longer to compile


@contextlib.contextmanager
def compiled_once(function: Any, *arguments: Any) -> Iterator[None]:
    """A context for the first call of a function, in which no other process compiles the same.

    Runs of a sweep that start together need the same program, and JAX's cache has it only after one
    of them has compiled it. The lock is a file in the cache's folder. Without a cache, or where
    files cannot be locked, nothing waits; neither do the processes of one run, which compute
    together. After `PATIENCE` a process compiles by itself.

    Args:
        function: `Hoisted` or from `jax.jit`; for others nothing waits.
        arguments: of the call.
    """
    settings: Any = jax.config
    folder = settings.jax_enable_compilation_cache and settings.jax_compilation_cache_dir
    if not folder or not hasattr(function, "lower") or jax.process_count() > 1:
        yield
        return
    program = hashlib.sha256(function.lower(*arguments).as_text().encode()).hexdigest()
    with one_at_a_time(Path(folder) / f"{program}.lock", "compiles this program", PATIENCE):
        yield

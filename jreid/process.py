"""Prepares a process before JAX and TensorFlow start: output, environment, memory, cache."""

import contextlib
import ctypes
import logging
import os
import stat
import sys
import warnings
from pathlib import Path

from jreid.terminal import (
    OWN_PACKAGES,
    SentenceHandler,
    one_line,
    replace_what_cannot_be_shown,
)

CACHE_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
NEVER = -1  # malloc takes this for the largest possible size; 2**31 - 1 would be 2 GB
log = logging.getLogger(__name__)


def configure(compilation_cache: bool = True) -> None:
    """Prepares this process: its output, its log, its memory, and what JAX and TensorFlow read.

    The command line, the experiments and the tests call it before they compute anything, and no
    import does. JAX may be imported already, TensorFlow may not. Environment variables that are set
    already are kept.

    Args:
        compilation_cache: whether JAX stores compiled code for other processes; False when the time
            or the memory of compiling is measured.
    """
    replace_what_cannot_be_shown()
    configure_logging()
    silence_xla()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its sums depend on the thread count
    # A GPU's initial parameters, some hundred draws, take a minute to compile without a kernel.
    if "JAX_THREEFRY_GPU_KERNEL_LOWERING" not in os.environ:
        _set_for_jax("JAX_THREEFRY_GPU_KERNEL_LOWERING", "true", True)
    keep_freed_memory()
    leave_keras_out()
    if compilation_cache:
        keep_compilations()
    else:
        _set_for_jax("JAX_ENABLE_COMPILATION_CACHE", "false", False)


def cores() -> frozenset[int]:
    """The cores that this process may use; all on macOS, where programs cannot choose cores."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def machine_memory() -> int:
    """Bytes of the machine's memory, used or not."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def silence_xla() -> None:
    """Keeps alarms of XLA, such as of a slow compilation, off standard error, unless set already.

    Its errors are exceptions in Python. Call this before anything is compiled.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def configure_logging() -> None:
    """Sends the log to standard error, one line for each record, by a `SentenceHandler`.

    Sentences about the work are log records; results go to standard output; progress of long work
    is shown by a `jreid.progress.ProgressBar`.
    """
    # A user needs the message, not the line of code that warns.
    warnings.formatwarning = lambda message, *_, **__: f"warning: {one_line(str(message))}\n"
    # At the root logger, since absl would add a handler there that repeats everything.
    if not any(isinstance(handler, SentenceHandler) for handler in logging.root.handlers):
        logging.root.addHandler(SentenceHandler())
    for name in OWN_PACKAGES:
        logging.getLogger(name).setLevel(logging.INFO)
    # Orbax warns of settings that are intended, and logs a traceback of each error that it also
    # raises; so does asyncio, which Orbax writes with.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    leave_out_late_writes()


def leave_out_late_writes() -> None:
    """Keeps the other arrays of a save that failed off standard error.

    Orbax closes its event loop then, and Tensorstore's threads still report each array to it.
    """
    report = sys.unraisablehook
    if report.__module__ == __name__:
        return

    def report_others(unraisable: "sys.UnraisableHookArgs") -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    sys.unraisablehook = report_others


def _set_for_jax(variable: str, text: str, value: object) -> None:
    """Sets a variable that JAX reads at import, and JAX's own setting if it is imported already."""
    os.environ[variable] = text
    if "jax" in sys.modules:
        sys.modules["jax"].config.update(variable.lower(), value)


def keep_compilations() -> None:
    """Sets the user's own folder for JAX's compilation cache, unless one is set already.

    Call this before anything is compiled. The content of the folder runs as compiled code, so only
    the user may write to it: the folder is created for the user alone, and one that others own or
    can write to is not used, with a warning. JAX_COMPILATION_CACHE_DIR names another folder, such
    as one that a group shares; then there is only a warning if others can write to it.
    JAX_ENABLE_COMPILATION_CACHE=false turns the cache off. A folder that cannot be written to is
    not used, since jreid can always compile again.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        if cause := _unsafe(Path(named), stat.S_IWOTH, {0, os.getuid()}):
            log.warning(
                "%s=%s %s: compiled code from there runs with your rights; choose a folder that "
                "only you, or people you trust, can write to.",
                CACHE_VARIABLE,
                named,
                cause,
            )
        return
    parent = _cache_path()
    if parent is None:
        return
    folder = parent / "jax"
    with contextlib.suppress(OSError):
        for place in (parent, folder):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        cause = _unsafe(parent, OTHERS_WRITE) or _unsafe(folder, OTHERS_WRITE)
        if cause:
            log.warning(
                "%s %s: compiled code from there would run with your rights, so jreid does not "
                "use it and compiles again in every command; remove %s, or make yourself its only "
                "owner and writer.",
                folder,
                cause,
                parent,
            )
            return
        folder.chmod(0o700)
        _set_for_jax(CACHE_VARIABLE, str(folder), str(folder))


def user_cache() -> Path | None:
    """This user's own cache folder for jreid, created if it is missing.

    None if there is no home directory, or if others own the folder or can write to it.
    """
    folder = _cache_path()
    with contextlib.suppress(OSError):
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return None if _unsafe(folder, OTHERS_WRITE) else folder
    return None


def _cache_path() -> Path | None:
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(caches, "jreid") if os.path.isabs(caches) else None  # there is no home directory


def _unsafe(folder: Path, others: int, owners: set[int] | None = None) -> str:
    """Why a folder's content may come from another user; empty if it cannot or does not exist.

    Args:
        others: the mode bits that let others write.
        owners: user ids that may own it; by default this process's.
    """
    try:
        found = folder.stat()
    except OSError:
        return ""
    if found.st_uid not in (owners or {os.getuid()}):
        return "belongs to another user"
    return "can be written to by other users" if found.st_mode & others else ""


def keep_freed_memory() -> None:
    """Has malloc reuse freed blocks of any size instead of handing them back to the kernel.

    Every step of training on a CPU, and every batch of images, takes and frees the same hundreds of
    megabytes, a ResNet-50's step ten gigabytes. By default glibc maps each large block anew, and
    the kernel clears it page by page while all threads that need memory wait: two to three times
    the time of reading images, a quarter and more of a small network's training step. The process
    stays at its peak of memory.

    Call this before threads start: from then on they share one heap, and a block that one thread
    frees serves the others. Does nothing without glibc, or if another malloc is preloaded.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)
    mallopt(M_ARENA_MAX, 1)


def leave_keras_out() -> None:
    """Stops TensorFlow from importing Keras, which jreid does not use.

    Keras imports scikit-learn, Matplotlib and others: a hundred megabytes, and half of TensorFlow's
    import time. Only for jreid's own processes and those that they start: `tensorflow.keras` is
    missing in them, unless TF_USE_LEGACY_KERAS is set.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

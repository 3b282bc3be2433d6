"""What a process sets before JAX and TensorFlow start: environment, memory, compilation cache."""

import contextlib
import ctypes
import os
import stat
import sys
import warnings
from pathlib import Path

CACHE_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
NEVER = -1  # which malloc takes for the largest size there is; 2**31 - 1 would be 2 GB


def configure() -> None:
    """Prepares this process for JAX and TensorFlow; to be called before either is imported.

    A variable of the environment that is set already stays.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its sums depend on the thread count
    # A GPU's initial parameters, some hundred draws, take a minute to compile without a kernel.
    os.environ.setdefault("JAX_THREEFRY_GPU_KERNEL_LOWERING", "true")
    keep_freed_memory()
    leave_keras_out()
    keep_compilations()


def keep_compilations() -> None:
    """Names a folder of the user's for JAX's compilation cache, unless one is named already.

    To be called before JAX is imported. What lies in the folder is run as compiled code, so that
    it must be the user's own: it is made for them alone, and a folder that others own or can write
    to is not used, which is warned of. JAX_COMPILATION_CACHE_DIR names another folder, such as one
    that a group shares; that is the user's own decision, which is only warned of where strangers
    can write there. JAX_ENABLE_COMPILATION_CACHE=false does without. A place that cannot be written
    to is left alone, since compiling anew is never a fault.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        if cause := _unsafe(Path(named), stat.S_IWOTH, {0, os.getuid()}):
            warnings.warn(
                f"{CACHE_VARIABLE}={named} {cause}: compiled code from there runs as you; name a "
                "folder that only you, or people you trust, can write to.",
                stacklevel=2,
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
            warnings.warn(
                f"{folder} {cause}: compiled code from there would run as you, so that nothing is "
                f"kept between commands; remove {parent}, or make it yours alone.",
                stacklevel=2,
            )
            return
        folder.chmod(0o700)
        os.environ[CACHE_VARIABLE] = str(folder)


def user_cache() -> Path | None:
    """This user's own cache folder for jreid, made where it is missing.

    None where there is no home directory, or where others own the folder or can write to it.
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
    """Why a folder's content may be somebody else's; empty where it may not, or is not there.

    Args:
        others: the bits of its mode that let others write.
        owners: user ids that may own it: this process's by default.
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
    the kernel clears it page by page while all threads that want memory wait: two to three times
    the time of reading images, a quarter and more of a small network's training step. The process
    stays at its peak of memory.

    To be called before threads start, since they share one heap from then on; blocks freed by one
    thread serve the others. Does nothing without glibc, or where another malloc is preloaded.
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
    """Has TensorFlow, when it is imported, not import Keras, which nothing here uses.

    With Keras come scikit-learn, Matplotlib and others that it has adapters for: a hundred
    megabytes, and half of the time that the import takes. For a process of our own only, and those
    that it starts: in them `tensorflow.keras` is missing, unless TF_USE_LEGACY_KERAS is set.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

"""What JAX has compiled is kept from one command to the next."""

import contextlib
import os
import stat
import warnings
from pathlib import Path

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def keep_compilations() -> None:
    """Names a folder of the user's for JAX's compilation cache, unless one is named already.

    To be called before JAX is imported. What lies in the folder is run as compiled code, so that
    it must be the user's own: it is made for them alone, and a folder that others own or can write
    to is not used, which is warned of. JAX_COMPILATION_CACHE_DIR names another folder, such as one
    that a group shares; that is the user's own decision, which is only warned of where strangers
    can write there. JAX_ENABLE_COMPILATION_CACHE=false does without. A place that cannot be written
    to is left alone, since compiling anew is never a fault.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if cause := _unsafe(Path(named), stat.S_IWOTH, {0, os.getuid()}):
            warnings.warn(
                f"{VARIABLE}={named} {cause}: compiled code from there runs as you; name a folder "
                "that only you, or people you trust, can write to.",
                stacklevel=2,
            )
        return
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(caches):  # there is no home directory
        return
    parent = Path(caches, "jreid")
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
        os.environ[VARIABLE] = str(folder)


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

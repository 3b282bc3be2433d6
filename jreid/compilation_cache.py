"""What JAX has compiled is kept from one command to the next."""

import contextlib
import os
from pathlib import Path


def keep_compilations() -> None:
    """Names a folder of the user's for JAX's compilation cache, unless one is named already.

    To be called before JAX is imported. JAX_COMPILATION_CACHE_DIR names another folder, and
    JAX_ENABLE_COMPILATION_CACHE=false does without. A place that cannot be written to is left
    alone, since compiling anew is never a fault.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with contextlib.suppress(OSError):
        folder = caches / "jreid" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))

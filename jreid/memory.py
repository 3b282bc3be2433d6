"""How this process holds memory: what it frees, it keeps; what it does not use, it leaves out."""

import ctypes
import os
import sys

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
NEVER = -1  # which malloc takes for the largest size there is; 2**31 - 1 would be 2 GB


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

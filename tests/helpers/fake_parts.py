"""Parts of the benchmark of a GPU that measure nothing, fail, crash or hang, in their processes."""

import os
import time

LONG = 60.0  # seconds


def fast(seconds):
    return lambda: {"seconds": seconds}


def failing():
    raise ValueError("cannot be compiled\nand a second line")


def crashing():
    os._exit(7)


def crashing_later():
    return crashing


def hanging():
    time.sleep(LONG)


def hanging_later():
    return hanging

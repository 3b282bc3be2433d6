"""Threads in the place of processes that share a ranking."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jreid.evaluation.ranking.share import Share


def together(function, processes):
    """What each of some processes returns, which all call a function with their share."""
    barrier, given = threading.Barrier(processes), [None] * processes

    def gather_by(number):
        def gather(compute):
            given[number] = compute()
            barrier.wait(60)
            found = [np.stack(parts) for parts in zip(*given, strict=True)]
            barrier.wait(60)
            return found

        return gather

    with ThreadPoolExecutor(processes) as executor:
        shares = [Share(number, processes, gather_by(number)) for number in range(processes)]
        return [*executor.map(function, shares)]

"""Runs slow work in threads, a bounded number of pieces at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class Busy(Exception):  # noqa: N818
    """There is too much other work."""


class TooSlow(Exception):  # noqa: N818
    """This piece of work takes too long."""


class Worker:
    """Threads, and a queue of limited length in front of them.

    Attributes:
        pending: how many pieces of work run or wait.
    """

    def __init__(self, threads: int, most: int, seconds: float) -> None:
        """`most`: of pieces that run or wait. `seconds`: how long `run` waits for a piece."""
        self._pool = ThreadPoolExecutor(threads)
        self._most, self._seconds = most, seconds
        self.pending = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of the work.

        Raises:
            Busy: the queue is full, or the piece still waits when the time is over.
            TooSlow: the piece runs, and the time is over.
        """
        if self.pending >= self._most:
            raise Busy
        self.pending += 1
        loop = asyncio.get_running_loop()
        future = self._pool.submit(work)

        def done(_: Future[Result]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._one_less)

        future.add_done_callback(done)
        try:  # a piece that still waits is cancelled; one that runs counts until it ends
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except TimeoutError:
            raise (Busy if future.cancel() else TooSlow) from None

    def _one_less(self) -> None:
        self.pending -= 1

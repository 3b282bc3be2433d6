"""SIGTERM and Ctrl-C while training: the step is finished and saved, then the run leaves.

The second Ctrl-C stops at once. So does a request that no step follows in time, as while the first
one is compiled: then nothing is lost that was not saved.
"""

import os
import signal
import socket
import sys
import threading
from typing import Any, Self

import jax
from jax.experimental import multihost_utils

from jreid.training.processes import is_first

GRACE = 8.0  # seconds for the step; the save and the way out take the rest of ten


class StopRequests:
    """Answers, after each step, whether the run is to stop. A context manager.

    Signals are heard by a thread of its own, since Python's handlers wait for the main one, which
    may be compiling. Among several processes JAX's preemption service hears SIGTERM, to whichever
    process it came, and has all of them stop after the same step; Ctrl-C is passed on to it. Once
    left, SIGTERM ends the process.

    Attributes:
        status: the exit status to leave with: 128 and the signal's number.
    """

    def __init__(self) -> None:
        self.status = 128 + signal.SIGTERM
        self._requested = False
        self._several = jax.process_count() > 1
        self._deadline = threading.Timer(GRACE, self._leave, ["no step ended in time"])
        self._deadline.daemon = True
        self._heard, self._wakeup = socket.socketpair()
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # where Python lets nobody handle signals
        self._wakeup.setblocking(False)
        self._before = signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        numbers = [signal.SIGINT] if self._several else [signal.SIGINT, signal.SIGTERM]
        self._handlers = {n: signal.signal(n, lambda *_: None) for n in numbers}
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._deadline.cancel()
        if self._handlers:
            signal.set_wakeup_fd(self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._several:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # else JAX goes on swallowing it
        self._wakeup.close()  # which ends the thread

    def after(self, step: int) -> bool:
        """Whether to save and leave after this step; all processes must ask after every step."""
        if self._several:
            return multihost_utils.reached_preemption_sync_point(step)
        if self._requested:
            self._deadline.cancel()
        return self._requested

    def _listen(self) -> None:
        interrupted = False
        while heard := self._heard.recv(1):
            number = heard[0]
            if number not in self._handlers:
                continue
            if number == signal.SIGINT and interrupted:
                self._leave("interrupted twice")
            interrupted |= number == signal.SIGINT
            if self._requested:
                continue
            self._requested, self.status = True, 128 + number
            self._say("stopping after this step; Ctrl-C stops at once")
            if self._several:
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                self._deadline.start()

    def _leave(self, why: str) -> None:
        self._say(f"{why}: the same command goes on from what is saved")
        sys.stdout.flush()
        os._exit(self.status)

    def _say(self, told: str) -> None:
        if is_first():
            show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # which progress bars hide
            print(f"{show_cursor}jreid: {told}.", file=sys.stderr, flush=True)

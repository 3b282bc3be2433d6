"""SIGTERM and Ctrl-C while training: the run finishes and saves its step, then it exits.

A second Ctrl-C stops at once. If the step does not end in time, as while the first step is
compiled, the run also stops: it waits for a save in progress and loses only the unfinished step.
"""

import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
from jax.experimental import multihost_utils

from jreid.distributed.processes import is_main_process

log = logging.getLogger(__name__)
SHOW_CURSOR = "\x1b[?25h"  # progress bars hide the cursor
GRACE = 8.0  # seconds for a step to end; saving and exiting take the rest of ten seconds
ACTION = 1024  # bytes; more than a `struct sigaction` has on any system
SLOW_STEPS, RECENT = 3, 20  # the grace is at least SLOW_STEPS times the slowest of the RECENT steps


class Interrupted(BaseException):
    """Raised within `StopSignals.interrupting` when the run has to stop now."""


class StopSignals:
    """Decides, after each step, whether the run has to stop. A context manager.

    A separate thread receives the signals, since Python's handlers wait for the main thread, which
    may be compiling. With several processes JAX's preemption service receives SIGTERM of any of
    them, and stops all of them after the same step; Ctrl-C is passed on to it. Outside of the
    context SIGTERM ends the process.

    Attributes:
        status: the exit status: 128 plus the signal's number.
    """

    _of_jax: Any = None  # its handler of SIGTERM, which it installs only once

    def __init__(
        self, grace: float | None = None, wait_for_save: Callable[[], object] = lambda: None
    ) -> None:
        """
        Args:
            grace: seconds that a step may take to end after a request; None to derive it from
                measured steps. With several processes JAX waits without limit.
            wait_for_save: returns when the save in progress has ended.
        """
        self.status = 128 + signal.SIGTERM
        self._grace, self._wait_for_save = grace, wait_for_save
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._last: float | None = None
        self._requested = self._answered = self._interrupting = False
        self._several = jax.process_count() > 1
        self._deadline: threading.Timer | None = None
        self._heard, self._wakeup = socket.socketpair()
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # where Python does not allow signal handlers
        self._wakeup.setblocking(False)
        self._before = signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        numbers = [signal.SIGINT] if self._several else [signal.SIGINT, signal.SIGTERM]
        self._handlers = {n: signal.signal(n, self._handle) for n in numbers}
        if self._several and StopSignals._of_jax is not None:  # a second training
            _swap_sigterm(StopSignals._of_jax)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._deadline:
            self._deadline.cancel()
        if self._handlers:
            signal.set_wakeup_fd(self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._several:
            StopSignals._of_jax = _swap_sigterm(None)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # else JAX would still swallow it
        self._wakeup.close()  # ends the thread

    @property
    def grace(self) -> float:
        """Seconds that the step may take to end after a request."""
        if self._grace is not None:
            return self._grace
        return max(GRACE, SLOW_STEPS * max(self._recent, default=0))

    def after(self, step: int) -> bool:
        """Whether to save and exit after this step; all processes call this after each step."""
        now = time.monotonic()
        if self._last is not None:
            self._recent.append(now - self._last)
        self._last = now
        if self._several:
            return multihost_utils.reached_preemption_sync_point(step)
        self._answered = self._requested
        return self._requested

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within this context a request raises Interrupted, in a run of one process.

        Its time is not part of a step. For long work that follows a save and can be repeated.
        """
        self._interrupting = not self._several
        try:
            if self._interrupting and self._requested:
                raise Interrupted
            yield
        finally:
            self._interrupting, self._last = False, None

    def _handle(self, *_: object) -> None:
        if self._interrupting:
            self._requested = self._answered = True
            raise Interrupted

    def _listen(self) -> None:
        interrupted = asked = False
        while heard := self._heard.recv(1):
            number = heard[0]
            if number not in self._handlers:
                continue
            if number == signal.SIGINT and interrupted:
                self._leave("interrupted twice")
            interrupted |= number == signal.SIGINT
            if asked:
                continue
            asked = self._requested = True
            self.status = 128 + number
            self._log("stopping after this step; Ctrl-C stops at once")
            if self._several:
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                self._deadline = threading.Timer(self.grace, self._late, [self.grace])
                self._deadline.daemon = True
                self._deadline.start()

    def _late(self, seconds: float) -> None:
        if not self._answered:
            self._wait_for_save()
        if not self._answered:
            self._leave(f"no step ended in {seconds:.0f} s")

    def _leave(self, why: str) -> None:
        self._log(f"{why}: give the same command again to resume from the last checkpoint")
        if sys.__stderr__ and sys.__stderr__.isatty():
            sys.__stderr__.write(SHOW_CURSOR)
            sys.__stderr__.flush()
        sys.stdout.flush()
        os._exit(self.status)

    def _log(self, message: str) -> None:
        if is_main_process():
            log.warning("%s.", message)


def _swap_sigterm(action: Any) -> Any:
    """Installs an action for SIGTERM, unless it is None, and returns the one before.

    Actions are those of C, since Python does not see a handler that JAX has installed there.
    """
    before = ctypes.create_string_buffer(ACTION)
    ctypes.CDLL(None).sigaction(signal.SIGTERM, action, before)
    return before

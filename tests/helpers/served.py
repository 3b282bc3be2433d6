"""Serves an application of `jreid serve` on a free port, in a thread."""

import contextlib
import threading
from collections.abc import Iterator

from fastapi import FastAPI

from jreid.serve import server


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[int]:
    """Yields the port."""
    bound = server.bind(0)
    running = server.create_server(app)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        yield bound.getsockname()[1]
    finally:
        running.should_exit = True
        thread.join(20)

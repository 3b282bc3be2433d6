"""Runs the application on 127.0.0.1 until it is stopped."""

import errno
import logging
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from jreid.errors import InputError

log = logging.getLogger(__name__)
ADDRESS = "127.0.0.1"
HEAD_SECONDS = 10  # for a request's method, path and headers
STOP_SECONDS = 5  # for requests that are being answered


class Protocol(H11Protocol):
    """HTTP/1.1 that closes a connection on which no request comes in time."""

    def connection_made(self, transport: Any) -> None:
        """Starts the time."""
        super().connection_made(transport)
        self.loop.call_later(HEAD_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.close()


class Server(uvicorn.Server):
    """Logs its address as soon as it answers requests.

    Attributes:
        interrupted: whether Ctrl-C has stopped it.
    """

    interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops the server after the answers that it is giving."""
        self.interrupted |= sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to answer."""
        await super().startup(sockets)
        for one in sockets or []:
            host, port = one.getsockname()
            log.info("the page is at http://%s:%s; Ctrl-C stops the server", host, port)


def bind(port: int) -> socket.socket:
    """A socket of this machine's own address; port 0 is any free one.

    Raises:
        InputError: the port is taken, or may not be used.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((ADDRESS, port))
        bound.listen()
    except OSError as error:
        bound.close()
        cause = (
            "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        )
        raise InputError(
            f"--port={port} {cause}; choose another one, or --port=0 for any that is free."
        ) from error
    return bound


def create_server(app: FastAPI) -> Server:
    """The server of an application; its `run` takes the sockets."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(config)


def serve(app: FastAPI, bound: socket.socket) -> None:
    """Answers requests until SIGINT or SIGTERM, which is raised again after the last answer."""
    server = create_server(app)
    server.run(sockets=[bound])
    if server.interrupted:  # the event loop may swallow the signal that uvicorn raises again
        raise KeyboardInterrupt

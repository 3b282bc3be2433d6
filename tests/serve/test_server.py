"""The server of `jreid serve` under clients that are many, slow, cut off, or hostile."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.served import served
from helpers.stub_searcher import StubSearcher, encoded

from jreid.errors import InputError
from jreid.serve import server, upload
from jreid.serve.app import create_app

PNG = encoded(np.zeros((40, 20, 3), np.uint8))
SEARCH = "/search?modality=infrared"


@pytest.fixture
def at():
    searcher = StubSearcher()
    app = create_app(searcher)
    with served(app) as port:
        yield SimpleNamespace(port=port, searcher=searcher, app=app)
        searcher.free.set()


def post(port, content=PNG, kind="image/png"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", SEARCH, content, {"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        return answer


def wait_until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_a_full_queue_refuses_and_then_recovers(at):
    at.searcher.free.clear()
    with ThreadPoolExecutor(9) as pool:
        first = [pool.submit(post, at.port) for _ in range(9)]
        wait_until(lambda: at.app.state.searches.pending == 9)
        refused = post(at.port)
        assert refused.status == 503 and int(refused.headers["Retry-After"]) > 0
        at.searcher.free.set()
        assert [one.result().status for one in first] == [200] * 9
    assert post(at.port).status == 200


def test_a_search_that_takes_too_long_is_given_up(at, monkeypatch):
    monkeypatch.setattr(at.app.state.searches, "_seconds", 0.2)
    at.searcher.free.clear()
    assert post(at.port).status == 504
    assert post(at.port).status == 503  # it waits for the first
    at.searcher.free.set()
    wait_until(lambda: at.app.state.searches.pending == 0)
    assert post(at.port).status == 200


def test_slow_clients_are_cut_off_and_nobody_waits_for_them(at, monkeypatch):
    monkeypatch.setattr(upload, "READ_SECONDS", 1)
    slow = [socket.create_connection(("127.0.0.1", at.port), 20) for _ in range(60)]
    for one in slow:
        head = f"POST {SEARCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        one.sendall(f"{head}Content-Length: 100\r\n\r\nab".encode())
    start = time.monotonic()
    assert post(at.port).status == 200
    assert time.monotonic() - start < 1
    for one in slow:
        with one:
            assert b" 408 " in one.recv(1000).partition(b"\r\n")[0]


def test_a_connection_without_a_request_is_closed(monkeypatch):
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with served(create_app(StubSearcher())) as port:
        for sent in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "):
            with socket.create_connection(("127.0.0.1", port), 20) as silent:
                silent.sendall(sent)
                assert silent.recv(100) == b""
        assert post(port).status == 200


def test_an_upload_that_is_cut_off_is_forgotten(at):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", at.port), 20) as gone:
            head = "Host: localhost\r\nContent-Type: image/png\r\nContent-Length: 99999\r\n\r\n"
            gone.sendall(f"POST {SEARCH} HTTP/1.1\r\n{head}".encode() + b"x" * 5000)
    assert post(at.port).status == 200
    wait_until(lambda: at.app.state.uploads.held == 0)
    assert len(at.searcher.seen) == 1


def test_the_refusal_of_a_large_upload_arrives(at):
    assert post(at.port, b"\0" * (upload.MAX_BYTES + 1)).status == 413
    assert at.app.state.uploads.held == 0


@pytest.mark.parametrize(
    "request_line",
    ["GET /../../etc/passwd", "GET //etc/passwd", "GET http://evil.example/", "BREW /", "\0\0"],
)
def test_a_malformed_request_gets_a_status(at, request_line):
    with socket.create_connection(("127.0.0.1", at.port), 20) as client:
        client.sendall(f"{request_line} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = client.recv(10_000)
    assert answer.split()[1] in (b"400", b"404", b"405") and b"root:" not in answer


def test_a_port_that_is_taken_is_named():
    with server.bind(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port={port} is taken"):
            server.bind(port)


def test_ctrl_c_stops_it():
    code = (
        "from helpers.stub_searcher import StubSearcher\n"
        "from jreid.process import configure_logging\n"
        "from jreid.serve.app import create_app\n"
        "from jreid.serve.server import bind, serve\n"
        "configure_logging()\n"
        "serve(create_app(StubSearcher()), bind(0))"
    )
    command = [sys.executable, "-c", code]
    paths = [str(ROOT), f"{ROOT}/tests", *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as running:
        assert running.stderr and b"http://127.0.0.1:" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        assert running.wait(20) in (130, -signal.SIGINT)
        assert b"KeyboardInterrupt" in running.stderr.read()

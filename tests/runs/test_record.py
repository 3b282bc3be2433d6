"""A run whose `run.json` is cut, empty, of another type or not text: one sentence that names it."""

import fcntl
import json

import pytest
from helpers.paths import ROOT

from jreid import config as configs
from jreid.errors import InputError
from jreid.runs.lock import LOCK_FILE, locked
from jreid.runs.run import Run

CONFIG = configs.to_text(configs.load(f"{ROOT}/configs/agw.py:tiny"))
RECORD = {
    "config": json.loads(CONFIG),
    "data_fingerprint": "ff00",
    "versions": {"jax": "0.10.2"},
    "drifts": [],
    "start": {"kind": "random"},
    "steps": 3,
}
WHOLE = json.dumps(RECORD).encode()


def other(**fields):
    return json.dumps(RECORD | fields).encode()


BROKEN = {
    "cut": WHOLE[: len(WHOLE) // 2],
    "last byte lost": WHOLE[:-1],
    "empty": b"",
    "binary": b"\xff\xfe\x00\x81",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "no config": other(config=None),
    "a list as config": other(config=[1]),
    "a dotted field": other(config={"a.b": 1}),
    "a number as fingerprint": other(data_fingerprint=7),
    "no fingerprint": json.dumps(
        {k: v for k, v in RECORD.items() if k != "data_fingerprint"}
    ).encode(),
    "versions as text": other(versions="0.10"),
    "lists as versions": other(versions={"jax": [0, 10]}),
    "drifts as text": other(drifts="none"),
    "a number as drift": other(drifts=[3]),
    "a drift without a step": other(drifts=[{"changed": []}]),
    "text as a drift's fields": other(drifts=[{"step": 3, "changed": "seed"}]),
    "a list as start": other(start=["random"]),
    "a list in the start": other(start={"kind": ["random"]}),
    "text as steps": other(steps="3"),
    "a list as revision": other(revision=["0" * 40]),
    "nested without end": b"[" * 100_000,
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.json").write_text(CONFIG)
    return Run(tmp_path)


def test_a_whole_record_is_read(run):
    run.provenance_file.write_bytes(WHOLE)
    assert run.record() == RECORD
    run.config()


@pytest.mark.fault("B6")
@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_record_is_one_sentence(run, content):
    run.provenance_file.write_bytes(content)
    with pytest.raises(InputError, match=r"run\.json.*restore") as caught:
        run.config()
    assert "\n" not in str(caught.value)


@pytest.mark.fault("B6")
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"process 7 on a\nhost\x00"])
def test_a_lock_of_any_bytes_is_reported(tmp_path, content):
    (tmp_path / LOCK_FILE).write_bytes(content)
    with (tmp_path / LOCK_FILE).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="in use"), locked(tmp_path):
            pass

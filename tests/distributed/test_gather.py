"""The exchange of arrays between processes, without other processes."""

import jax
import numpy as np
import pytest

from jreid.distributed import processes
from jreid.distributed.processes import OtherProcessError, gather
from jreid.errors import InputError


@pytest.fixture
def told(monkeypatch):
    """What this process tells the other one; the other one has no failure."""
    texts = []

    def exchange(text):
        texts.append(text)
        return [text, ""]

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "_texts", exchange)
    return texts


def test_a_failure_of_an_inner_exchange_is_told_once(told):
    def fails():
        raise MemoryError("too large")

    def explained():
        try:
            return gather(fails)
        except MemoryError as error:
            raise InputError("give it less") from error

    with pytest.raises(InputError, match="give it less"):
        gather(explained)
    assert told == ["too large"]


def test_a_failure_that_another_process_told_is_not_told_again(told, monkeypatch):
    monkeypatch.setattr(processes, "_texts", lambda text: told.append(text) or ["", "its disk"])
    with pytest.raises(OtherProcessError, match="process 1: its disk"):
        gather(lambda: gather(lambda: [np.zeros(2)]))
    assert told == [""]

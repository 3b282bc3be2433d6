"""Processes that need one program compile it once; threads stand for them."""

import threading
import time

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import SingleDeviceSharding

from jreid.engine.compile_once import compiled_once
from jreid.hoisting import Hoisted, hoistable


@pytest.fixture
def cache(tmp_path):
    wanted = {"jax_compilation_cache_dir": str(tmp_path), "jax_enable_compilation_cache": True}
    before = {name: getattr(jax.config, name) for name in wanted}
    for name, value in wanted.items():
        jax.config.update(name, value)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def most_at_once(functions):
    """The largest number of threads that were in the context at once."""
    inside, most = set(), []

    def call(number, function):
        with compiled_once(function, jnp.ones(3)):
            inside.add(number)
            most.append(len(inside))
            time.sleep(0.2)
            inside.remove(number)

    threads = [threading.Thread(target=call, args=item) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(most)


def times(factor):
    here = SingleDeviceSharding(jax.devices()[0])
    return Hoisted(lambda x: hoistable(factor) * x, here, (here,))


def test_one_program_is_compiled_by_one_at_a_time(cache):
    assert most_at_once([times(1.0), times(2.0)]) == 1
    assert len([*cache.glob("*.lock")]) == 1


def test_other_programs_do_not_wait(cache):
    assert most_at_once([jax.jit(lambda x: x + 1), jax.jit(lambda x: x * 3)]) == 2


def test_nothing_waits_without_a_cache_or_where_it_cannot_be_written(cache):
    jitted = jax.jit(lambda x: x + 1)
    jax.config.update("jax_compilation_cache_dir", str(cache / "missing"))
    assert most_at_once([jitted, jitted]) == 2
    jax.config.update("jax_compilation_cache_dir", None)
    assert most_at_once([jitted, jitted]) == 2

"""Initial variables are compiled fast on CPUs, and are the same bit for bit."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from jreid.engine.model import _drawn_once
from jreid.nn.layers import uniform

DRAWS = uniform(144), nn.initializers.he_normal(), nn.initializers.normal(0.02)


@pytest.mark.slow  # compiles for seconds
def test_little_optimization_draws_the_same_bits(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS")

    def drawn(options):
        def draw(key):
            return [init(key, (3, 3, 16, 31)) for init in DRAWS]

        return jax.jit(draw, compiler_options=options)(jax.random.key(3))

    little = drawn(_drawn_once()["compiler_options"])
    fully = drawn({"xla_backend_optimization_level": 3})
    for one, other in zip(little, fully, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_xla_flags_come_first(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=2")
    assert _drawn_once() == {}

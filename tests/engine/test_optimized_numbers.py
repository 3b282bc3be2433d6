"""A step compiled as users compile it computes what it computes without XLA's optimizations.

The other tests compile without them, so they do not see a fault that only optimized code has.
"""

import jax
import numpy as np
import pytest
from helpers.xla_flags import OPTIMIZED

from jreid import config as configs
from jreid.engine import device_check

METHODS = ("agw", "base_derivative", "idkl", "mutual_prediction", "pfanet", "pfinet")
TOLERANCE = dict.fromkeys(("loss", "embeddings", "gradient"), 1e-3)


@pytest.mark.slow  # `.ci/run` runs most of them
@pytest.mark.parametrize("method", METHODS)
def test_optimized_code_computes_the_same(method, monkeypatch):
    config, cpu = configs.load(f"{method}:synthetic", []), jax.devices("cpu")[0]
    found = []
    for options in ({"xla_backend_optimization_level": 0}, OPTIMIZED):
        every = device_check.COMPILER_OPTIONS["cpu"] | options
        monkeypatch.setitem(device_check.COMPILER_OPTIONS, "cpu", every)
        found.append(device_check.compute(config, cpu))
    plain, optimized = found
    monkeypatch.setattr(device_check, "TOLERANCE", TOLERANCE)
    assert not device_check.differences(optimized, plain)
    assert any(np.any(optimized[name] != plain[name]) for name in plain)  # it is other code

"""Three training steps equal those of the authors' own code, in float64. See docs/parity.md."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("float64_step.py")
TOLERANCE = 1e-8  # relative, of each array
# How many arrays the authors' code has of each kind.
ARRAYS = {
    "idkl": {"grad": 277, "stat": 178, "moved1": 277, "moved3": 277, "loss": 3},
    "pfinet": {"grad": 213, "stat": 108, "moved1": 213, "moved3": 213, "loss": 3},
    "agw": {"grad": 214, "stat": 120, "moved1": 214, "moved3": 214, "loss": 3},
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ARRAYS)
def test_three_steps_equal_the_authors(name):
    optimized = {**os.environ, "XLA_FLAGS": ""}  # as users compile, not as the other tests do
    run = subprocess.run(
        [sys.executable, SCRIPT, name], capture_output=True, text=True, env=optimized
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout)
    assert {kind: len(values) for kind, values in found.items()} == ARRAYS[name]
    for kind, values in found.items():
        worst = max(values, key=values.__getitem__)
        assert values[worst] < TOLERANCE, (kind, worst)

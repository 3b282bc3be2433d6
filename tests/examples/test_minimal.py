"""The example without the command line."""

import importlib.util

import pytest
from helpers.paths import ROOT


@pytest.mark.slow
def test_the_minimal_example_learns():
    spec = importlib.util.spec_from_file_location("minimal", ROOT / "examples" / "minimal.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before, after = module.main(steps=60)
    assert after > before + 0.1

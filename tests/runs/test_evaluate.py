"""What a result says of where its numbers come from, for every method."""

from types import SimpleNamespace
from typing import Any

import pytest

from jreid import config as configs
from jreid.config_file import shipped_configs
from jreid.runs.chosen import EXTRACTION
from jreid.runs.evaluate import stands_for

METHODS = [*shipped_configs()]


@pytest.mark.fault("A5")
@pytest.mark.parametrize("method", METHODS)
def test_every_methods_result_says_how_its_features_were_extracted(method):
    dataset: Any = SimpleNamespace(fingerprint="00", files_fingerprint="11")
    config = configs.load(f"{method}:tiny")
    extraction = stands_for(config, dataset)["extraction"]
    assert extraction["method"] == method
    assert extraction["image.size"] == config.image.size
    # Some methods have a pooling of their own, and no such field.
    assert {*EXTRACTION} - {*extraction} <= {"pooling"}

"""What a result says of where its numbers come from, for every method."""

from types import SimpleNamespace
from typing import Any

import pytest
from helpers.paths import ROOT

from jreid import config as configs
from jreid.runs.evaluate import EXTRACTION, stands_for

METHODS = sorted(
    path.stem for path in (ROOT / "configs").glob("[a-z]*.py") if path.stem != "common"
)


@pytest.mark.fault("A5")
@pytest.mark.parametrize("method", METHODS)
def test_every_methods_result_says_how_its_features_were_extracted(method):
    dataset: Any = SimpleNamespace(fingerprint="00", files_fingerprint="11")
    config = configs.load(f"{ROOT}/configs/{method}.py:tiny")
    extraction = stands_for(config, dataset)["extraction"]
    assert extraction["method"] == method
    assert extraction["image.size"] == config.image.size
    # Some methods have a pooling of their own, and no such field.
    assert {*EXTRACTION} - {*extraction} <= {"pooling"}

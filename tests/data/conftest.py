"""What the tests of datasets share."""

import shutil

import pytest

from jreid.data.dataset import Source


@pytest.fixture
def source(tiny_folder, tmp_path) -> Source:
    """A copy of the tiny dataset, to break."""
    return Source("tiny", "sysu_mm01", shutil.copytree(tiny_folder, tmp_path / "copy"))

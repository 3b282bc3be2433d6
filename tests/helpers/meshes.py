"""Numbers of devices and sizes of a gallery's tiles that a ranking must not depend on."""

import pytest

DEVICES_AND_TILES = [
    (1, 4096),
    (4, 16),
    pytest.param((1, 16), marks=pytest.mark.slow),
    pytest.param((4, 4096), marks=pytest.mark.slow),
]

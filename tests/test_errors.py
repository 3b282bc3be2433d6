"""Words that messages share."""

import pytest

from jreid.errors import counted


@pytest.mark.parametrize(
    ("number", "plural", "text"),
    [
        (1, "images", "1 image"),
        (0, "images", "0 images"),
        (1200, "images in one split", "1,200 images in one split"),
        (1, "identities with images", "1 identity with images"),
    ],
)
def test_a_number_agrees_with_its_noun(number, plural, text):
    assert counted(number, plural) == text

"""Datasets that share people are not trained and tested on across."""

from types import SimpleNamespace

import pytest

from jreid.commands.other_data import marks_of_data
from jreid.errors import InputError


@pytest.mark.parametrize(
    ("trained", "here"), [("llcm", "orbench"), ("orbench", "sysu_mm01"), ("orbench", "llcm")]
)
@pytest.mark.parametrize("fingerprint", ["1", None])  # None: of an imported run
def test_orbench_and_the_datasets_of_its_images(trained, here, fingerprint):
    def config(name):
        return SimpleNamespace(data=SimpleNamespace(name=name, folder="data"))

    run = SimpleNamespace(
        workdir="runs/a",
        record=lambda: {"data_fingerprint": fingerprint},
        config=lambda: config(trained),
    )
    options = SimpleNamespace(other_data=False, data=here)
    dataset = SimpleNamespace(fingerprint="2")
    with pytest.raises(InputError, match=f"trained on {trained}, cannot be tested on {here}"):
        marks_of_data(options, run, config(here), dataset, "test", lambda _: None)

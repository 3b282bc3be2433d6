"""Datasets that share people are not trained and tested on across."""

from types import SimpleNamespace

import numpy as np
import pytest

from jreid.commands.other_data import marks_of_data
from jreid.data.table import Table
from jreid.errors import InputError


@pytest.mark.parametrize("is_renamed", [True, False])  # False: only the layout is another
@pytest.mark.parametrize(
    ("trained", "here"), [("llcm", "orbench"), ("orbench", "sysu_mm01"), ("orbench", "llcm")]
)
@pytest.mark.parametrize("fingerprint", ["1", None])  # None: of an imported run
def test_orbench_and_the_datasets_of_its_images(
    trained, here, fingerprint, is_renamed, monkeypatch
):
    def config(name, layout):
        return SimpleNamespace(data=SimpleNamespace(name=name, layout=layout, folder="data"))

    run = SimpleNamespace(
        workdir="runs/a",
        record=lambda: {"data_fingerprint": fingerprint},
        config=lambda: config(trained, trained),
    )
    options = SimpleNamespace(other_data=True, data=None)
    dataset = SimpleNamespace(fingerprint="2")
    monkeypatch.setattr("jreid.commands.trained_on.dataset_of", lambda _: None)
    with pytest.raises(InputError, match=f"trained on {trained}, cannot be tested on {here}"):
        other = config(here if is_renamed else trained, here)
        marks_of_data(options, run, other, dataset, "test")


@pytest.mark.parametrize("person", [5, 6])
def test_people_that_another_experiment_trains_on_are_refused(person, monkeypatch):
    """Their images are of other cameras, so that no image is among those of the training."""

    def table(identity, camera, split):
        image = np.array([bytes([identity, camera])], object)
        fields = (np.array([one]) for one in ("a", identity, camera, "infrared", split))
        return Table(*fields, image)

    def config(experiment):
        fields = {"name": "mp_reid", "layout": "mp_reid", "folder": "mp", "experiment": experiment}
        return SimpleNamespace(data=SimpleNamespace(train_splits=("train",), **fields))

    run = SimpleNamespace(
        workdir="runs/mp",
        record=lambda: {"data_fingerprint": "1"},
        config=lambda: config("cctv_ir_cctv_rgb"),
    )
    own = SimpleNamespace(fingerprint="1", table=table(5, 7, "train"))
    here = SimpleNamespace(fingerprint="2", table=table(person, 14, "test"))
    options = SimpleNamespace(other_data=False, data="mp_reid")
    monkeypatch.setattr("jreid.commands.trained_on.dataset_of", lambda _: own)

    def asked():
        other = config("uav_ir_uav_rgb")
        return marks_of_data(options, run, other, here, "test")

    if person == 5:
        with pytest.raises(InputError, match=r"1 identities.* such as 5.*runs/mp.*experiment"):
            asked()
    else:
        assert asked() == {"other_data": True, "trained_on": "mp_reid"}

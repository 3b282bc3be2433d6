"""The modality gap of embeddings that are made by hand, and of IDKL's branches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.idkl import config_of
from helpers.variables import shapes

from experiments import modality_gap
from experiments.modality_gap import READERS, Gap, main, measure, nearest, reading
from jreid.data.table import Table
from jreid.errors import InputError
from jreid.methods import load


def table_of(identity, modality):
    n = len(identity)
    fields = {name: np.zeros(n, np.int32) for name in Table._fields}
    return Table(**fields | {"identity": np.array(identity), "modality": np.array(modality)})


def test_the_nearest_images_leave_out_the_query_itself(monkeypatch):
    monkeypatch.setattr(modality_gap, "BLOCK", 2)
    angle = np.radians([0, 10, 30, 90, 100])
    unit = np.stack([np.cos(angle), np.sin(angle)], 1)
    found = nearest(unit, np.array([0, 2, 4]), np.array([0, 1, 2, 3]), 2)
    assert found.tolist() == [[1, 2], [1, 0], [3, 2]]


def test_the_gap_of_two_people_whose_modalities_lie_apart(monkeypatch):
    """Each person's images of a modality are near one another; 0 is between 1 and the infrared."""
    monkeypatch.setattr(modality_gap, "NEIGHBORS", 2)
    angle = np.radians([0, 1, 10, 11, 90, 91, 100, 101])
    features = 3 * np.stack([np.cos(angle), np.sin(angle)], 1)
    identity = [0, 0, 1, 1, 1, 1, 0, 0]
    modality = ["visible"] * 4 + ["infrared"] * 4
    gap = measure(features, table_of(identity, modality))
    # All infrared images are nearest to the visible image at 11 degrees, which shows person 1.
    assert gap == Gap(infrared=1.0, visible=1.0, across=0.5, visible_neighbors=0.0)
    with pytest.raises(InputError, match="of one modality only"):
        measure(features[:4], table_of(identity[:4], modality[:4]))


def test_bad_input_ends_it_with_one_sentence(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["nowhere"])
    assert stopped.value.code == 2
    assert "nowhere holds no run" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "width"), [("specific branch", 1), ("side by side", 2)])
def test_idkls_other_embeddings_are_read_from_its_network(name, width):
    config = config_of("code")
    (read,) = (reader for key, reader in READERS.items() if name in key)
    variables = shapes(load(config))
    images = jnp.zeros((2, *config.image.size, 3))
    of_method, other = (
        jax.eval_shape(lambda v, x, m=method: m.embed(v, x, "infrared"), variables, images)
        for method in (load(config), reading(config, read))
    )
    assert other.shape == (2, width * of_method.shape[1])

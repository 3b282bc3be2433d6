"""The modality gap of embeddings that are made by hand, and of IDKL's branches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.idkl import config_of
from helpers.variables import shapes

from experiments.modality_gap import READERS, main, measure, reading
from jreid.data.table import Table
from jreid.errors import InputError
from jreid.methods import load
from jreid.methods.idkl.network import Head, Output


def table_of(identity, modality):
    n = len(identity)
    fields = {name: np.zeros(n, np.int32) for name in Table._fields}
    return Table(**fields | {"identity": np.array(identity), "modality": np.array(modality)})


def test_the_gap_of_two_people_whose_modalities_lie_apart():
    """Each person's images of a modality are near one another; 0 is between 1 and the infrared."""
    angle = np.radians([0, 1, 10, 11, 90, 91, 100, 101])
    features = 3 * np.stack([np.cos(angle), np.sin(angle)], 1)
    identity = [0, 0, 1, 1, 1, 1, 0, 0]
    modality = ["visible"] * 4 + ["infrared"] * 4
    gap = measure(features, table_of(identity, modality))
    # All infrared images are nearest to the visible image at 11 degrees, which shows person 1.
    assert gap[:3] == (1.0, 1.0, 0.5)
    # All 7 other images are neighbors, of which 4 are of the other modality.
    assert gap[3:] == pytest.approx((4 / 7, 4 / 7, 8))
    with pytest.raises(InputError, match="4 visible and 1 infrared images"):
        measure(features[:5], table_of(identity[:5], modality[:5]))


def test_an_image_does_not_find_itself():
    angle = np.radians([0, 1, 20, 21])  # the nearest other image shows the other person
    features = np.stack([np.cos(angle), np.sin(angle)], 1)
    modality = ["visible"] * 4 + ["infrared"] * 4
    gap = measure(np.tile(features, (2, 1)), table_of([0, 1] * 4, modality))
    assert gap[:3] == (0.0, 0.0, 1.0)


def test_people_who_are_seen_once_do_not_count():
    angle = np.radians([0, 1, 20, 21, 0, 20])
    features = np.stack([np.cos(angle), np.sin(angle)], 1)
    people, modality = [0, 0, 1, 1, 0, 1], ["visible"] * 4 + ["infrared"] * 2
    with pytest.raises(InputError, match="no person has two images"):
        measure(features, table_of(people, modality))
    features, people = np.append(features, features[-1:], axis=0), [*people, 1]
    gap = measure(features, table_of(people, [*modality, "infrared"]))
    assert gap[:3] == (1.0, 1.0, 1.0)


def test_bad_input_ends_it_with_one_sentence(capsys):
    assert main(["nowhere"]) == 2
    assert "nowhere holds no run" in capsys.readouterr().err


def test_idkls_other_embeddings_are_read_from_its_network():
    def head(*rows):
        return Head(jnp.zeros((2, 2)), jnp.array(rows), jnp.zeros((2, 3)))

    out = Output(
        {}, head([3.0, 4.0], [0.0, 2.0]), head([5.0, 0.0], [0.0, 1.0]), *[None] * 3, {}, {}
    )
    specific, both = (read(out) for read in READERS.values())
    np.testing.assert_array_equal(specific, [[5, 0], [0, 1]])
    np.testing.assert_allclose(both, [[0.6, 0.8, 1, 0], [0, 1, 0, 1]], rtol=1e-6)
    config = config_of("code")
    other = reading(config, READERS["of the specific branch"])
    images = jnp.zeros((2, *config.image.size, 3))
    embed = functools.partial(jax.eval_shape, lambda v, x: other.embed(v, x, "infrared"))
    assert embed(shapes(load(config)), images).shape[0] == 2

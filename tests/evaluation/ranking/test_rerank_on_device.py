"""Re-ranking with lists and codes on the devices gives what numpy and scipy give."""

import jax
import numpy as np
import pytest
from helpers import rerank_oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from jreid.evaluation import KINDS, Rerank, rerank
from jreid.evaluation.ranking import rerank_on_device
from jreid.evaluation.ranking.cmc import score_blocks
from jreid.evaluation.ranking.inputs import Labels
from jreid.evaluation.ranking.rerank import rerank_checked
from jreid.evaluation.ranking.rerank_options import AMONG_QUERIES, BY_SIDE, WITH_K3

Q, G = 30, 26
ALL = [Rerank(kind, 6, 3) for kind in KINDS] + [Rerank(kind, 6, 3, 0.0, 1) for kind in WITH_K3]
FOUR = Mesh(np.array(jax.devices()[:4]), ("gallery",))


def sides(seed, Q=Q, G=G):
    """Noisy images of five people; some are equal, and one is zero."""
    random = np.random.default_rng(seed)
    images = 3 * random.normal(size=(5, 8))[random.integers(0, 5, Q + G)]
    images = (images + random.normal(size=images.shape)).astype(np.float32)
    images[[1, Q, Q + 1]], images[Q - 1] = images[0], 0
    return images[:Q], images[Q:]


@pytest.mark.parametrize("how", ALL, ids=str)
def test_every_kind_as_the_oracle(how):
    for seed, distance in enumerate(("cosine", "euclidean")):
        query, gallery = sides(seed)
        made = rerank(query, gallery, how, distance=distance, block=16, on_device=True)
        assert (made.dtype, made.shape) == (np.float32, (Q, G))
        expected = rerank_oracle.rerank(query, gallery, *how, distance=distance)
        np.testing.assert_allclose(made, expected, atol=1e-5)
        assert np.ptp(made) > 0.5


@pytest.mark.parametrize("kind", ["standard", "constrained"])
def test_many_ties_fall_by_number(kind):
    everyone = np.random.default_rng(0).integers(0, 2, (Q + G, 3)).astype(np.float32)
    query, gallery = everyone[:Q], everyone[Q:]
    how = Rerank(kind, 6, 3)
    made = rerank(query, gallery, how, distance="euclidean", block=16, on_device=True)
    expected = rerank_oracle.rerank(query, gallery, *how, distance="euclidean")
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_four_devices_give_the_numbers_of_one():
    query, gallery = sides(2)
    options = {"on_device": True, "block": 16}
    made = rerank(query, gallery, Rerank("extended", 6, 3), mesh=FOUR, **options)
    np.testing.assert_array_equal(made, rerank(query, gallery, Rerank("extended", 6, 3), **options))


def test_the_host_gets_ranks_and_no_distances(monkeypatch):
    fetched, get = [], jax.device_get

    def watched(tree):
        fetched.extend(np.size(leaf) for leaf in jax.tree.leaves(tree))
        return get(tree)

    query, gallery = sides(3)
    labels = Labels(np.arange(Q) % 13, np.arange(G) % 13, np.arange(Q) % 3, np.arange(G) % 3)
    monkeypatch.setattr(rerank_on_device, "QUERIES_AT_ONCE", 12)
    found = []
    for on_device in (False, True):
        blocks = rerank_checked(
            query, gallery, Rerank(k1=6, k2=3), "cosine", None, block=16, on_device=on_device
        )
        if on_device:
            blocks = [*blocks]
            assert all(isinstance(block, jax.Array) for _, block in blocks)
            monkeypatch.setattr(jax, "device_get", watched)
        found.append(score_blocks(blocks, labels, "identity"))
    assert fetched and max(fetched) == 12 * 16  # a block's matches
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 999),
    Q=st.integers(2, 40),
    G=st.integers(2, 40),
    kind=st.sampled_from(KINDS),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    distance=st.sampled_from(["cosine", "euclidean"]),
    block=st.sampled_from([7, 16, 512]),
    mesh=st.sampled_from([None, FOUR]),
)
def test_any_problem_as_numpy_and_scipy(seed, Q, G, kind, shares, distance, block, mesh):
    candidates = Q if kind in AMONG_QUERIES else min(Q, G) if kind in BY_SIDE else Q + G
    k1 = 1 + int(shares[0] * min(candidates - 2, 24))
    k2 = 1 + int(shares[1] * k1)
    k3 = None
    if kind in WITH_K3 and seed % 3:
        k3 = int(min(k2, G, max(k2 - Q, seed % 7)))
    images = np.random.default_rng(seed).normal(size=(Q + G, 6)).astype(np.float32)
    options = {"distance": distance, "block": block, "mesh": mesh}
    arguments = images[:Q], images[Q:], Rerank(kind, k1, k2, 0.3, k3)
    made = rerank(*arguments, **options, on_device=True)
    np.testing.assert_allclose(made, rerank(*arguments, **options), atol=1e-5)

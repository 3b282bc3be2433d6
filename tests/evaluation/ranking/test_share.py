"""Processes that share a ranking: here threads, which exchange arrays as processes do."""

from itertools import product

import jax
import numpy as np
import pytest
from helpers.shares import together
from jax.sharding import Mesh

from jreid.evaluation import KINDS, Rerank
from jreid.evaluation.ranking.cmc import score_blocks
from jreid.evaluation.ranking.distance_tiles import distance_blocks
from jreid.evaluation.ranking.inputs import Labels, one_device
from jreid.evaluation.ranking.mixed import empty_mixed, watch
from jreid.evaluation.ranking.rerank import rerank_checked
from jreid.evaluation.ranking.share import ALONE
from jreid.evaluation.ranking.trials import rank_trials

Q, G = 29, 21
RANDOM = np.random.default_rng(0)
IDENTITY = RANDOM.integers(0, 5, Q + G)
FEATURES = (RANDOM.normal(size=(5, 8))[IDENTITY] + RANDOM.normal(size=(Q + G, 8))).astype(
    np.float32
)
LABELS = Labels(IDENTITY[:Q], IDENTITY[Q:], None, None)
SIDES = FEATURES[:Q], FEATURES[Q:]


def assert_all_equal(function, processes=3):
    alone = function(ALONE)
    for found in together(function, processes):
        for one, expected in zip(found, alone, strict=True):
            for part, right in zip(one, expected, strict=True):
                assert part.dtype == right.dtype
                np.testing.assert_array_equal(part, right)
    return alone


@pytest.mark.parametrize("processes", [2, 5])
def test_trials_have_the_scores_of_one_process(processes):
    rows = np.stack([np.random.default_rng(i).permutation(Q + G)[:G] for i in range(2)])
    groups = np.zeros(Q + G, int), np.ones(Q + G, int)

    def rank(share):
        ranked = []

        def compute():
            made = rank_trials(FEATURES, IDENTITY, rows, rows, *groups, block=4, share=share)
            ranked.extend(made)
            return made

        joined = share.join(compute)
        own = [(scores.matches > 0).sum() for scores in ranked]
        assert all(own) and (share.of == 1 or (np.array(own) < G).all())
        return joined

    alone = assert_all_equal(rank, processes)
    assert all((scores.rank > 0).all() for scores in alone)


@pytest.mark.parametrize(
    ("kind", "on_device"), [*product(KINDS, [False]), ("extended", True), ("constrained", True)]
)
def test_a_re_ranking_has_the_scores_of_one_process(kind, on_device):
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))

    def rank(share):
        def compute():
            how = Rerank(kind, 6, 3)
            options = {"block": 8, "on_device": on_device}
            blocks = rerank_checked(*SIDES, how, "cosine", mesh, share, **options)
            return [score_blocks(blocks, LABELS, "image")]

        return share.join(compute)

    (alone,) = assert_all_equal(rank)
    assert (alone.rank > 0).all() and len({*alone.rank.tolist()}) > 1


def test_a_mixed_gallery_has_the_measures_of_one_process():
    raw = *LABELS[:2], np.arange(Q), np.arange(G)

    def rank(share):
        def compute():
            mixed = empty_mixed(Q)
            blocks = distance_blocks(*SIDES, "cosine", one_device(FEATURES), share, block=8)
            scores = score_blocks(watch(blocks, raw, np.arange(G) % 2 == 0, mixed), LABELS, "image")
            return [scores, mixed]

        return share.join(compute)

    _, mixed = assert_all_equal(rank)
    assert mixed.confused.any() and not mixed.confused.all()
    assert len({*mixed.cross_precision.tolist()}) > 3

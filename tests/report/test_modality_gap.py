"""The modality gap, beside loops over pairs."""

import numpy as np
import pytest

from jreid.report import modality_gap as module
from jreid.report.modality_gap import BINS, KINDS, modality_gap, unit_rows


def labeled(n=40, people=6, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)).astype(np.float32)
    modalities = np.where(rng.random(n) < 0.3, "infrared", "visible")
    return features, rng.integers(people, size=n), modalities


def test_the_numbers_are_those_of_loops(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    features, identities, modalities = labeled()
    units = features / np.linalg.norm(features.astype(float), axis=1, keepdims=True)
    cosines: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for i in range(40):
        for j in range(i):
            who = "same person" if identities[i] == identities[j] else "two people"
            where = "within" if modalities[i] == modalities[j] else "across"
            cosines[f"{who}, {where}"].append(units[i] @ units[j])
    shares, expected = [], []
    for i in range(40):
        order = [j for j in np.argsort(-(units @ units[i])) if j != i]
        other = modalities != modalities[i]
        shares.append(other[order[:20]].mean())
        expected.append(other.sum() / 39)
    gap = modality_gap(features, identities, modalities)
    assert (gap.images, gap.of_images, gap.neighbors) == (40, 40, 20)
    assert gap.other_modality == pytest.approx(np.mean(shares))
    assert gap.expected == pytest.approx(np.mean(expected))
    for kind, values in cosines.items():
        assert gap.similarity[kind] == pytest.approx(np.mean(values), abs=1e-6)
        assert gap.counts[kind].sum() == len(values)
        near = np.abs(gap.counts[kind] - np.histogram(1 - np.array(values), BINS)[0])
        assert near.sum() <= 2  # at an edge of a bin float32 may differ


def test_of_many_images_some_are_taken(monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 15)
    gap = modality_gap(*labeled())
    assert (gap.images, gap.of_images) == (15, 40)
    assert gap.neighbors == 14
    assert gap.similarity == modality_gap(*labeled()).similarity


def test_one_modality_has_no_pairs_across():
    features, identities, _ = labeled()
    gap = modality_gap(features, identities, np.array(["visible"] * 40))
    assert {*gap.similarity} == {"same person, within", "two people, within"}
    assert gap.other_modality == gap.expected == 0


def test_lengths_do_not_matter():
    features = np.array([[3e20, 4e20], [0, 0], [1e-30, 0]], np.float32)
    np.testing.assert_allclose(unit_rows(features), [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)

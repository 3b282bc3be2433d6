"""Approximate search: what it finds, its file, and what it says without faiss."""

import sys

import numpy as np
import pytest

from jreid.errors import InputError
from jreid.retrieval import approximate, hits
from jreid.retrieval.approximate import read_or_build
from jreid.retrieval.hits import Embedded, Hits


@pytest.fixture(scope="module")
def features():
    """Embeddings of 200 people, ten images each, and of a query of each person."""
    random = np.random.default_rng(0)
    people = np.repeat(random.normal(size=(200, 32)), 11, axis=0)
    images = (people + 0.7 * random.normal(size=people.shape)).astype(np.float32)
    return images[np.arange(len(images)) % 11 > 0], images[::11]


def embedded(features, graph=None):
    return Embedded([*map(str, range(len(features)))], features, approximate=graph)


@pytest.fixture
def faiss():
    return pytest.importorskip("faiss")


def test_a_graph_finds_nearly_all_that_the_exact_search_finds(features, faiss, tmp_path):
    gallery, query = features
    graph = read_or_build(tmp_path / "g.graph.npz", gallery)
    found = Hits(embedded(query), embedded(gallery, graph), 10)
    exact = Hits(embedded(query), embedded(gallery), 10)
    assert exact.recall is None
    assert found.recall is not None and 0.95 <= found.recall <= 1
    same = np.mean([len({*a} & {*b}) for a, b in zip(found.rows, exact.rows, strict=True)]) / 10
    assert same > 0.95
    np.testing.assert_allclose(found.similarities[:, 0], exact.similarities[:, 0], atol=1e-5)
    assert f"{found.recall:.1%}" in str(found)


def test_a_graph_that_leads_to_too_few_images_is_completed(features, faiss, tmp_path):
    gallery, query = features
    graph = read_or_build(tmp_path / "g.graph.npz", gallery[:2])
    rows, similarities = graph.search(query, 2)
    assert {*rows.ravel().tolist()} == {0, 1}
    assert (np.diff(similarities) <= 0).all()


def test_a_graph_is_kept_until_the_gallery_changes(features, faiss, tmp_path, monkeypatch):
    gallery, query = features
    file = tmp_path / "g.graph.npz"
    first = read_or_build(file, gallery).search(query, 5)
    assert file.stat().st_size < gallery.nbytes * 3  # the graph alone: 32 neighbors of each image
    built = []
    monkeypatch.setattr(approximate, "_write", lambda *arguments: built.append(arguments))
    again = read_or_build(file, gallery).search(query, 5)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not built
    read_or_build(file, gallery[1:])
    assert len(built) == 1


@pytest.mark.parametrize("damage", [lambda old: old[:-50], lambda old: b"no"])
def test_a_damaged_graph_is_named(features, faiss, tmp_path, damage):
    file = tmp_path / "g.graph.npz"
    read_or_build(file, features[0][:50])
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=r"g\.graph\.npz .* remove it"):
        read_or_build(file, features[0][:50])


def test_without_faiss_the_extra_is_named(features, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"jreid\[faiss\]"):
        read_or_build(tmp_path / "g.graph.npz", features[0])


def test_an_exact_search_in_parts_is_the_search_of_the_whole(features, monkeypatch):
    gallery, query = features
    gallery = np.concatenate([gallery[:100], gallery[:100]])  # equal images: the lower row first
    whole = Hits(embedded(query[:5]), embedded(gallery), 20)
    monkeypatch.setattr(hits, "PART", 60)
    parts = Hits(embedded(query[:5]), embedded(gallery), 20)
    np.testing.assert_array_equal(parts.rows, whole.rows)
    np.testing.assert_allclose(parts.similarities, whole.similarities, atol=1e-6)

"""Approximate search: what it finds, its file, and what it says without faiss."""

import sys

import numpy as np
import pytest

from jreid.errors import InputError
from jreid.retrieval import hits
from jreid.retrieval.approximate import read_or_build
from jreid.retrieval.hits import Embedded, Hits, normalized


@pytest.fixture(scope="module")
def features():
    """Embeddings of 200 people, ten images each, and of a query of each person."""
    random = np.random.default_rng(0)
    people = np.repeat(random.normal(size=(200, 32)), 11, axis=0)
    images = (people + 0.7 * random.normal(size=people.shape)).astype(np.float32)
    return images[np.arange(len(images)) % 11 > 0], images[::11]


def embedded(features, lists=None):
    return Embedded([*map(str, range(len(features)))], features, approximate=lists)


@pytest.fixture
def faiss():
    return pytest.importorskip("faiss")


def test_lists_find_nearly_all_that_the_exact_search_finds(features, faiss, tmp_path):
    gallery, query = features
    lists = read_or_build(tmp_path / "g.lists.npz", gallery)
    found = Hits(embedded(query), embedded(gallery, lists), 10)
    exact = Hits(embedded(query), embedded(gallery), 10)
    assert exact.recall is None
    assert found.recall is not None and 0.95 <= found.recall <= 1
    same = np.mean([len({*a} & {*b}) for a, b in zip(found.rows, exact.rows, strict=True)]) / 10
    assert same > 0.95
    units = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (query, gallery)]
    cosines = np.einsum("qd,qkd->qk", units[0], units[1][found.rows])
    np.testing.assert_allclose(found.similarities, cosines, atol=1e-5)
    assert f"{found.recall:.1%}" in str(found)


def test_lists_of_too_few_images_are_completed(features, faiss, tmp_path):
    gallery, query = features
    few = read_or_build(tmp_path / "2.lists.npz", gallery[:2])
    rows, similarities = few.search(query, 2)
    assert {*rows.ravel().tolist()} == {0, 1}
    assert (np.diff(similarities) <= 0).all()
    many = read_or_build(tmp_path / "g.lists.npz", gallery)._replace(probed=1)
    rows, _ = many.search(query, len(gallery))
    assert (np.sort(rows) == np.arange(len(gallery))).all()


def test_features_with_nan_find_nothing(features, faiss, tmp_path):
    gallery, query = features
    lists = read_or_build(tmp_path / "g.lists.npz", gallery)
    bad = np.full_like(query[:1], np.nan)
    for approximate in (lists, None):
        with pytest.raises(InputError, match="query features hold NaN"):
            Hits(embedded(bad), embedded(gallery, approximate), 3)


def test_lists_are_kept_until_the_gallery_changes(features, faiss, tmp_path):
    gallery, query = features
    file = tmp_path / "g.lists.npz"
    first = read_or_build(file, gallery).search(query, 5)
    written = file.read_bytes()
    again = read_or_build(file, gallery).search(query, 5)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert file.read_bytes() == written
    read_or_build(file, gallery[1:])
    assert file.read_bytes() != written


@pytest.mark.parametrize("damage", [lambda old: old[:-50], lambda old: b"no"])
def test_damaged_lists_are_named(features, faiss, tmp_path, damage):
    file = tmp_path / "g.lists.npz"
    read_or_build(file, features[0][:50])
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=r"g\.lists\.npz .* remove it"):
        read_or_build(file, features[0][:50])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lists", lambda lists: lists + 1000),
        ("centers", lambda centers: centers[:, :-1]),
        ("centers", lambda centers: centers * np.nan),
    ],
)
def test_lists_that_do_not_fit_are_refused(features, faiss, tmp_path, name, change):
    file = tmp_path / "g.lists.npz"
    read_or_build(file, features[0][:50])
    with np.load(file) as arrays:
        changed = {**arrays, name: change(arrays[name])}
    np.savez(file, **changed)
    with pytest.raises(InputError, match="do not fit"):
        read_or_build(file, features[0][:50])


def test_without_faiss_the_extra_is_named(features, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"jreid\[faiss\]"):
        read_or_build(tmp_path / "g.lists.npz", features[0])


def test_an_exact_search_in_parts_is_the_search_of_the_whole(features, monkeypatch):
    gallery, query = features
    gallery = np.concatenate([gallery[:100], gallery[:100]])  # equal images: the lower row first
    whole = Hits(embedded(query[:5]), embedded(gallery), 20)
    monkeypatch.setattr(hits, "PART", 60)
    parts = Hits(embedded(query[:5]), embedded(gallery), 20)
    np.testing.assert_array_equal(parts.rows, whole.rows)
    np.testing.assert_allclose(parts.similarities, whole.similarities, atol=1e-6)


def test_a_gallery_that_is_normalized_once_finds_the_same(features, monkeypatch):
    monkeypatch.setattr(hits, "PART", 600)
    gallery, query = embedded(features[0]), embedded(features[1][:5])
    wanted, once = Hits(query, gallery, 20), normalized(gallery)
    monkeypatch.setattr(hits, "nearest", None)  # which checks and normalizes the whole gallery
    found = Hits(query, once, 20)
    np.testing.assert_array_equal(found.rows, wanted.rows)
    np.testing.assert_array_equal(found.similarities, wanted.similarities)
    assert once.unit and not gallery.unit
    bad = np.full_like(features[1][:1], np.nan)
    with pytest.raises(InputError, match="query features hold NaN"):
        Hits(embedded(bad), once, 3)
    with pytest.raises(InputError, match="gallery features hold NaN"):
        normalized(embedded(bad))

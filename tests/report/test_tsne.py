import sys

import numpy as np
import pytest

from jreid.errors import InputError
from jreid.report.tsne import project


@pytest.fixture(autouse=True)
def sklearn():
    return pytest.importorskip("sklearn", reason="t-SNE: scikit-learn is not installed")


def test_groups_stay_together_in_the_plane():
    rng = np.random.default_rng(0)
    identities = np.repeat(np.arange(6), 4)
    centers = 10 * rng.normal(size=(6, 8))
    features = centers[identities] + 0.1 * rng.normal(size=(len(identities), 8))
    points = project(features)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (identities[distances.argmin(1)] == identities).all()
    np.testing.assert_array_equal(points, project(features))


def test_equal_features_have_places_too():
    assert np.isfinite(project(np.ones((12, 4), np.float32))).all()


def test_without_scikit_learn_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match=r'pip install "jreid\[viz\]"'):
        project(np.ones((12, 4), np.float32))

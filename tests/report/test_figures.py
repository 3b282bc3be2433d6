import numpy as np
import pytest
from PIL import Image

from jreid.errors import InputError
from jreid.report import draw_features
from jreid.report.figures import project


def labelled(people=6, images=4):
    """Features in tight groups, one an identity, that lie far from each other."""
    rng = np.random.default_rng(0)
    identities = np.repeat(np.arange(people), images)
    centers = 10 * rng.normal(size=(people, 8))
    features = centers[identities] + 0.1 * rng.normal(size=(len(identities), 8))
    modalities = np.array(["visible", "infrared"])[np.arange(len(identities)) % 2]
    return features.astype(np.float32), identities, modalities


@pytest.fixture(autouse=True)
def sklearn():
    return pytest.importorskip("sklearn", reason="t-SNE: scikit-learn is not installed")


def test_groups_stay_together_in_the_plane():
    features, identities, _ = labelled()
    points = project(features)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (identities[distances.argmin(1)] == identities).all()
    np.testing.assert_array_equal(points, project(features))


def test_equal_features_have_places_too():
    assert np.isfinite(project(np.ones((12, 4), np.float32))).all()


@pytest.fixture
def flat(monkeypatch):
    """The features' first two numbers in place of t-SNE, which takes seconds."""
    monkeypatch.setattr("jreid.report.figures.project", lambda features, seed: features[:, :2])


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_picture_is_written_whole(tmp_path, flat, suffix):
    output = tmp_path / "figures" / f"tsne{suffix}"
    draw_features(*labelled(), output)
    assert output.stat().st_size > 2000
    if suffix == ".png":
        pixels = np.asarray(Image.open(output).convert("RGB"))
        assert pixels.shape == (900, 900, 3)
        colors = np.unique(pixels.reshape(-1, 3), axis=0)
        vivid = colors[np.ptp(colors.astype(int), axis=1) > 100]
        assert len(vivid) >= 6


def test_the_people_with_the_most_images_are_drawn(tmp_path, flat, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "jreid.report.figures._draw", lambda points, who, *rest: seen.append(who.tolist())
    )
    features, identities, modalities = labelled()
    identities = np.where(identities == 4, 5, identities)  # 5 has eight images
    draw_features(features, identities, modalities, tmp_path / "few.png", people=2)
    assert seen == [[0] * 4 + [5] * 8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": "tsne.jpg"}, "must end in .png, .svg, .pdf"),
        ({"features": np.zeros(24)}, r"not an \[N, D\] array"),
        ({"identities": np.zeros(3, int)}, "identities of shape"),
        ({"modalities": np.array(["thermal"] * 24)}, "'thermal'"),
        ({"features": np.full((24, 8), np.nan)}, "row 0"),
        ({"people": 0}, "0 images of 0 identities are too few"),
    ],
)
def test_bad_input_is_named(tmp_path, change, message):
    features, identities, modalities = labelled()
    given = {"features": features, "identities": identities, "modalities": modalities}
    given |= {"output": "tsne.png"} | change
    given["output"] = tmp_path / given["output"]
    with pytest.raises(InputError, match=message):
        draw_features(**given)


def test_without_scikit_learn_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.manifold", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        draw_features(*labelled(), tmp_path / "tsne.png")

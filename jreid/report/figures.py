"""Figures of embeddings: which identities and modalities are close to each other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped

from jreid.errors import InputError
from jreid.evaluation.ranking.inputs import require_finite
from jreid.files import write_whole

MARKERS = {"visible": "o", "infrared": "^"}
FEWEST = 4  # points that a projection needs to be meaningful
MAX_NEIGHBORS = 30  # t-SNE's perplexity, lower for few points
FORMATS = (".png", ".svg", ".pdf")


def draw_features(
    features: Float[np.ndarray, "n d"],
    identities: Int[np.ndarray, " n"],
    modalities: Sequence[str] | Shaped[np.ndarray, " n"],
    output: Path,
    people: int = 10,
    seed: int = 0,
) -> None:
    """Draws features by t-SNE: one color for each identity, circles visible, triangles infrared.

    Figure 6 of IDKL (Ren and Zhang, CVPR 2024). The axes and their units mean nothing.

    Args:
        features: embeddings, normalized or not, of any float type.
        identities: of each row.
        modalities: `visible` or `infrared`, of each row.
        output: a .png, .svg or .pdf.
        people: number of identities: those with the most images, lower numbers first if equal.
        seed: of the projection, which depends only on it and the features.

    Raises:
        InputError: arrays that do not fit, are not finite or too few; an `output` of another
            suffix or that cannot be written; scikit-learn is missing.
    """
    features, identities, modalities = (np.asarray(x) for x in (features, identities, modalities))
    _check(features, identities, modalities, output)
    names, counts = np.unique(identities, return_counts=True)
    chosen = np.sort(names[np.argsort(-counts, kind="stable")][:people])
    shown = np.isin(identities, chosen)
    if shown.sum() < FEWEST:
        raise InputError(
            f"{shown.sum()} images of {len(chosen)} identities are too few to draw; give at least "
            f"{FEWEST}."
        )
    points = project(features[shown], seed)
    _draw(points, identities[shown], modalities[shown], chosen, output)


def project(features: Float[np.ndarray, "n d"], seed: int = 0) -> Float[np.ndarray, "n 2"]:
    """Points in the plane by t-SNE (van der Maaten and Hinton, 2008), initialized by PCA.

    Raises:
        InputError: scikit-learn is missing.
    """
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise InputError(
            "t-SNE needs scikit-learn, which is not installed: `pip install scikit-learn`."
        ) from error
    neighbors = min(MAX_NEIGHBORS, (len(features) - 1) / 3)
    has_plane = features.shape[1] > 1 and np.ptp(features, axis=0).any()
    start = "pca" if has_plane else "random"
    tsne = TSNE(perplexity=neighbors, init=start, random_state=seed)
    with threadpool_limits(1):  # several threads wait for each other: they take four times as long
        return tsne.fit_transform(features.astype(np.float32))


def _draw(
    points: np.ndarray,
    identities: np.ndarray,
    modalities: np.ndarray,
    chosen: np.ndarray,
    output: Path,
) -> None:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    colors = colormaps["turbo"](np.linspace(0.05, 0.95, len(chosen)))
    for modality, marker in MARKERS.items():
        rows = modalities == modality
        of_person = colors[np.searchsorted(chosen, identities[rows])]
        axes.scatter(*points[rows].T, s=28, marker=marker, c=of_person, edgecolors="none")
        axes.scatter([], [], marker=marker, c="gray", label=modality)
    axes.set(xticks=[], yticks=[], title=f"t-SNE of {len(points)} images, {len(chosen)} identities")
    axes.legend(frameon=False)
    kind = output.suffix.removeprefix(".")
    write_whole(output, lambda file: figure.savefig(file, format=kind, dpi=150))


def _check(
    features: np.ndarray, identities: np.ndarray, modalities: np.ndarray, output: Path
) -> None:
    if output.suffix not in FORMATS:
        raise InputError(f"{output} must end in {', '.join(FORMATS)}.")
    if features.ndim != 2:
        raise InputError(f"features of shape {features.shape} are not an [N, D] array.")
    for name, labels in (("identities", identities), ("modalities", modalities)):
        if labels.shape != features.shape[:1]:
            raise InputError(
                f"{name} of shape {labels.shape} do not match {len(features)} features; give one "
                "for each row."
            )
    unknown = sorted({*modalities.tolist()} - {*MARKERS})
    if unknown:
        raise InputError(f"modalities have {unknown[0]!r}; use {' and '.join(MARKERS)}.")
    require_finite(features, "drawn", [f"row {row}" for row in range(len(features))])

"""Embeddings in the plane by t-SNE: which identities and modalities are close to each other."""

import numpy as np
from jaxtyping import Float

from jreid.optional_parts import require_part

FEWEST = 4  # points that a projection needs to be meaningful
MAX_NEIGHBORS = 30  # t-SNE's perplexity, lower for few points


def project(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 2"]:
    """Points in the plane by t-SNE (van der Maaten and Hinton, 2008), initialized by PCA.

    The same features give the same points. The axes and their units mean nothing.

    Raises:
        InputError: scikit-learn is missing.
    """
    require_part("viz", "t-SNE")
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    neighbors = min(MAX_NEIGHBORS, (len(features) - 1) / 3)
    has_plane = features.shape[1] > 1 and np.ptp(features, axis=0).any()
    start = "pca" if has_plane else "random"
    tsne = TSNE(perplexity=neighbors, init=start, random_state=0)
    with threadpool_limits(1):  # several threads wait for each other: they take four times as long
        return tsne.fit_transform(features.astype(np.float32))

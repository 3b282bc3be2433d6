"""IDKL's triplet graph structure alignment (TGSA): who is far from whom, made alike in two spaces.

Ren and Zhang, Implicit Discriminative Knowledge Learning (CVPR 2024), section 3.3.1. The options
are where the paper and its released code differ; the defaults are the paper's.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.losses.divergence import kl_divergence
from jreid.losses.shapes import checked
from jreid.losses.triplet import euclidean_distances

CROSSES = ("full", "mixed", "none")
NOBODY = -1e30  # logit of an affinity that is left out; its probability is zero


@checked
def log_affinity(
    left: Float[Array, "n d"],
    right: Float[Array, "m d"] | None = None,
    temperature: float = 1.0,
    diagonal: bool = True,
) -> Float[Array, "n m"]:
    """Logarithms of the affinities of equation 15: a softmax over each row of +distances.

    As printed and in the released code, a row's weight is on the samples that are far from it. The
    distances are of features as they are: long features give rows with little but their farthest
    sample, which logarithms keep from becoming 0.

    Args:
        left: features, not normalised; computed in float32.
        right: of another kind, for a cross affinity; None for that of `left` with itself.
        temperature: by which distances are divided.
        diagonal: whether a row's affinity to the row of its own number counts.
    """
    left = left.astype(jnp.float32)
    # Distances do not change by it, but fewer digits cancel in them.
    center = left.mean(0, keepdims=True)
    centered = left - center
    other = centered if right is None else right.astype(jnp.float32) - center
    logits = euclidean_distances(centered, other) / temperature
    itself = jnp.eye(*logits.shape, dtype=bool)
    if right is None:
        logits = jnp.where(itself, 0.0, logits)  # not the rounding of a difference
    if not diagonal:
        logits = jnp.where(itself, NOBODY, logits)
    return jax.nn.log_softmax(logits, axis=1)


@checked
def graph_alignment(
    a: Float[Array, "n d"],
    b: Float[Array, "n d"],
    cross: str = "full",
    temperature: float = 1.0,
    diagonal: bool = True,
    symmetric: bool = False,
    reduce: str = "sum",
) -> Float[Array, ""]:
    """Equation 16: KL(A_aa, A_bb) + KL(A_aa, A_ab) + KL(A_ab, A_bb), row by row.

    Zero for `a` equal to `b`; without a cross affinity, wherever their distances are equal.

    Args:
        a: features, not normalised: row i is of the same identity, or the same image, as row i of
            `b`. The order of rows, if the same in both, means nothing but for a `mixed` cross.
        b: likewise, of another modality or branch; to stop its gradient or that of `a` is up to
            the caller.
        cross: A_ab. `full`: the affinities of all of `a` to all of `b`. `mixed`: those within a set
            of the first half of `a` and of `b`, as in the released code, where neither rows nor
            columns are those of the other two. `none`: only the first of the three divergences.
        temperature: as `log_affinity`.
        diagonal: as `log_affinity`; the released code leaves it out.
        symmetric: each KL in both directions, as in the released code.
        reduce: `sum` over rows, as printed, or their `mean`, as in the released code.

    Raises:
        ValueError: an unknown `cross` or `reduce`, or an odd number of rows for `mixed`.
    """
    if cross not in CROSSES:
        raise ValueError(f"the cross affinity is one of {', '.join(CROSSES)}, not {cross!r}")
    own, other = (log_affinity(x, None, temperature, diagonal) for x in (a, b))
    pairs = [(own, other)]
    if cross != "none":
        if cross == "full":
            between = log_affinity(a, b, temperature, diagonal)
        else:
            between = log_affinity(_first_halves(a, b), None, temperature, diagonal)
        pairs += [(own, between), (between, other)]
    terms = [kl_divergence(p, q, symmetric, reduce) for p, q in pairs]
    return sum(terms, start=jnp.zeros(()))


def _first_halves(a: Array, b: Array) -> Array:
    """The first half of `a`'s rows, then of `b`'s."""
    if len(a) % 2:
        raise ValueError(f"{len(a)} rows have no halves for a mixed cross affinity")
    half = len(a) // 2
    return jnp.stack([a[:half], b[:half]]).reshape(len(a), -1)

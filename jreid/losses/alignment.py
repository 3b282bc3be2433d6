"""Losses that make two modalities or branches agree: on their neighbors, and on their logits.

Graph and semantic alignment (TGSA and CSA) are of Ren and Zhang, Implicit Discriminative Knowledge
Learning (IDKL, CVPR 2024), sections 3.3.1 and 3.3.2. There is an option wherever the paper and its
released code differ; the defaults are the paper's. Gradients flow into both sides; if one side is a
teacher, the caller must stop its gradient.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.hoisting import hoistable
from jreid.losses._checks import REDUCTIONS, checked, choose, require
from jreid.losses.pairwise import euclidean_distances

CROSSES = ("full", "mixed", "none")
FORMS = ("sample", "stacked")
EXCLUDED = -1e30  # logit of an affinity that is left out; its probability is zero


@checked
def kl_divergence(
    log_p: Float[Array, "n m"],
    log_q: Float[Array, "n m"],
    symmetric: bool = False,
    reduce: str = "mean",
) -> Float[Array, ""]:
    """KL(p || q) = sum of p (log p - log q) over each row, in nats, then reduced over rows.

    Args:
        log_p: natural logarithms of probabilities, float32. An entry may be hugely negative, but
            not -inf, where both p and q are zero.
        log_q: the same for q.
        symmetric: KL(p || q) + KL(q || p).
        reduce: the `mean` over rows or their `sum`.

    Raises:
        ValueError: arrays that do not fit their annotations, or an unknown `reduce`.

    >>> p, q = jnp.array([[0.5, 0.25, 0.25]]), jnp.array([[0.25, 0.5, 0.25]])
    >>> float(jnp.exp(4 * kl_divergence(jnp.log(p), jnp.log(q))).round(4))  # 1/4 of log 2
    2.0
    """
    total = choose(REDUCTIONS, reduce, "reduction")
    weight = jnp.exp(log_p) - (jnp.exp(log_q) if symmetric else 0)
    return total((weight * (log_p - log_q)).sum(1))


@checked
def log_affinity(
    left: Float[Array, "n d"],
    right: Float[Array, "m d"] | None = None,
    temperature: float = 1.0,
    diagonal: bool = True,
) -> Float[Array, "n m"]:
    """Logarithms of IDKL's affinities (equation 15): a softmax over each row of +distances.

    In the paper and in the released code, samples that are far away get the most weight in a row.
    Features are not normalized: if they are long, a row's farthest sample has nearly all the
    weight. With logarithms the other weights do not become 0. Distances are at least 1e-6; in the
    released code they are at least 1e-3, since it bounds their squares by 1e-6.

    Args:
        left: features, not normalized; any float type, computed in float32.
        right: other features, for a cross affinity; None for the affinity of `left` with itself.
        temperature: distances are divided by it.
        diagonal: whether entry i of row i counts.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> jnp.exp(log_affinity(jnp.array([[0.0], [jnp.log(3.0)]]))).round(4).tolist()
    [[0.25, 0.75], [0.75, 0.25]]
    """
    left = left.astype(jnp.float32)
    # Centering does not change distances, but makes them more exact in float32.
    center = left.mean(0, keepdims=True)
    centered = left - center
    other = centered if right is None else right.astype(jnp.float32) - center
    logits = euclidean_distances(centered, other) / hoistable(temperature)
    itself = jnp.eye(*logits.shape, dtype=bool)
    if right is None:
        logits = jnp.where(itself, 0.0, logits)  # exactly 0, without rounding errors
    if not diagonal:
        logits = jnp.where(itself, EXCLUDED, logits)
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
    """IDKL's equation 16: KL(A_aa, A_bb) + KL(A_aa, A_ab) + KL(A_ab, A_bb), row by row.

    Zero for `a` equal to `b`; without a cross affinity, wherever their distances are equal.

    Args:
        a: features, not normalized: row i is of the same identity, or the same image, as row i of
            `b`. Reordering the rows of both in the same way changes the loss only for `mixed`.
        b: features of another modality or branch.
        cross: A_ab. `full`: the affinities of all of `a` to all of `b`. `mixed`: those within a set
            of the first half of `a` and of `b`, as in the released code, where neither rows nor
            columns are those of the other two. `none`: only the first of the three divergences.
        temperature: as `log_affinity`.
        diagonal: as `log_affinity`; the released code leaves it out.
        symmetric: each KL in both directions, as in the released code.
        reduce: `sum` over rows, as printed, or their `mean`, as in the released code.

    Raises:
        ValueError: arrays that do not fit their annotations, an unknown `cross` or `reduce`, or an
            odd number of rows for `mixed`.

    >>> a = jnp.array([[0.0], [1.0], [3.0]])
    >>> float(graph_alignment(a, a + 5, cross="none").round(4))
    0.0
    """
    require(cross, CROSSES, "cross affinity")
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


def _first_halves(a: Float[Array, "n d"], b: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """The first half of `a`'s rows, then of `b`'s."""
    if len(a) % 2:
        raise ValueError(f"{len(a)} rows cannot be halved for a mixed cross affinity")
    half = len(a) // 2
    return jnp.stack([a[:half], b[:half]]).reshape(len(a), -1)


@checked
def semantic_alignment(
    a: Float[Array, "n classes"],
    b: Float[Array, "n classes"],
    form: str = "sample",
    images: int = 1,
    temperature: float = 1.0,
    symmetric: bool = False,
    reduce: str = "sum",
) -> Float[Array, ""]:
    """IDKL's equations 19 and 20: KL(softmax(a), softmax(b)) by rows.

    Args:
        a: logits; any float type, computed in float32.
        b: logits of the same identities in the same order, from another modality or classifier.
        form: `sample`, a softmax over each row's classes. `stacked`, only in the released code: one
            softmax over the k-th rows of all identities together, for each k below `images`.
        images: number of rows of each identity, which are neighbors; for `stacked`.
        temperature: logits are divided by it.
        symmetric: both directions, as in the released code.
        reduce: `sum` over rows, as printed, or their `mean`, as in the released code.

    Raises:
        ValueError: arrays that do not fit their annotations, an unknown `form` or `reduce`, or the
            number of rows is not a multiple of `images`.

    >>> a, b = jnp.log(jnp.array([[0.5, 0.25, 0.25]])), jnp.log(jnp.array([[0.25, 0.5, 0.25]]))
    >>> float(jnp.exp(4 * semantic_alignment(a, b)).round(4))  # 1/4 of log 2
    2.0
    """
    require(form, FORMS, "form")
    if form == "stacked":
        a, b = (_stack(logits, images) for logits in (a, b))
    log_p, log_q = (
        jax.nn.log_softmax(x.astype(jnp.float32) / hoistable(temperature)) for x in (a, b)
    )
    return kl_divergence(log_p, log_q, symmetric, reduce)


def _stack(logits: Float[Array, "n classes"], images: int) -> Float[Array, "{images} all_classes"]:
    """Row k: the k-th logits of each identity, side by side."""
    if len(logits) % images:
        raise ValueError(f"{len(logits)} rows cannot be divided into identities of {images}")
    return logits.reshape(-1, images, logits.shape[1]).swapaxes(0, 1).reshape(images, -1)

"""Kullback-Leibler divergences between rows of log-probabilities."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.losses.shapes import checked

REDUCTIONS = {"mean": jnp.mean, "sum": jnp.sum}


@checked
def kl_divergence(
    log_p: Float[Array, "n m"],
    log_q: Float[Array, "n m"],
    symmetric: bool = False,
    reduce: str = "mean",
) -> Float[Array, ""]:
    """KL(p || q) = sum of p (log p - log q) over each row, in nats, and over the rows as told.

    Gradients flow into both sides; stop them outside where one of them is a teacher.

    Args:
        log_p: natural logarithms of probabilities, float32. An entry may be hugely negative, but
            not -inf, where both p and q are zero.
        log_q: likewise.
        symmetric: KL(p || q) + KL(q || p).
        reduce: the `mean` over rows or their `sum`.

    Raises:
        ValueError: an unknown `reduce`.
    """
    if reduce not in REDUCTIONS:
        raise ValueError(f"divergences are reduced by mean or sum, not by {reduce!r}")
    weight = jnp.exp(log_p) - (jnp.exp(log_q) if symmetric else 0)
    return REDUCTIONS[reduce]((weight * (log_p - log_q)).sum(1))

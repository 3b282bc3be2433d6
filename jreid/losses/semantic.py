"""IDKL's class semantic alignment (CSA): two sets of logits made alike."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.losses.divergence import kl_divergence
from jreid.losses.shapes import checked

FORMS = ("sample", "stacked")


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
    """KL(softmax(a), softmax(b)) by rows: Ren and Zhang, IDKL (CVPR 2024), equations 19 and 20.

    Args:
        a: logits; computed in float32.
        b: logits of the same identities in the same order, from another modality or classifier; to
            stop its gradient or that of `a` is up to the caller.
        form: `sample`, a softmax over each row's classes. `stacked`, of the released code alone:
            the k-th rows of all identities side by side are one softmax, and there are `images`.
        images: rows of an identity, which are neighbours; for `stacked`.
        temperature: by which logits are divided.
        symmetric: both directions, as in the released code.
        reduce: `sum` over rows, as printed, or their `mean`, as in the released code.

    Raises:
        ValueError: an unknown `form` or `reduce`, or rows that are no multiple of `images`.
    """
    if form not in FORMS:
        raise ValueError(f"the form is one of {', '.join(FORMS)}, not {form!r}")
    if form == "stacked":
        a, b = (_stack(logits, images) for logits in (a, b))
    log_p, log_q = (jax.nn.log_softmax(x.astype(jnp.float32) / temperature) for x in (a, b))
    return kl_divergence(log_p, log_q, symmetric, reduce)


def _stack(logits: Array, images: int) -> Float[Array, "images all_classes"]:
    """Row k: the k-th logits of each identity, side by side."""
    if len(logits) % images:
        raise ValueError(f"{len(logits)} rows are no whole identities of {images}")
    return logits.reshape(-1, images, logits.shape[1]).swapaxes(0, 1).reshape(images, -1)

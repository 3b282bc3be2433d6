"""Mutual prediction: each modality's features, judged by the other modality's identity classifier.

Four readings of one idea, since the equations of the paper that named it (cross-modality identity
mutual prediction learning) could not be obtained. They differ in what they compare and in which
parts they train. In all of them, `features` and `classifiers` are mappings with the keys `visible`
and `infrared`. `predict` makes identity logits from the weights of a classifier and features.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jreid.hoisting import hoistable
from jreid.losses._checks import checked
from jreid.losses.alignment import kl_divergence
from jreid.losses.classification import cross_entropy

Features = Mapping[str, Float[Array, "n d"]]
Classifiers = Mapping[str, Any]
Predict = Callable[[Any, Float[Array, "n d"]], Float[Array, "m identities"]]

OTHER = {"visible": "infrared", "infrared": "visible"}


def linear(weights: Float[Array, "d identities"], features: Array) -> Array:
    """The logits of a linear classifier without bias."""
    return features @ weights


@checked
def specific_ce(
    features: Features,
    classifiers: Classifiers,
    identity: Integer[Array, " m"],
    predict: Predict = linear,
) -> Float[Array, ""]:
    """The sum of the cross-entropies of each classifier on its own modality.

    It makes the classifiers specific, and trains features and classifiers.

    Args:
        identity: class numbers of the rows that `predict` returns, the same for both modalities.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> features = {"visible": jnp.log(jnp.array([[3.0, 1.0]])), "infrared": jnp.zeros((1, 2))}
    >>> classifiers = {"visible": jnp.eye(2), "infrared": jnp.eye(2)}
    >>> float(jnp.exp(-specific_ce(features, classifiers, jnp.array([0]))).round(4))
    0.375
    """
    values = (predict(classifiers[name], features[name]) for name in OTHER)
    return sum((cross_entropy(logits, identity) for logits in values), start=jnp.zeros(()))


@checked
def swap_ce(
    features: Features,
    classifiers: Classifiers,
    identity: Integer[Array, " m"],
    predict: Predict = linear,
) -> Float[Array, ""]:
    """As `swap_ce_joint`, but the classifiers do not learn: their gradient is zero.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> features = {"visible": jnp.log(jnp.array([[3.0, 1.0]])), "infrared": jnp.zeros((1, 2))}
    >>> classifiers = {"visible": jnp.eye(2), "infrared": jnp.eye(2)[::-1]}
    >>> float(jnp.exp(-swap_ce(features, classifiers, jnp.array([0]))).round(4))
    0.125
    """
    return swap_ce_joint(features, jax.lax.stop_gradient(classifiers), identity, predict)


@checked
def swap_ce_joint(
    features: Features,
    classifiers: Classifiers,
    identity: Integer[Array, " m"],
    predict: Predict = linear,
) -> Float[Array, ""]:
    """The sum of the cross-entropies of each classifier on the other modality's features.

    It trains features and classifiers.

    Args:
        identity: as `specific_ce`.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> features = {"visible": jnp.log(jnp.array([[3.0, 1.0]])), "infrared": jnp.zeros((1, 2))}
    >>> classifiers = {"visible": jnp.eye(2), "infrared": jnp.eye(2)[::-1]}
    >>> float(jnp.exp(-swap_ce_joint(features, classifiers, jnp.array([0]))).round(4))
    0.125
    """
    swapped = {name: features[other] for name, other in OTHER.items()}
    return specific_ce(swapped, classifiers, identity, predict)


@checked
def kl_ema(
    features: Features,
    classifiers: Classifiers,
    averages: Classifiers,
    predict: Predict = linear,
) -> Float[Array, ""]:
    """Divergence of a modality's own classifier from the average of the other's classifier.

    The mean over the rows of both modalities of KL(own || other's average), as in the code of Wu
    et al., MPANet (CVPR 2021). The average gets no gradient; the own classifier and the features
    do.

    Args:
        averages: averages of the classifiers over the steps (`exponential_average`).

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> features = {"visible": jnp.log(jnp.array([[3.0, 1.0]])), "infrared": jnp.zeros((1, 2))}
    >>> classifiers = {"visible": jnp.eye(2), "infrared": jnp.eye(2)[::-1]}
    >>> float(jnp.exp(4 * kl_ema(features, classifiers, classifiers)).round(4))
    3.0
    """
    terms = [
        _divergence(
            predict(classifiers[name], features[name]),
            jax.lax.stop_gradient(predict(averages[other], features[name])),
        )
        for name, other in OTHER.items()
    ]
    return sum(terms, start=jnp.zeros(())) / len(terms)


@checked
def kl_detach(
    features: Features, classifiers: Classifiers, predict: Predict = linear
) -> Float[Array, ""]:
    """Divergence of a modality's own classifier from the other's classifier.

    The sum over modalities of the mean of KL(other || own). The other's prediction gets no
    gradient; the own classifier and the features do.

    Raises:
        ValueError: arrays that do not fit their annotations.

    >>> features = {"visible": jnp.log(jnp.array([[3.0, 1.0]])), "infrared": jnp.zeros((1, 2))}
    >>> classifiers = {"visible": jnp.eye(2), "infrared": jnp.eye(2)[::-1]}
    >>> float(jnp.exp(2 * kl_detach(features, classifiers)).round(4))
    3.0
    """
    terms = [
        _divergence(
            jax.lax.stop_gradient(predict(classifiers[other], features[name])),
            predict(classifiers[name], features[name]),
        )
        for name, other in OTHER.items()
    ]
    return sum(terms, start=jnp.zeros(()))


def _divergence(logits: Array, other: Array) -> Array:
    """Mean over rows of KL(softmax(logits) || softmax(other)), in float32."""
    log_p, log_q = (jax.nn.log_softmax(x.astype(jnp.float32)) for x in (logits, other))
    return kl_divergence(log_p, log_q)


def exponential_average(average: Any, current: Any, rate: float) -> Any:
    """The average after one more step: (1 - rate) average + rate current, for each array."""
    share = hoistable(rate)
    return jax.tree.map(lambda old, new: (1 - share) * old + share * new, average, current)

"""Base-Derivative (Liu et al., A Base-Derivative Framework for RGB-Infrared Re-ID, ICPR 2020).

A generator with ten parameters derives one more modality from visible and one from infrared. Each
of the four modalities has its own stem; they share the rest of a ResNet-50. Triplet losses within
modalities and across pairs of them draw visible and infrared together. Only these two are embedded.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.find import require_choices
from jreid.losses.classification import cross_entropy
from jreid.losses.pairwise import unit_length
from jreid.losses.triplet import (
    REDUCTIONS,
    multi_directional_triplet,
    multi_mode_triplet,
)
from jreid.methods.method import (
    Batch,
    Config,
    Method,
    MetricWarning,
    Terms,
    Variables,
    require_weights,
    single_network,
)
from jreid.methods.stuck import (
    identity_at_chance,
    judged_epochs,
    of_trained,
    triplet_at_margin,
)
from jreid.nn.colors import to_unit
from jreid.nn.heads import BatchNormNeck, Classifier
from jreid.nn.modality_generator import INFRARED_CHANNELS, INPUTS, WEIGHT_INITS, ModalityGenerator
from jreid.nn.pooling import POOLING
from jreid.nn.resnet import ResNet

MODALITIES = ("visible", "infrared", "derived_visible", "derived_infrared")
# No gradient passes a ReLU whose outputs are all 0.
REVIVE = (
    "train anew with config.base_derivative.generator.input=unit, whose pixels are not negative, "
    "and a lower rate of derivation/.* in config.optimizer.lr_multipliers"
)
CHOICES = {
    "pooling": POOLING,
    "base_derivative.modalities": MODALITIES,
    "base_derivative.pairs": MODALITIES,
    "base_derivative.generator.weight_init": WEIGHT_INITS,
    "base_derivative.generator.input": INPUTS,
    "base_derivative.generator.infrared_channel": INFRARED_CHANNELS,
    "base_derivative.triplet_reduce": REDUCTIONS,
    "base_derivative.identity_reduce": ("sum_modalities", "mean"),
    "base_derivative.neck": ("bnneck", "none"),
    "base_derivative.feature": ("bn", "pool"),
}


class Network(nn.Module):
    """Images of any of the config's modalities to pooled features, embeddings and logits."""

    config: Config

    def setup(self) -> None:
        options = self.config.base_derivative
        self.derivation = ModalityGenerator(**options.generator)
        self.backbone = ResNet(
            **self.config.backbone, modalities=tuple(options.modalities), dtype=self.config.dtype
        )
        self.neck = BatchNormNeck()
        self.classifier = Classifier(self.config.data.identities)

    def __call__(
        self, images: Mapping[str, Float[Array, "n h w 3"]], train: bool
    ) -> tuple[Float[Array, "m d"], Float[Array, "m d"], Float[Array, "m identities"]]:
        """Rows are sample-major: with M modalities, row M * i + m is image i of the m-th."""
        pooled = POOLING[self.config.pooling](self.backbone(images, train)[-1])
        bnneck = self.config.base_derivative.neck == "bnneck"
        embedding = self.neck(pooled, train) if bnneck else pooled
        return pooled, embedding, self.classifier(embedding)

    def derive(
        self, images: Mapping[str, Float[Array, "n h w 3"]]
    ) -> dict[str, Float[Array, "n h w 3"]]:
        """Derives the modalities that the config names from these base images (equation 1)."""
        modalities = self.config.base_derivative.modalities
        bases = {name: x for name, x in images.items() if f"derived_{name}" in modalities}
        return self.derivation(bases) if bases else {}

    def with_derived(self, images: Mapping[str, Float[Array, "n h w 3"]], train: bool) -> Any:
        """As `__call__`, for the base images and the images derived from them."""
        return self({**images, **self.derive(images)}, train)


def create(config: Config) -> Method:
    """Base-Derivative as the config describes it.

    Raises:
        InputError: a config field has a value that does not exist.
    """
    _check_modalities(config.base_derivative)
    require_choices(config, CHOICES)
    require_weights("config.base_derivative.loss_weights", config.base_derivative.loss_weights)
    network, options = Network(config), config.base_derivative

    def embedding(outputs: tuple[Array, Array, Array]) -> Float[Array, "n d"]:
        """Embeds `visible` or `infrared` images: nothing is derived when testing."""
        pooled, embedding, _ = outputs
        return embedding if options.feature == "bn" else pooled

    pictures = _pictures(network.apply, options.modalities)
    terms = partial(_terms, options)
    return single_network(
        network,
        terms,
        embedding,
        config,
        pictures,
        train_call="with_derived",
        metric_warnings=_metric_warnings(config),
    )


def _terms(options: Config, outputs: tuple[Array, Array, Array], batch: Batch) -> Terms:
    pooled, _, logits = outputs
    modalities, reduce = options.modalities, options.triplet_reduce
    repeated = jnp.repeat(batch["identity"], len(modalities))
    values = unit_length(pooled) if options.normalize else pooled
    features = {name: values[m :: len(modalities)] for m, name in enumerate(modalities)}
    identity = {name: batch["identity"] for name in modalities}
    losses = {
        "identity": _per_row(options) * cross_entropy(logits, repeated),
        "multi_mode": multi_mode_triplet(features, identity, options.multi_mode_margin, reduce),
        "multi_directional": multi_directional_triplet(
            features, identity, options.pairs, options.multi_directional_margin, reduce
        ),
    }
    # Equation 9.
    weighted = {name: (options.loss_weights[name], value) for name, value in losses.items()}
    by_modality = {
        f"identity_{name}": cross_entropy(logits[m :: len(modalities)], batch["identity"])
        for m, name in enumerate(modalities)
    }
    return Terms(weighted, logits, repeated, by_modality)


def _per_row(options: Config) -> int:
    """How many cross-entropies the identity loss adds up.

    Equation 8 divides by N. Here N is the number of rows of one modality.
    """
    return len(options.modalities) if options.identity_reduce == "sum_modalities" else 1


def _metric_warnings(config: Config) -> tuple[MetricWarning, ...]:
    options, epochs = config.base_derivative, judged_epochs(config)
    anchors = config.batch.identities * config.batch.images
    each = anchors if options.triplet_reduce == "sum" else 1
    within = each * len(options.modalities) * options.multi_mode_margin
    across = each * 2 * len(options.pairs) * options.multi_directional_margin
    weights = options.loss_weights
    return of_trained(
        (weights.identity, identity_at_chance("model/identity", config, epochs, _per_row(options))),
        (weights.multi_mode, triplet_at_margin("model/multi_mode", within, epochs)),
        (weights.multi_directional, triplet_at_margin("model/multi_directional", across, epochs)),
        # The loss of all modalities does not show one that is lost.
        *(
            (
                weights.identity,
                identity_at_chance(f"model/identity_{name}", config, epochs, 1, REVIVE),
            )
            for name in options.modalities
            if name.startswith("derived")
        ),
    )


def _pictures(apply: Any, modalities: tuple[str, ...]) -> Mapping[str, Callable[..., Any]]:
    """Figures 8 and 9: `(variables, images [N, H, W, 3], modality)` to pixels in 0..1.

    `derived` [N, H, 2W, 3] is the source and, to its right, the image derived from it. `channels`
    [N, 2H, 3W, 3] has the three channels in gray: the source's above, the derived image's below.
    `differences` [N, H, 3W, 3] has the absolute differences of the channels, dark where both images
    agree.
    """

    def both(variables: Variables, images: Array, modality: str) -> list[Array]:
        name = f"derived_{modality}"
        if name not in modalities:
            raise InputError(
                f"config.base_derivative.modalities has no {name}, so it cannot be shown; show "
                "another modality, or train with it."
            )
        result = apply(variables, {modality: images}, method="derive")[name]
        return [jnp.clip(to_unit(x), 0, 1) for x in (images, result)]

    def derived(variables: Variables, images: Array, modality: str) -> Array:
        return jnp.concatenate(both(variables, images, modality), axis=2)

    def channels(variables: Variables, images: Array, modality: str) -> Array:
        return jnp.concatenate([_in_gray(x) for x in both(variables, images, modality)], axis=1)

    def differences(variables: Variables, images: Array, modality: str) -> Array:
        source, result = both(variables, images, modality)
        return _in_gray(jnp.abs(source - result))

    return {"derived": derived, "channels": channels, "differences": differences}


def _in_gray(images: Float[Array, "n h w 3"]) -> Float[Array, "n h 3*w 3"]:
    """The three channels side by side, each as a gray image."""
    return jnp.concatenate([jnp.repeat(x, 3, -1) for x in jnp.split(images, 3, -1)], axis=2)


def _check_modalities(options: Config) -> None:
    modalities, pairs = options.modalities, options.pairs
    known = all(name in MODALITIES for name in modalities) and _are_different(modalities)
    if not known or not {"visible", "infrared"} <= {*modalities}:
        raise InputError(
            f"config.base_derivative.modalities={modalities} must have visible and infrared, may "
            "have derived_visible and derived_infrared, and must have each once only."
        )
    sound = all(_is_pair(pair, modalities) for pair in pairs)
    if not sound or not _are_different([frozenset(pair) for pair in pairs]):
        raise InputError(
            f"config.base_derivative.pairs={pairs} must be a tuple of pairs of different "
            f"modalities of {', '.join(modalities)}, each pair once, such as "
            "(('visible', 'infrared'),)."
        )


def _is_pair(pair: Any, modalities: tuple[str, ...]) -> bool:
    two = isinstance(pair, tuple | list) and len(pair) == 2
    return two and all(name in modalities for name in pair) and pair[0] != pair[1]


def _are_different(items: Sequence[Any]) -> bool:
    return len(set(items)) == len(items)

"""IDKL (Ren and Zhang, Implicit Discriminative Knowledge Learning for VI-ReID, CVPR 2024).

Two branches share one trunk. The shared branch learns features that do not show the modality; its
features are the embeddings. The specific branch learns to distinguish the modalities. Its purified
features also describe identities; they are distilled into the shared branch, by distances and by
logits.

The paper and its released code differ in nearly every part. Each difference is a field of
`config.idkl`, and each can be chosen alone. What the paper does not say follows the code: the
discriminators, the generalized mean with p = 3, the necks, the triplet loss on pooled features.
"""

import math
from functools import partial
from typing import Any

from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.find import OUTSIDE, require_choices
from jreid.hoisting import hoistable
from jreid.losses.alignment import CROSSES, FORMS, REDUCTIONS
from jreid.losses.purification import HINGES
from jreid.losses.triplet import TRIPLETS, find_triplet
from jreid.methods.idkl.network import PLACES, Network, Output
from jreid.methods.idkl.objectives import (
    DISTILLATION,
    RELEASED_WEIGHTS,
    all_terms,
    weights_of_batch,
)
from jreid.methods.idkl.pictures import grad_cam_of_branches, masks_of
from jreid.methods.idkl.purifier import MASKS, NORMS
from jreid.methods.idkl.torch_names import TORCH_LAYOUT
from jreid.methods.method import Config, Method, MetricWarning, require_weights, single_network
from jreid.methods.stuck import (
    configured_triplet_at_margin,
    discriminator_at_chance,
    discriminator_certain,
    distillation_dominates,
    identity_at_chance,
    judged_epochs,
    of_trained,
)
from jreid.nn.gradient_reversal import rising_strength

CHOICES = {
    "triplet.kind": (*TRIPLETS, OUTSIDE),
    "idkl.confuser": ("grl", "scrambled"),
    "idkl.reversal.schedule": ("constant", "rising"),
    "idkl.specific_reid": ("raw_and_purified", "purified"),
    "idkl.purifier.masks": (*MASKS, "none"),
    "idkl.purifier.norm": NORMS,
    "idkl.purifier.hinge": HINGES,
    "idkl.purifier.classifier": ("specific", "own"),
    "idkl.tgsa.between_branches": CROSSES,
    "idkl.tgsa.between_modalities": CROSSES,
    "idkl.divergence.reduce": tuple(REDUCTIONS),
    "idkl.confuser_at": PLACES,
    "idkl.discriminator_at": PLACES[2:],  # layer1 and layer2 are shared
    "idkl.csa.forms": FORMS,
}


def create(config: Config) -> Method:
    """IDKL as the config describes it.

    Raises:
        InputError: a config field has a value that does not exist or contradicts another.
    """
    _check(config)
    network, reversal = Network(config), config.idkl.reversal

    def embedding(out: Output) -> Float[Array, "n d"]:
        """The neck's output in the shared branch, which the released code also uses to test."""
        return out.shared.embedding

    def reversal_at(epoch: Float[Array, ""]) -> dict[str, Any]:
        epochs = hoistable(float(config.epochs))
        rise = rising_strength(epoch / epochs) if reversal.schedule == "rising" else 1.0
        return {"reversal": hoistable(reversal.strength) * rise}

    return single_network(
        network,
        partial(all_terms, config),
        embedding,
        config,
        {"grad_cam": grad_cam_of_branches(network.apply), "masks": masks_of(network.apply)},
        TORCH_LAYOUT,
        train_options=reversal_at,
        metric_warnings=_metric_warnings(config),
        distillation=DISTILLATION,
    )


def _metric_warnings(config: Config) -> tuple[MetricWarning, ...]:
    """Discriminators should be certain; if confusers are certain, the reversal has failed."""
    options, weights, epochs = config.idkl, config.idkl.weights, judged_epochs(config)
    discriminators, confusers = len(options.discriminator_at), len(options.confuser_at)
    trained = "*" if weights.purifier else "s*"  # the shared and the specific branch alone
    at_chance = discriminator_at_chance(
        "model/discriminator",
        discriminators * math.log(2),
        epochs,
        "train anew with a higher config.idkl.weights.discriminator",
    )
    certain = discriminator_certain(
        "model/confuser",
        confusers * math.log(2),
        epochs,
        "train anew with a higher config.idkl.reversal.strength",
    )
    return (
        identity_at_chance(f"model/{trained}_identity", config, epochs),
        *configured_triplet_at_margin(f"model/{trained}_triplet", config),
        distillation_dominates("model/distillation_share", config, _less_distillation(config)),
        *of_trained(
            (discriminators and weights.discriminator, at_chance),
            (options.confuser == "grl" and confusers and weights.confuser, certain),
        ),
    )


def _less_distillation(config: Config) -> str:
    """What to do if distillation has most of the gradient."""
    options = config.idkl
    own = "--config.idkl.follow_batch=False and " if options.follow_batch else ""
    mean = ", or with --config.idkl.divergence.reduce=mean"
    return (
        f"train anew with {own}lower config.idkl.weights.tgsa, csa, mdr_tgsa and mdr_csa"
        f"{mean if options.divergence.reduce == 'sum' else ''}"
    )


def _check(config: Config) -> None:
    require_choices(config, CHOICES)
    require_weights("config.idkl.weights", config.idkl.weights)
    find_triplet(config.triplet.kind)
    for name in ("tgsa", "csa"):
        if config.idkl[name].temperature <= 0:
            raise InputError(
                f"config.idkl.{name}.temperature={config.idkl[name].temperature} is not positive; "
                "set it to 1.0, or to more for softer probabilities."
            )
    pairs = config.batch.identities * config.batch.images
    weights, between_modalities = weights_of_batch(config.idkl, 2 * pairs)
    for name, used in weights.items():
        given = config.idkl.weights[name]
        if given not in (used, RELEASED_WEIGHTS.get(name)):
            raise InputError(
                f"config.idkl.weights.{name}={given} would not be used: with follow_batch a batch "
                f"of {2 * pairs} images has {used}; add --config.idkl.follow_batch=False."
            )
    given = config.idkl.tgsa.between_modalities
    if given not in (between_modalities, "mixed"):
        raise InputError(
            f"config.idkl.tgsa.between_modalities={given} would not be used: with follow_batch a "
            f"batch of {2 * pairs} images has {between_modalities}; add "
            "--config.idkl.follow_batch=False."
        )
    if "mixed" in (config.idkl.tgsa.between_branches, between_modalities) and pairs % 2:
        raise InputError(
            f"config.idkl.tgsa's mixed affinity halves the {pairs} images of a modality; set "
            "--config.batch.identities or --config.batch.images to an even number."
        )

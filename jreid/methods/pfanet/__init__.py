"""PFANet (Chan et al., Learning Identity-Consistent Feature via Pixel and Feature Alignment, 2022).

A generator makes infrared images from visible ones. Generated and real infrared images then go
through one feature extractor: a ResNet with BNG attention and modality alleviation (MMM). A joint
discriminator judges pairs of an image and a feature map. A second generator translates images back;
the cycle loss makes images keep their content. Four players take turns in a step: the extractor F,
the generators G_I and G_R, and their discriminators, D_R of visible images and D_I of infrared
ones.
"""

import math

import jax
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.find import require_choices
from jreid.losses.adversarial import FORMS
from jreid.losses.pairwise import DISTANCES
from jreid.losses.triplet import NEGATIVES, SET_TRIPLETS, collapsed_triplet
from jreid.methods.method import (
    Batch,
    Config,
    Method,
    MetricWarning,
    Variables,
    require_weights,
)
from jreid.methods.pfanet.network import Networks, as_pixels
from jreid.methods.pfanet.pictures import pictures_of
from jreid.methods.pfanet.players import phases_of
from jreid.methods.stuck import (
    LOWER_RATE,
    SOFT,
    discriminator_at_chance,
    discriminator_certain,
    identity_at_chance,
    judged_epochs,
    of_trained,
    triplet_at_margin,
)

CHOICES = {
    "backbone.attention": ("none", "bng"),
    "backbone.bng.place": ("stage", "block"),
    "backbone.normalization": ("none", "mmm"),
    "pfanet.adversarial": FORMS,
    "pfanet.generator_pair": ("fake_fake", "fake_real"),
    "pfanet.triplet.kind": SET_TRIPLETS,
    "pfanet.triplet.metric": DISTANCES,
    "pfanet.triplet.negatives": NEGATIVES,
    "pfanet.classifier.dropout_place": ("bottleneck", "input"),
    "pfanet.classifier.activation": ("relu", "leaky_relu"),
    "pfanet.identity_reduce": ("mean", "sum"),
}
SAME_IMAGES = MetricWarning(
    "generators/variation",
    lambda share: share < 0.1,
    "generated infrared images hardly differ from each other, as if the generator had collapsed; "
    "look at the run's pictures, and train anew with a lower "
    "config.pfanet.generator.optimizer.learning_rate",
)
# The loss of a discriminator that cannot distinguish real from fake.
CHANCE = {"lsgan": 0.25, "log": math.log(2)}


def create(config: Config) -> Method:
    """PFANet as the config describes it.

    Raises:
        InputError: a config field has a value that does not exist or contradicts another.
    """
    require_choices(config, CHOICES)
    require_weights("config.pfanet.loss_weights", config.pfanet.loss_weights)
    _check(config)
    networks = Networks(config)

    def init(key: jax.Array, batch: Batch) -> Variables:
        return networks.init(key, as_pixels(batch["visible"]), as_pixels(batch["infrared"]))

    def embed(
        variables: Variables, images: Float[Array, "n h w 3"], modality: str
    ) -> Float[Array, "n d"]:
        """V of infrared images, or of visible images that G_I has made infrared."""
        net, pixels = networks.bind(variables), as_pixels(images)
        if modality == "visible":
            return net.features({"generated": net.to_infrared(pixels)}, train=False).pooled
        return net.features({"infrared": pixels}, train=False).pooled

    return Method(
        init,
        phases_of(config, networks),
        embed,
        pictures_of(networks),
        metric_warnings=_metric_warnings(config),
    )


def _metric_warnings(config: Config) -> tuple[MetricWarning, ...]:
    options, generation = config.pfanet, config.pfanet.warm_ups.generation
    main, adversarial = (
        judged_epochs(config, start) for start in (generation, options.warm_ups.features)
    )
    sets = {"mean": 1, "sum": 2}[options.identity_reduce]
    chance = CHANCE[options.adversarial]
    equal = 2 * (collapsed_triplet(options.triplet.kind, options.triplet.margin) or 0.0)
    hard = options.triplet.kind == "batch_hard"
    remedy = SOFT.format("pfanet.triplet.kind") if hard else LOWER_RATE
    rate = "config.pfanet.discriminator.optimizer.learning_rate"
    losses = "*_discriminator/discrimination"
    look = "look at the run's pictures, and train anew with a"
    certain = discriminator_certain(losses, chance, adversarial, f"{look} lower {rate}")
    at_chance = discriminator_at_chance(losses, chance, adversarial, f"{look} higher {rate}")
    negatives = MetricWarning(
        "generators/brightness_correlation",
        lambda correlations: correlations.mean() < 0,
        "generated infrared images are bright where the visible ones are dark, so features of the "
        "two modalities will not match; train anew with a higher "
        "config.pfanet.loss_weights.identity_mapping or another config.seed",
        judged_epochs(config, (options.warm_ups.features + generation) // 2),
    )
    weights = options.loss_weights
    return (
        SAME_IMAGES,
        negatives,
        *of_trained(
            (weights.discrimination, certain),
            (weights.discrimination, at_chance),
            (weights.identity, identity_at_chance("features/identity", config, main, sets)),
            (weights.triplet, triplet_at_margin("features/triplet", equal, main, remedy)),
        ),
    )


def _check(config: Config) -> None:
    options, (height, width) = config.pfanet, config.image.size
    identities = config.batch.identities
    if not (options.gan_identities == 0 or 2 <= options.gan_identities <= identities):
        raise InputError(
            f"config.pfanet.gan_identities={options.gan_identities} must be from 2 to the "
            f"{identities} identities of a batch, or 0 for all of them."
        )
    if not 0 <= options.gan_images <= config.batch.images:
        raise InputError(
            f"config.pfanet.gan_images={options.gan_images} must be from 1 to the "
            f"{config.batch.images} images of an identity in a batch, or 0 for all of them."
        )
    if height % 4 or width % 4:
        raise InputError(
            f"config.image.size={config.image.size} cannot be divided by 4, as the generators "
            "need; choose multiples of 4."
        )
    stages = options.discriminator.stages
    if stages < 4 or (height >> stages) * (width >> stages) < 2:
        raise InputError(
            f"config.pfanet.discriminator.stages={stages} must be 4 or more, and so few that "
            f"images of {height} x {width} pixels, halved once by each stage, have at least two "
            "patches."
        )
    if options.warm_ups.features > options.warm_ups.generation:
        raise InputError(
            f"config.pfanet.warm_ups.generation={options.warm_ups.generation} ends before "
            f"config.pfanet.warm_ups.features={options.warm_ups.features}; set it to at least "
            f"{options.warm_ups.features}, since both are counted from the first epoch."
        )
    if 0 < config.epochs <= options.warm_ups.generation:
        raise InputError(
            f"config.epochs={config.epochs} ends before the main phase, which begins after "
            f"config.pfanet.warm_ups.generation={options.warm_ups.generation} epochs; set fewer "
            "warm_ups.features and warm_ups.generation, or more epochs."
        )
    if not {*config.backbone.mmm.stages} <= {1, 2, 3, 4} or not config.backbone.mmm.stages:
        raise InputError(
            f"config.backbone.mmm.stages={config.backbone.mmm.stages} must be some of the stages "
            "1 to 4 of the ResNet."
        )
    if len(options.reid_size) != 2 or min(options.reid_size) < 1:
        raise InputError(
            f"config.pfanet.reid_size={options.reid_size} must be a height and a width."
        )

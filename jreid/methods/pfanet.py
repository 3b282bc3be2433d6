"""PFANet (Chan et al., Learning Identity-Consistent Feature via Pixel and Feature Alignment, 2022).

A generator makes infrared images of visible ones, which then go, like real infrared ones, through
one feature extractor: a ResNet with BNG attention and modality alleviation (MMM). A joint
discriminator judges pairs of an image and a feature map; a second generator leads back, by whose
cycle an image keeps its content. Four players take turns in a step: the extractor F, the generators
G_I and G_R, and their discriminators, D_R of visible images and D_I of infrared ones.
"""

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.losses.adversarial import (
    FORMS,
    cycle_loss,
    discriminator_loss,
    real_or_fake,
    relative_variation,
)
from jreid.losses.classification import cross_entropy
from jreid.losses.pairwise import DISTANCES
from jreid.losses.triplet import NEGATIVES, generated_triplets, set_triplet
from jreid.methods.method import (
    Alarm,
    Batch,
    Config,
    Method,
    Phase,
    Player,
    Variables,
    require_choice,
)
from jreid.nn.derivation import to_unit
from jreid.nn.pfanet import Features, Networks, Pixels
from jreid.nn.resnet import interleave

CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "pfanet.adversarial": FORMS,
    "pfanet.generator_pair": ("fake_fake", "fake_real"),
    "pfanet.triplet.metric": DISTANCES,
    "pfanet.triplet.negatives": NEGATIVES,
    "pfanet.classifier.dropout_place": ("bottleneck", "input"),
    "pfanet.classifier.activation": ("relu", "leaky_relu"),
    "pfanet.identity_reduce": ("mean", "sum"),
}
OWNED = {
    "features": ("backbone", "embedder", "classifier"),
    "generators": ("to_infrared", "to_visible"),
    "visible_discriminator": ("visible_discriminator",),
    "infrared_discriminator": ("infrared_discriminator",),
}
ALARMS = (
    Alarm(
        "generators/variation",
        lambda share: share < 0.1,
        "generated infrared images hardly differ from each other, as if the generator had "
        "collapsed; look at the run's pictures, and train anew with a lower "
        "config.pfanet.generator.optimizer.learning_rate",
    ),
    Alarm(
        "*_discriminator/loss",
        lambda loss: loss < 0.005,
        "this discriminator is hardly ever wrong, so its generator learns little from it; look at "
        "the run's pictures, and train anew with a lower "
        "config.pfanet.discriminator.optimizer.learning_rate",
    ),
)


Play = Callable[[Networks, Batch], tuple[dict[str, Array], dict[str, Array]]]


def create(config: Config) -> Method:
    """PFANet as the config describes it.

    Raises:
        InputError: a config field has a value that does not exist or contradicts another.
    """
    for field, choices in CHOICES.items():
        require_choice(field, attrgetter(field)(config), choices)
    _check(config)
    networks, options = networks_of(config), config.pfanet

    def init(rng: jax.Array, batch: Batch) -> Variables:
        return networks.init(rng, _pixels(batch["visible"]), _pixels(batch["infrared"]))

    def embed(
        variables: Variables, images: Float[Array, "n h w 3"], modality: str
    ) -> Float[Array, "n d"]:
        """V of infrared images as they are, and of visible ones as G_I makes them infrared."""
        net, pixels = networks.bind(variables), _pixels(images)
        if modality == "visible":
            return net.features({"generated": net.to_infrared(pixels)}, train=False).pooled
        return net.features({"infrared": pixels}, train=False).pooled

    def player(name: str, play: Any, optimizer: Config, **given: bool) -> Player:
        loss = _loss(networks, partial(play, config, **given), options.loss_weights, name)
        return Player(name, lambda path: path.split("/")[0] in OWNED[name], loss, optimizer)

    def adversaries(silent: bool) -> tuple[Player, ...]:
        makes, judges = options.generator.optimizer, options.discriminator.optimizer
        return (
            player("generators", _generators, makes, silent=silent),
            player("visible_discriminator", _visible_discriminator, judges),
            player("infrared_discriminator", _infrared_discriminator, judges, silent=silent),
        )

    ends, rate = options.warm_ups, config.optimizer
    warm_ups = (
        Phase("infrared features", (player("features", _infrared_features, rate),), ends.features),
        Phase("generation", adversaries(silent=True), ends.generation),
    )
    players = (player("features", _features, rate), *adversaries(silent=False))
    return Method(init, players, embed, _pictures(networks), warm_ups=warm_ups, alarms=ALARMS)


def networks_of(config: Config) -> Networks:
    """The networks of all players."""
    options = config.pfanet
    generator, discriminator = options.generator, options.discriminator
    return Networks(
        config.data.identities,
        options.reid_size,
        options.embedding,
        config.backbone,
        options.classifier,
        {"width": generator.width, "residual_blocks": generator.residual_blocks},
        {"width": discriminator.width, "stages": discriminator.stages},
        config.dtype,
    )


def _loss(networks: Networks, play: Play, weights: Config, name: str) -> Any:
    """A player's loss: its terms, weighted. Only F's turn leaves the batch's statistics behind."""

    def loss(params, model_state, batch, rng, progress):
        variables = {"params": params, **model_state}
        net = networks.bind(variables, rngs={"dropout": rng}, mutable=[*model_state])
        terms, told = play(net, batch)
        total = sum((weights[term] * terms[term] for term in terms), start=jnp.zeros(()))
        seen = {collection: net.variables[collection] for collection in model_state}
        return total, ({**terms, **told}, seen if name == "features" else model_state)

    return loss


def _infrared_features(config: Config, net: Networks, batch: Batch) -> Any:
    """F's warm-up: identities and triplets of infrared images, as in AlignGAN's code."""
    triplet, identity = config.pfanet.triplet, batch["identity"]
    found = net.features({"infrared": _pixels(batch["infrared"])}, train=True)
    one = found.embedding
    terms = {
        "identity": cross_entropy(found.logits, identity),
        "triplet": set_triplet(one, one, one, identity, triplet.metric, triplet.margin),
    }
    return terms, {"accuracy": (found.logits.argmax(1) == identity).mean()}


def _features(config: Config, net: Networks, batch: Batch) -> Any:
    """F: equation 15. The generated images are given: no gradient leads into G_I."""
    options, identity = config.pfanet, jnp.repeat(batch["identity"], 2)
    infrared = _pixels(batch["infrared"])
    generated = stop_gradient(net.to_infrared(_pixels(batch["visible"])))
    both = net.features({"generated": generated, "infrared": infrared}, train=True)
    sets = {"mean": 1, "sum": 2}[options.identity_reduce]
    terms = {
        "identity": sets * cross_entropy(both.logits, identity),
        "triplet": _triplets(both, batch["identity"], options.triplet),
    }
    if options.loss_weights.fooling:
        judged = net.infrared_discriminator(infrared, both.of("generated").map)
        terms["fooling"] = real_or_fake(judged, True, options.adversarial)
    return terms, {"accuracy": (both.logits.argmax(1) == identity).mean()}


def _generators(config: Config, net: Networks, batch: Batch, silent: bool) -> Any:
    """G_I and G_R: equations 1, 6, 7 and 14, whose gradients pass through F, which stays."""
    options = config.pfanet
    visible, infrared, identity = _gan_batch(config, batch)
    generated, generated_visible = net.to_infrared(visible), net.to_visible(infrared)
    both = net.features({"generated": generated, "infrared": infrared}, train=True)
    shown = both.of({"fake_fake": "generated", "fake_real": "infrared"}[options.generator_pair])
    judged = net.infrared_discriminator(generated, stop_gradient(shown.map), silent)
    judged_visible = net.visible_discriminator(generated_visible)
    there_and_back = net.to_visible(generated), infrared, net.to_infrared(generated_visible)
    half = 0.5 if options.triplet.gan_half else 1.0
    terms = {
        # Equation 7 has the first of the two alone; G_R needs the second.
        "adversarial": real_or_fake(judged, True, options.adversarial),
        "adversarial_visible": real_or_fake(judged_visible, True, options.adversarial),
        "cycle": cycle_loss(visible, *there_and_back),
        "gan_identity": cross_entropy(both.of("generated").logits, identity),
        "gan_triplet": half * _triplets(both, identity, options.triplet),
    }
    if options.loss_weights.identity_mapping:
        same = net.to_visible(visible), infrared, net.to_infrared(infrared)
        terms["identity_mapping"] = cycle_loss(visible, *same)
    return terms, {"variation": relative_variation(generated, infrared)}


def _visible_discriminator(config: Config, net: Networks, batch: Batch) -> Any:
    """D_R: visible images, and those that G_R makes of infrared ones."""
    visible, infrared, _ = _gan_batch(config, batch)
    real = net.visible_discriminator(visible)
    fake = net.visible_discriminator(net.to_visible(infrared))
    return _discrimination(real, [fake], config.pfanet.adversarial)


def _infrared_discriminator(config: Config, net: Networks, batch: Batch, silent: bool) -> Any:
    """D_I: equations 2 to 5, of pairs of image and map; when silent, of images alone."""
    options = config.pfanet
    visible, infrared, _ = _gan_batch(config, batch)
    generated = net.to_infrared(visible)
    both = net.features({"generated": generated, "infrared": infrared}, train=True)
    generated_map, infrared_map = both.of("generated").map, both.of("infrared").map
    pairs = [(infrared, infrared_map), (generated, generated_map)]
    if not silent:
        pairs += [(generated, infrared_map), (infrared, generated_map)]
    if options.wrong_pair and not silent:
        another = jnp.roll(infrared, config.batch.images, axis=0)  # of the next identity
        pairs += [(another, infrared_map)]
    images, maps = (interleave(parts) for parts in zip(*pairs, strict=True))
    judged = net.infrared_discriminator(images, maps, silent)
    real, *fakes = (judged[i :: len(pairs)] for i in range(len(pairs)))
    return _discrimination(real, fakes, options.adversarial)


def _discrimination(real: Array, fakes: list[Array], form: str) -> Any:
    told = {"real": real.mean(), "fake": jnp.stack(fakes).mean()}  # the mean of what it says
    return {"discrimination": discriminator_loss(real, fakes, form)}, told


def _triplets(both: Features, identity: Array, options: Config) -> Array:
    sets = both.of("generated").embedding, both.of("infrared").embedding
    return generated_triplets(*sets, identity, options.metric, options.margin, options.negatives)


def _gan_batch(config: Config, batch: Batch) -> tuple[Pixels, Pixels, Array]:
    """Visible and infrared pixels and identity of the generators' and discriminators' turns."""
    rows = (config.pfanet.gan_identities or config.batch.identities) * config.batch.images
    return (
        _pixels(batch["visible"][:rows]),
        _pixels(batch["infrared"][:rows]),
        batch["identity"][:rows],
    )


def _pixels(images: Float[Array, "n h w 3"]) -> Pixels:
    """Normalised images as the pixels in -1..1 that generators have."""
    return 2 * to_unit(images) - 1


def _pictures(networks: Networks) -> Mapping[str, Callable[..., Array]]:
    """`(variables, images [N, H, W, 3], modality)` to pixels in 0..1, side by side.

    `generated` [N, H, 2W, 3] is the image and what it becomes in the other modality, figure 5's;
    `cycle` [N, H, 3W, 3] adds what becomes of that on the way back.
    """

    def cycle(variables: Variables, images: Array, modality: str) -> Array:
        net, pixels = networks.bind(variables), _pixels(images)
        there, back = net.to_infrared, net.to_visible
        if modality == "infrared":
            there, back = back, there
        other = there(pixels)
        row = jnp.concatenate([pixels, other, back(other)], axis=2)
        return jnp.clip((row + 1) / 2, 0, 1)

    def generated(variables: Variables, images: Array, modality: str) -> Array:
        return cycle(variables, images, modality)[:, :, : 2 * images.shape[2]]

    return {"generated": generated, "cycle": cycle}


def _check(config: Config) -> None:
    options, (height, width) = config.pfanet, config.image.size
    identities = config.batch.identities
    if not (options.gan_identities == 0 or 2 <= options.gan_identities <= identities):
        raise InputError(
            f"config.pfanet.gan_identities={options.gan_identities} is none of 2 to the "
            f"{identities} of a batch, nor 0 for all of them."
        )
    if height % 4 or width % 4:
        raise InputError(
            f"config.image.size={config.image.size} has no quarter in whole pixels, at which the "
            "generators work; choose multiples of 4."
        )
    stages = options.discriminator.stages
    if stages < 4 or (height >> stages) * (width >> stages) < 2:
        raise InputError(
            f"config.pfanet.discriminator.stages={stages} must be 4 or more, and leave images of "
            f"{height} x {width} pixels two patches or more when they are halved so often."
        )
    if options.warm_ups.features > options.warm_ups.generation:
        raise InputError(
            f"config.pfanet.warm_ups.generation={options.warm_ups.generation} ends before "
            f"config.pfanet.warm_ups.features={options.warm_ups.features}; both are counted from "
            "the first epoch."
        )

"""PFANet's players: what each of them owns, its losses, and the phases that they train in."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array

from jreid.losses.adversarial import (
    brightness_correlation,
    cycle_loss,
    discriminator_loss,
    real_or_fake,
    relative_variation,
)
from jreid.losses.classification import cross_entropy
from jreid.losses.triplet import generated_triplets, set_triplet
from jreid.methods.method import Batch, Config, LossTerms, Phase, Player
from jreid.methods.pfanet.network import Features, Networks, Pixels, as_pixels
from jreid.nn.resnet import interleave

OWNED = {
    "features": ("backbone", "embedder", "classifier"),
    "generators": ("to_infrared", "to_visible"),
    "visible_discriminator": ("visible_discriminator",),
    "infrared_discriminator": ("infrared_discriminator",),
}

# From networks and a batch to a player's losses and further metrics, by name.
PlayerLoss = Callable[[Networks, Batch], tuple[dict[str, Array], dict[str, Array]]]


def phases_of(config: Config, networks: Networks) -> tuple[Phase, ...]:
    """The phases: infrared features, then generation of images, then all players together."""
    options = config.pfanet
    generator_optimizer = options.generator.optimizer
    discriminator_optimizer = options.discriminator.optimizer

    def player(name: str, loss_fn: Any, optimizer: Config, **given: bool) -> Player:
        terms = _terms(networks, partial(loss_fn, config, **given), options.loss_weights, name)
        return Player.of_terms(
            name, lambda path: path.split("/")[0] in OWNED[name], terms, optimizer
        )

    def adversaries(silent: bool) -> tuple[Player, ...]:
        return (
            player("generators", _generators, generator_optimizer, silent=silent),
            player("visible_discriminator", _visible_discriminator, discriminator_optimizer),
            player(
                "infrared_discriminator",
                _infrared_discriminator,
                discriminator_optimizer,
                silent=silent,
            ),
        )

    ends, rate = options.warm_ups, config.optimizer
    return (
        Phase("infrared features", (player("features", _infrared_features, rate),), ends.features),
        Phase("generation", adversaries(silent=True), ends.generation),
        Phase(
            "main",
            (player("features", _features, rate), *adversaries(silent=False)),
            # It sees feature maps for the first time. AlignGAN's is a new network here.
            restarted=("infrared_discriminator",),
        ),
    )


def _terms(networks: Networks, loss_fn: PlayerLoss, weights: Config, player: str) -> LossTerms:
    """A player's losses with their weights. Only F's turn updates the batch statistics."""

    def terms(params, model_state, batch, key, epoch):
        variables = {"params": params, **model_state}
        net = networks.bind(variables, rngs={"dropout": key}, mutable=[*model_state])
        values, metrics = loss_fn(net, batch)
        losses = {name: (weights[name], value) for name, value in values.items()}
        seen = {collection: net.variables[collection] for collection in model_state}
        return losses, ({**values, **metrics}, seen if player == "features" else model_state)

    return terms


def _infrared_features(config: Config, net: Networks, batch: Batch) -> Any:
    """F's warm-up: identities and triplets of infrared images, as in AlignGAN's code."""
    triplet, identity = config.pfanet.triplet, batch["identity"]
    found = net.features({"infrared": as_pixels(batch["infrared"])}, train=True)
    one = found.embedding
    terms = {
        "identity": cross_entropy(found.logits, identity),
        "triplet": set_triplet(
            one, one, one, identity, triplet.metric, triplet.margin, triplet.kind
        ),
    }
    return terms, {"accuracy": (found.logits.argmax(1) == identity).mean()}


def _features(config: Config, net: Networks, batch: Batch) -> Any:
    """F: equation 15. No gradient flows through the generated images into G_I."""
    options, identity = config.pfanet, jnp.repeat(batch["identity"], 2)
    infrared = as_pixels(batch["infrared"])
    generated = stop_gradient(net.to_infrared(as_pixels(batch["visible"])))
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
    """G_I and G_R: equations 1, 6, 7 and 14. Gradients pass through F, but F is not updated."""
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
        # Equation 7 has only the first of the two; G_R needs the second.
        "adversarial": real_or_fake(judged, True, options.adversarial),
        "adversarial_visible": real_or_fake(judged_visible, True, options.adversarial),
        "cycle": cycle_loss(visible, *there_and_back),
        "gan_identity": cross_entropy(both.of("generated").logits, identity),
        "gan_triplet": half * _triplets(both, identity, options.triplet),
    }
    if options.loss_weights.identity_mapping:
        same = net.to_visible(visible), infrared, net.to_infrared(infrared)
        terms["identity_mapping"] = cycle_loss(visible, *same)
    return terms, {
        "variation": relative_variation(generated, infrared),
        "brightness_correlation": brightness_correlation(generated, visible),
    }


def _visible_discriminator(config: Config, net: Networks, batch: Batch) -> Any:
    """D_R: visible images, and those that G_R makes from infrared ones."""
    visible, infrared, _ = _gan_batch(config, batch)
    real = net.visible_discriminator(visible)
    fake = net.visible_discriminator(net.to_visible(infrared))
    return _discrimination(real, [fake], config.pfanet.adversarial)


def _infrared_discriminator(config: Config, net: Networks, batch: Batch, silent: bool) -> Any:
    """D_I: equations 2 to 5, for pairs of image and map; if silent, for images alone."""
    options = config.pfanet
    visible, infrared, _ = _gan_batch(config, batch)
    generated = net.to_infrared(visible)
    both = net.features({"generated": generated, "infrared": infrared}, train=True)
    generated_map, infrared_map = both.of("generated").map, both.of("infrared").map
    pairs = [(infrared, infrared_map), (generated, generated_map)]
    if not silent:
        pairs += [(generated, infrared_map), (infrared, generated_map)]
    if options.wrong_pair and not silent:
        another = jnp.roll(infrared, _gan_images(config), axis=0)  # those of the next identity
        pairs += [(another, infrared_map)]
    images, maps = (interleave(parts) for parts in zip(*pairs, strict=True))
    judged = net.infrared_discriminator(images, maps, silent)
    real, *fakes = (judged[i :: len(pairs)] for i in range(len(pairs)))
    return _discrimination(real, fakes, options.adversarial)


def _discrimination(real: Array, fakes: list[Array], form: str) -> Any:
    means = {"real": real.mean(), "fake": jnp.stack(fakes).mean()}
    return {"discrimination": discriminator_loss(real, fakes, form)}, means


def _triplets(both: Features, identity: Array, options: Config) -> Array:
    sets = both.of("generated").embedding, both.of("infrared").embedding
    distance, margin = options.metric, options.margin
    return generated_triplets(*sets, identity, distance, margin, options.negatives, options.kind)


def _gan_batch(config: Config, batch: Batch) -> tuple[Pixels, Pixels, Array]:
    """Visible and infrared pixels and identity for generators and discriminators."""
    identities = config.pfanet.gan_identities or config.batch.identities

    def some(rows: Array) -> Array:
        of_each = rows.reshape(-1, config.batch.images, *rows.shape[1:])
        return of_each[:identities, : _gan_images(config)].reshape(-1, *rows.shape[1:])

    visible, infrared = some(batch["visible"]), some(batch["infrared"])
    return as_pixels(visible), as_pixels(infrared), some(batch["identity"])


def _gan_images(config: Config) -> int:
    """How many images of each identity and modality train the GAN."""
    return config.pfanet.gan_images or config.batch.images

"""Mutual-prediction learning with fine-grained features: a reconstruction of a paper.

Its equations and the text of its network's figure could not be obtained. Its abstract, its tables
and the readable part of its experiments describe two streams, local features in addition to the
global one, an identity classifier for each modality (W_V and W_I), losses weighted by alpha and
beta, and "mutual prediction", which makes features that are discriminative in one modality
discriminative in both. Everything else here follows the closest published work, mostly MPANet: one
stem for each modality, six stripes, one descriptor z of the global feature and the stripes' for W_V
and W_I, and five readings of mutual prediction, `mutual_prediction.form`. In MPANet z also has an
identity loss of both modalities; here the global feature and each stripe have it, z has not.

swap_ce        cross-entropy of each classifier on the other modality's z; only the encoder learns
               from it, not the classifiers. The default
swap_ce_joint  the same, and the classifiers learn from it, too
kl_ema         KL(own classifier || the other's average over the steps), as in MPANet
kl_detach      KL(the other classifier || own), without a gradient through the other's prediction
alternate      swap_ce by a second player, after a step on all other losses: each step updates the
               encoder twice, by two optimizers, including weight decay and batch statistics
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jreid.datasets import MODALITIES
from jreid.errors import InputError
from jreid.find import OUTSIDE, require_choices
from jreid.losses.centers import hetero_center_triplet
from jreid.losses.classification import cross_entropy
from jreid.losses.mutual_prediction import (
    exponential_average,
    kl_detach,
    kl_ema,
    specific_ce,
    swap_ce,
    swap_ce_joint,
)
from jreid.losses.triplet import TRIPLETS, triplet
from jreid.methods.method import (
    Batch,
    Config,
    Method,
    MetricWarning,
    Player,
    Variables,
    by_modality,
    images_of,
)
from jreid.methods.stuck import (
    OTHER_RATE,
    configured_triplet_at_margin,
    identity_at_chance,
    judged_epochs,
    of_trained,
)
from jreid.nn.heads import BatchNormNeck, Classifier, FeatureClassifier
from jreid.nn.parts import PartClassifier, Parts
from jreid.nn.pooling import POOLING
from jreid.nn.resnet import ResNet

# Each takes z and W (both by modality), averages of W, identities, and a function from W and z to
# logits.
FORMS: Mapping[str, Callable[..., Array]] = {
    "swap_ce": lambda z, w, averages, rows, predict: swap_ce(z, w, rows, predict),
    "swap_ce_joint": lambda z, w, averages, rows, predict: swap_ce_joint(z, w, rows, predict),
    "kl_ema": lambda z, w, averages, rows, predict: kl_ema(z, w, averages, predict),
    "kl_detach": lambda z, w, averages, rows, predict: kl_detach(z, w, predict),
    "alternate": lambda z, w, averages, rows, predict: swap_ce(z, w, rows, predict),
}
CHOICES = {
    "pooling": POOLING,
    "triplet.kind": (*TRIPLETS, "hetero_center", OUTSIDE),
    "mutual_prediction.form": FORMS,
    "mutual_prediction.feature": ("concat", "global", "each"),
    "mutual_prediction.head": ("linear", "mlp512"),
    "mutual_prediction.embedding": ("bn_z", "z", "global"),
    "mutual_prediction.parts.pool": POOLING,
    "mutual_prediction.parts.reduce": ("mean", "sum"),
}
# What mutual prediction trains where the classifiers do not learn from it.
ENCODER = ("backbone/", "parts/", "descriptor_neck/")

# Values of the losses by name, the accuracy of the shared classifier, and the model state after.
Terms = Callable[[Any, Variables, Batch], tuple[dict[str, jax.Array], jax.Array, Mapping[str, Any]]]


class Outputs(NamedTuple):
    """The network's outputs for M images, all float32; rows are sample-major, as AGW's are.

    Attributes:
        pooled: the global feature g.
        embedding: its batch norm.
        logits: of the classifier shared by both modalities, on the embedding.
        parts: the stripes' features l.
        part_logits: of their own classifiers.
        descriptor: z, which is g and every l, side by side.
        normal: its batch norm, which W_V and W_I take.
    """

    pooled: Float[Array, "m c"]
    embedding: Float[Array, "m c"]
    logits: Float[Array, "m identities"]
    parts: Float[Array, "m n dim"]
    part_logits: Float[Array, "m n identities"]
    descriptor: Float[Array, "m d"]
    normal: Float[Array, "m d"]


class Network(nn.Module):
    """Images of one or both modalities to all outputs except those of W_V and W_I."""

    config: Config

    @nn.compact
    def __call__(self, images: Mapping[str, Float[Array, "n h w 3"]], train: bool) -> Outputs:
        config, options = self.config, self.config.mutual_prediction.parts
        identities = config.data.identities
        backbone = ResNet(**config.backbone, dtype=config.dtype, name="backbone")
        x = backbone(images, train)[-1]
        pooled = POOLING[config.pooling](x)
        embedding = BatchNormNeck(name="neck")(pooled, train)
        logits = Classifier(identities, name="classifier")(embedding)
        parts, part_logits = jnp.zeros((x.shape[0], 0, 1)), jnp.zeros((x.shape[0], 0, identities))
        if options.n:
            parts = Parts(options.n, options.dim, options.pool, name="parts")(x, train)
            part_logits = PartClassifier(identities, name="part_classifier")(parts)
        descriptor = jnp.concatenate([pooled, parts.reshape(x.shape[0], -1)], axis=1)
        normal = BatchNormNeck(name="descriptor_neck")(descriptor, train)
        return Outputs(pooled, embedding, logits, parts, part_logits, descriptor, normal)


def create(config: Config) -> Method:
    """Mutual-prediction learning as the config describes it.

    Raises:
        InputError: a config field has a value that does not exist.
    """
    require_choices(config, CHOICES)
    _check(config.mutual_prediction)
    network = Network(config)
    apply: Any = network.apply
    classifier = FeatureClassifier(
        config.data.identities, 512 if config.mutual_prediction.head == "mlp512" else 0
    )

    def init(key: jax.Array, batch: Batch) -> Variables:
        keys = jax.random.split(key, 3)
        outputs, variables = network.init_with_output(keys[0], images_of(batch), train=False)
        both = {
            name: classifier.init(one, _features(outputs.normal, config))["params"]
            for name, one in zip(MODALITIES, keys[1:], strict=True)
        }
        variables = {**variables, "params": {**variables["params"], "modality_classifiers": both}}
        return {**variables, "memory": both} if _has_memory(config) else variables

    def embed(
        variables: Variables, images: Float[Array, "n h w 3"], modality: str
    ) -> Float[Array, "n d"]:
        """The batch norm of z, or z, or the batch norm of the global feature."""
        weights = {name: variables[name] for name in ("params", "batch_stats")}
        outputs = apply(weights, {modality: images}, train=False)
        return {"bn_z": outputs.normal, "z": outputs.descriptor, "global": outputs.embedding}[
            config.mutual_prediction.embedding
        ]

    players = _players(_terms(apply, classifier.apply, config), config)
    return Method.single(init, players, embed, metric_warnings=_metric_warnings(config))


def _metric_warnings(config: Config) -> tuple[MetricWarning, ...]:
    epochs = judged_epochs(config)
    without = "train anew with --config.mutual_prediction.parts.triplet=False"
    remedy = without if config.mutual_prediction.parts.triplet else OTHER_RATE
    specific = identity_at_chance("model/specific", config, epochs, heads=2)
    return (
        identity_at_chance("model/identity", config, epochs),
        identity_at_chance("model/part_identity", config, epochs, remedy=remedy),
        *of_trained((config.mutual_prediction.alpha, specific)),
        *configured_triplet_at_margin("model/triplet", config),
        *configured_triplet_at_margin("model/part_triplet", config, without),
    )


def _players(terms: Terms, config: Config) -> tuple[Player, ...]:
    options = config.mutual_prediction
    whole = 1 + options.alpha + options.beta if options.normalize else 1.0
    per_part = options.parts.n if options.parts.reduce == "sum" else 1
    weights = {"identity": 1.0, "triplet": 1.0}
    if options.parts.n:
        weights["part_identity"] = per_part
        if options.parts.triplet:
            weights["part_triplet"] = per_part
    weights |= {"specific": options.alpha, "mutual": options.beta}
    weights = {name: weight / whole for name, weight in weights.items()}
    if options.form != "alternate":
        return (_player("model", lambda path: True, terms, weights, config),)
    mutual = {"mutual": weights.pop("mutual")}
    return (
        _player("model", lambda path: True, terms, weights, config),
        _player("mutual", lambda path: path.startswith(ENCODER), terms, mutual, config),
    )


def _player(
    name: str,
    owns: Callable[[str], bool],
    terms: Terms,
    weights: Mapping[str, float],
    config: Config,
) -> Player:
    """The player of the losses that have a weight."""

    def weighted(params, model_state, batch, key, epoch):
        values, accuracy, model_state = terms(params, model_state, batch)
        losses = {name: (weight, values[name]) for name, weight in weights.items()}
        metrics = {name: values[name] for name in weights} | {"accuracy": accuracy}
        return losses, (metrics, model_state)

    return Player.of_terms(name, owns, weighted, config.optimizer)


def _terms(apply: Any, classify: Any, config: Config) -> Terms:
    options, kind = config.mutual_prediction, config.triplet.kind

    def metric_loss(features: Array, identity: Array, modality: Array) -> Array:
        if kind == "hetero_center":
            return hetero_center_triplet(features, identity, modality, config.triplet.margin)
        return triplet(kind, features, identity, config.triplet.margin)

    def predict(weights: Any, normal: Array) -> Array:
        return classify({"params": weights}, _features(normal, config))

    def terms(params, model_state, batch):
        variables = {"params": params, "batch_stats": model_state["batch_stats"]}
        out, changed = apply(variables, images_of(batch), train=True, mutable=["batch_stats"])
        identity = jnp.repeat(batch["identity"], 2)
        modality = jnp.tile(jnp.arange(2), len(batch["identity"]))
        values = {
            "identity": cross_entropy(out.logits, identity),
            "triplet": metric_loss(out.pooled, identity, modality),
        }
        if options.parts.n:
            of_parts = jax.vmap(metric_loss, (1, None, None))(out.parts, identity, modality)
            values["part_identity"] = _part_cross_entropy(out.part_logits, identity)
            values["part_triplet"] = of_parts.mean()
        classifiers, averages = params["modality_classifiers"], None
        if _has_memory(config):
            # As in MPANet's code, the average already includes the classifiers of this step.
            averages = exponential_average(model_state["memory"], classifiers, options.ema_rate)
            changed = {**changed, "memory": averages}
        z: dict[str, Array] = dict(zip(MODALITIES, by_modality(out.normal), strict=True))
        features = options.parts.n + 1 if options.feature == "each" else 1
        rows = jnp.repeat(batch["identity"], features)
        values["specific"] = specific_ce(z, classifiers, rows, predict)
        values["mutual"] = FORMS[options.form](z, classifiers, averages, rows, predict)
        accuracy = (out.logits.argmax(1) == identity).mean()
        return values, accuracy, {**model_state, **changed}

    return terms


def _part_cross_entropy(
    logits: Float[Array, "m n identities"], identity: Int[Array, " m"]
) -> Float[Array, ""]:
    """The mean over parts of their cross-entropies."""
    _, parts, identities = logits.shape
    return cross_entropy(logits.reshape(-1, identities), jnp.repeat(identity, parts))


def _features(normal: Float[Array, "n d"], config: Config) -> list[Float[Array, "n _"]]:
    """The part of z's batch norm that W_V and W_I take: all, the global feature, or each one."""
    options = config.mutual_prediction
    parts, dim = options.parts.n, options.parts.dim
    starts = [normal.shape[1] - dim * number for number in range(parts, 0, -1)]
    features = jnp.split(normal, starts, axis=1)
    return {"concat": [normal], "global": features[:1], "each": features}[options.feature]


def _has_memory(config: Config) -> bool:
    """Whether averages of the modality classifiers are kept from step to step."""
    return config.mutual_prediction.form == "kl_ema"


def _check(options: Config) -> None:
    for field, value, least in (
        ("alpha", options.alpha, 0),
        ("beta", options.beta, 0),
        ("parts.n", options.parts.n, 0),
        ("parts.dim", options.parts.dim, 1),
    ):
        if value < least:
            raise InputError(
                f"config.mutual_prediction.{field}={value} is less than {least}; set it to {least} "
                "or more."
            )
    if not 0 < options.ema_rate <= 1:
        raise InputError(
            f"config.mutual_prediction.ema_rate={options.ema_rate} must be above 0 and at most 1."
        )

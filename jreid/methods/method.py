"""Method and Player: the interface of every paper to the training loop and the evaluator."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jreid.errors import InputError
from jreid.find import call, find_module
from jreid.hoisting import hoistable
from jreid.methods.attention import grad_cam_of

# A locked ml_collections.ConfigDict: a type checker cannot know its fields.
Config = Any

# `visible` and `infrared`, each float32 [N, H, W, 3], and `identity` int32 [N] for both: row i of
# both halves shows the same identity, a class number from 0. N = P identities x K images.
Batch = Mapping[str, jax.Array]

# Collections of arrays: `params` and the method's model state, which it keeps from step to step:
# `batch_stats` and, if it has one, a `memory` (see Method).
Variables = Mapping[str, Any]

Metrics = Mapping[str, jax.Array]
Loss = Callable[
    [Any, Variables, Batch, jax.Array, jax.Array], tuple[jax.Array, tuple[Metrics, Variables]]
]

MARKS = "perturbations"  # flax's collection of the arrays that `Module.perturb` marks

# Weight and value of each term of a loss, by name.
Losses = dict[str, tuple[float, Float[Array, ""]]]
LossTerms = Callable[
    [Any, Variables, Batch, jax.Array, jax.Array], tuple[Losses, tuple[Metrics, Variables]]
]


class Player(NamedTuple):
    """One optimization problem of a method.

    Attributes:
        name: names its optimizer state and its metrics.
        owns: whether the parameter at a path such as `backbone/conv1/kernel` is this player's.
        loss: `(params, model_state, batch, key, epoch)` to `loss, (metrics, model_state)`;
            `params` are those of the whole method, `epoch` is a float32 scalar with its fraction.
        optimizer: the block of the config that describes its optimizer.
        terms: as `loss`, but returns the terms that `loss` adds up, each with its weight; None if
            the player does not tell them. `experiments.gradients` measures their gradients.
    """

    name: str
    owns: Callable[[str], bool]
    loss: Loss
    optimizer: Config
    terms: LossTerms | None = None

    @classmethod
    def of_terms(
        cls, name: str, owns: Callable[[str], bool], terms: LossTerms, optimizer: Config
    ) -> "Player":
        """A player whose loss is the weighted sum of terms."""

        def loss(*given: Any) -> tuple[jax.Array, tuple[Metrics, Variables]]:
            losses, rest = terms(*given)
            return weighted_sum(losses), rest

        return cls(name, owns, loss, optimizer, terms)


class Phase(NamedTuple):
    """A part of training with its own players.

    Attributes:
        name: printed when it begins.
        players: updated in this order within a step. Players with the same name in several phases
            are one player that changes its loss: they share parameters and optimizer.
        end_epoch: the epoch, counted from 0, before which the phase ends; the last phase has no
            end.
        restarted: names of players whose optimizers forget the phases before: those of which some
            parameters had no gradient there. Adam's correction of its bias is used up by then, and
            would make their first steps up to 16 times as long.
    """

    name: str
    players: tuple[Player, ...]
    end_epoch: float = math.inf
    restarted: tuple[str, ...] = ()


class MetricWarning(NamedTuple):
    """A warning about values of a metric.

    `jreid.methods.stuck` makes those of a training that is stuck.

    Attributes:
        pattern: of metrics' names, such as `*_discriminator/loss`.
        when: whether to warn about a value. The value is the mean of the steps since the last log;
            with `epochs`, an array of the values at all steps of an epoch, `[steps]` float64.
        message: what the value means and what to do.
        epochs: the epochs to judge, counted from 0. Each is judged as a whole, and a run warns
            once, and once more after it is resumed. None to judge each mean that is logged.
    """

    pattern: str
    when: Callable[[Any], bool]
    message: str
    epochs: range | None = None


class Method(NamedTuple):
    """A paper as pure functions.

    A method may have a memory, such as averages of parameters or centers of identities: a
    collection named `memory`, of arrays in any structure, that `init` returns beside `params`.
    Losses get it in their model state and return its new value after the step, in the same
    structure. No optimizer updates it. It is saved, restored and resumed like everything else, and
    `embed` gets it in its variables.

    Attributes:
        init: key and Batch to the initial variables.
        phases: in order; each begins where the one before it ends. Each phase compiles its step
            once.
        embed: `(variables, images [N, H, W, 3], modality)` to embeddings `[N, D]` float32, not
            normalized. The stem depends on the image's modality, not on whether it is a query.
        pictures: name to a function `(variables, images [N, H, W, 3], modality)` that returns
            pictures as pixels `[N, h, w, 3]` in 0..1; it raises InputError if the config or the
            modality has none.
        torch_layout: how the published PyTorch checkpoint names the method's variables, if there
            is one.
        metric_warnings: warnings about values in the log.
    """

    init: Callable[[jax.Array, Batch], Variables]
    phases: tuple[Phase, ...]
    embed: Callable[[Variables, Float[Array, "n h w 3"], str], Float[Array, "n d"]]
    pictures: Mapping[str, Callable[..., Any]] = {}
    torch_layout: Any = None
    metric_warnings: tuple[MetricWarning, ...] = ()

    @classmethod
    def single(cls, init: Any, players: tuple[Player, ...], *rest: Any, **options: Any) -> "Method":
        """A method with one phase and these players; the rest as in `Method`."""
        return cls(init, (Phase("main", players),), *rest, **options)

    @property
    def players(self) -> tuple[Player, ...]:
        """The players of the last phase."""
        return self.phases[-1].players

    def phase_at(self, epoch: int) -> Phase:
        """The phase that an epoch is in."""
        return next(phase for phase in self.phases if epoch < phase.end_epoch)

    @property
    def players_by_name(self) -> dict[str, Player]:
        """Every player by name, as it is in its last phase."""
        return {player.name: player for phase in self.phases for player in phase.players}


class Terms(NamedTuple):
    """What a method with one network computes from its outputs and a batch.

    Attributes:
        losses: weight and value of each, by name.
        logits: of identities; their accuracy is a metric.
        identity: class numbers of the logits' rows.
        metrics: further metrics, by name.
    """

    losses: Losses
    logits: Float[Array, "m identities"]
    identity: Int[Array, " m"]
    metrics: Mapping[str, Float[Array, ""]] = {}


def single_network(
    network: nn.Module,
    terms: Callable[[Any, Batch], Terms],
    embedding: Callable[[Any], Float[Array, "n d"]],
    config: Config,
    pictures: Mapping[str, Callable[..., Any]] | None = None,
    torch_layout: Any = None,
    train_call: str = "__call__",
    train_options: Callable[[Float[Array, ""]], Mapping[str, Any]] = lambda epoch: {},
    metric_warnings: tuple[MetricWarning, ...] = (),
    distillation: Collection[str] = (),
) -> Method:
    """A method with one network, which one player trains with a weighted sum of losses.

    Args:
        network: takes images `[N, H, W, 3]` of one or both modalities, by modality, and `train`.
        terms: computes the losses from the network's outputs and the batch.
        embedding: takes the embeddings of images from the network's outputs.
        config: the method's config.
        pictures: as in `Method`.
        torch_layout: as in `Method`.
        train_call: the network's function for training, if it is not `__call__`.
        train_options: from the epoch to further arguments of that function.
        metric_warnings: as in `Method`.
        distillation: names of losses, whose share of the gradient at the features that the network
            marks by `self.perturb("features", x)` is the metric `distillation_share`.
    """
    apply: Any = network.apply

    def init(key: jax.Array, batch: Batch) -> Variables:
        kept = nn.DenyList(("intermediates", MARKS))
        return network.init(key, images_of(batch), train=False, method=train_call, mutable=kept)

    def embed(
        variables: Variables, images: Float[Array, "n h w 3"], modality: str
    ) -> Float[Array, "n d"]:
        return embedding(apply(variables, {modality: images}, train=False))

    def player_terms(params, model_state, batch, key, epoch):
        def run(marks: Any = None, mutable: Sequence[str] = ()) -> tuple[Terms, Variables]:
            outputs, changed = apply(
                {"params": params, **model_state, **(marks or {})},
                images_of(batch),
                train=True,
                mutable=[*model_state, *mutable],
                rngs={"dropout": key},
                method=train_call,
                **train_options(epoch),
            )
            return terms(outputs, batch), changed

        (found, changed), shares = _with_share(run, distillation) if distillation else (run(), {})
        metrics = {name: value for name, (_, value) in found.losses.items()}
        metrics |= {**found.metrics, **shares}
        metrics["accuracy"] = (found.logits.argmax(1) == found.identity).mean()
        return found.losses, (metrics, changed)

    player = Player.of_terms("model", lambda path: True, player_terms, config.optimizer)
    return Method.single(init, (player,), embed, pictures or {}, torch_layout, metric_warnings)


def _with_share(run: Callable[..., tuple[Terms, Variables]], names: Collection[str]) -> Any:
    """What `run` returns, and the metric `distillation_share` of the losses with these names.

    The share is |d| / (|d| + |r|) with the gradients d of these losses and r of all others with
    respect to the marked features. The features are near the losses, so it costs little.
    """
    shapes = jax.eval_shape(lambda: run(mutable=[MARKS])[1]).get(MARKS)
    if not shapes:
        raise InputError(
            "a method with distillation needs a network that marks its pooled features by "
            '`x = self.perturb("features", x)`; add it, or leave distillation out.'
        )
    zeros = jax.tree.map(lambda mark: jnp.zeros(mark.shape, mark.dtype), shapes)

    def sums(marks: Any) -> tuple[tuple[jax.Array, jax.Array], tuple[Terms, Variables]]:
        found, changed = run({MARKS: marks})
        distilled = {name: loss for name, loss in found.losses.items() if name in names}
        others = {name: loss for name, loss in found.losses.items() if name not in names}
        return (weighted_sum(distilled), weighted_sum(others)), (found, changed)

    (distilled, others), gradients_of, result = jax.vjp(sums, zeros, has_aux=True)
    one, none = jnp.ones_like(distilled), jnp.zeros_like(others)
    distilled = optax.tree.norm(gradients_of((one, none)))
    others = optax.tree.norm(gradients_of((none, one)))
    share = distilled / jnp.maximum(distilled + others, jnp.finfo(jnp.float32).tiny)
    return result, {"distillation_share": share}


def weighted_sum(losses: Losses) -> Float[Array, ""]:
    """The sum of the losses' values, each times its weight."""
    weighted = (hoistable(weight) * value for weight, value in losses.values())
    return sum(weighted, start=jnp.zeros(()))


def require_weights(block: str, weights: Config) -> None:
    """Raises InputError if a weight of a loss in this block of the config is below 0."""
    for name, weight in weights.items():
        if weight < 0:
            raise InputError(
                f"{block}.{name}={weight} trains against this loss; set it to 0, to leave the loss "
                "out, or to more."
            )


def images_of(batch: Batch) -> Mapping[str, jax.Array]:
    """The images of a batch by modality."""
    return {"visible": batch["visible"], "infrared": batch["infrared"]}


def by_modality(rows: Float[Array, "m d"]) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    """The visible and the infrared rows of a batch; row 2i is visible, row 2i + 1 infrared."""
    pairs = rows.reshape(-1, 2, rows.shape[1])
    return pairs[:, 0], pairs[:, 1]


def load(config: Config) -> Method:
    """The method that `config.method` names: `create(config)` of the module of that name.

    A method without a picture `grad_cam` gets that of `jreid.methods.attention`.

    Raises:
        InputError: no method has this name (the message suggests the nearest), or a module outside
            of jreid cannot be imported or has no such function.
    """
    create = find_module("config.method", config.method, "jreid.methods", "create").create
    method = call(f"create of {config.method}", create, Method, config)
    pictures = {"grad_cam": grad_cam_of(method.embed), **method.pictures}
    return method._replace(pictures=pictures)

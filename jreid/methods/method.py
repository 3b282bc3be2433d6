"""Method and Player: what a paper gives to the one training loop and the one evaluator."""

import difflib
import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from jreid.errors import InputError

# A locked ml_collections.ConfigDict, whose fields a type checker cannot know.
Config = Any

# `visible` and `infrared`, each float32 [N, H, W, 3], and `identity` int32 [N] for both: row i of
# the two halves shows the same identity, a class number from 0. N = P identities x K images.
Batch = Mapping[str, jax.Array]

# Collections of arrays: `params` and, beside it, whatever else the method keeps from step to step,
# which is its model state: `batch_stats` and, where it has any, a `memory` (see Method).
Variables = Mapping[str, Any]

Metrics = Mapping[str, jax.Array]
Loss = Callable[
    [Any, Variables, Batch, jax.Array, jax.Array], tuple[jax.Array, tuple[Metrics, Variables]]
]


class Player(NamedTuple):
    """One optimisation problem of a method.

    Attributes:
        name: names its optimiser state and its metrics.
        owns: whether the parameter at a path such as `backbone/conv1/kernel` is this player's.
        loss: `(params, model_state, batch, rng, progress)` to `loss, (metrics, model_state)`;
            `params` are all of the method's, `progress` is the epoch as a float32 scalar.
        optimizer: the block of the config that describes its optimiser.
    """

    name: str
    owns: Callable[[str], bool]
    loss: Loss
    optimizer: Config


class Phase(NamedTuple):
    """A part of training with players of its own.

    Attributes:
        name: told when it begins.
        players: updated in this order within a step. Players of one name in several phases are
            one player that changes its loss: they share parameters and optimiser.
        until: the epoch that it ends before, counted from 0; the last one never ends.
    """

    name: str
    players: tuple[Player, ...]
    until: float = math.inf


class Alarm(NamedTuple):
    """A number of training that should not be as it is, which is then told.

    Attributes:
        metric: a pattern of metrics' names, such as `*_discriminator/loss`.
        rings: whether a value of it, the mean of the steps since the last, is amiss.
        told: what that means and what to do.
    """

    metric: str
    rings: Callable[[float], bool]
    told: str


class Method(NamedTuple):
    """A paper as pure functions.

    A method may have a memory, such as averages of parameters or centres of identities: a
    collection named `memory`, of arrays in any structure, that `init` returns beside `params`.
    Losses get it in their model state and return what it is after the step, in the same structure;
    no optimiser sees it. It is saved, restored and resumed like everything else, and `embed` gets
    it in its variables.

    Attributes:
        init: key and Batch to the initial variables.
        players: updated in this order within a step; of the last phase, where there are several.
        embed: `(variables, images [N, H, W, 3], modality)` to embeddings `[N, D]` float32, not
            normalised. The stem follows the image's modality, never its role.
        pictures: name to a function `(variables, images [N, H, W, 3], modality)` that makes pixels
            `[N, h, w, 3]` in 0..1 of them, to look at; it raises InputError where the config or
            the modality has none.
        torch_layout: how the published PyTorch checkpoint names the method's variables, if there
            is one.
        warm_ups: the phases before the last, if any, in order; each begins where the one before
            it ends. A step is compiled once a phase.
        alarms: numbers to watch.
    """

    init: Callable[[jax.Array, Batch], Variables]
    players: tuple[Player, ...]
    embed: Callable[[Variables, Float[Array, "n h w 3"], str], Float[Array, "n d"]]
    pictures: Mapping[str, Callable[..., Any]] = {}
    torch_layout: Any = None
    warm_ups: tuple[Phase, ...] = ()
    alarms: tuple[Alarm, ...] = ()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """All phases in order."""
        return (*self.warm_ups, Phase("main", self.players))

    def phase_at(self, epoch: int) -> Phase:
        """The phase that an epoch is in."""
        return next(phase for phase in self.phases if epoch < phase.until)

    @property
    def cast(self) -> dict[str, Player]:
        """Every player by name, as it is in its last phase."""
        return {player.name: player for phase in self.phases for player in phase.players}


def load(config: Config) -> Method:
    """The method that `config.method` names: `create(config)` of the module of that name.

    Raises:
        InputError: no method has this name; the message names the nearest.
    """
    files = Path(__file__).parent.glob("*.py")
    require_choice("method", config.method, {file.stem for file in files} - {"__init__", "method"})
    return importlib.import_module(f"{__package__}.{config.method}").create(config)


def require_choice(field: str, value: str, choices: Iterable[str]) -> None:
    """Raises InputError, naming the nearest choice, unless the config field has one of them."""
    choices = sorted(choices)
    if value not in choices:
        nearest = difflib.get_close_matches(value, choices, n=1, cutoff=0.0)[0]
        raise InputError(
            f"config.{field}={value} does not exist, did you mean {nearest}? There are: "
            f"{', '.join(choices)}."
        )

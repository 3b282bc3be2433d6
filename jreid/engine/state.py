"""TrainState: everything that a run saves."""

from collections.abc import Iterable, Mapping
from typing import Any

import flax.struct
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from jreid.methods import Method, Player, Variables


@flax.struct.dataclass
class TrainState:
    """Everything that changes in training. Random keys are folded from (seed, step), not stored.

    Attributes:
        step: int32 scalar, the number of steps taken.
        params: every parameter of the method.
        model_state: its other variables: batch statistics, and the memories of some methods.
        opt_state: optimizer state by player.
    """

    step: Any
    params: Any
    model_state: Any
    opt_state: Any

    @property
    def variables(self) -> Variables:
        """The variables that the method's `embed` takes."""
        return {"params": self.params, **self.model_state}


def create(
    variables: Variables,
    players: Iterable[Player],
    optimizers: Mapping[str, optax.GradientTransformationExtraArgs],
) -> TrainState:
    """The state before the first step."""
    params = variables["params"]
    opt_state = {
        player.name: optimizers[player.name].init(owned(params, player)) for player in players
    }
    model_state = {name: value for name, value in variables.items() if name != "params"}
    return TrainState(jnp.zeros((), jnp.int32), params, model_state, opt_state)


def owned(params: Any, player: Player) -> dict[str, Any]:
    """The player's parameters by path, such as `backbone/conv1/kernel`."""
    flat: dict[str, Any] = flatten_dict(params, sep="/")
    return {path: value for path, value in flat.items() if player.owns(path)}


def merged(params: Any, changed: dict[str, Any]) -> Any:
    """The parameters, updated by those in `changed`."""
    return unflatten_dict(flatten_dict(params, sep="/") | changed, sep="/")


def check_owners(params: Any, method: Method) -> None:
    """Raises ValueError unless every parameter has an owner, and owners are equal in all phases.

    A parameter may have several owners, each with its own optimizer. A phase restarts players of
    its own only.
    """
    for phase in method.phases:
        for name in {*phase.restarted} - {player.name for player in phase.players}:
            raise ValueError(f"phase {phase.name} restarts {name}, which is none of its players")
    players = [player for phase in method.phases for player in phase.players]
    for path in flatten_dict(params, sep="/"):
        owners = {player.name for player in players if player.owns(path)}
        if not owners:
            raise ValueError(f"parameter {path} is owned by none of the players")
        for player in players:
            if player.name in owners and not player.owns(path):
                raise ValueError(f"{player.name} owns parameter {path} in some of its phases only")

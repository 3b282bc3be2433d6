"""Optimizers and learning-rate schedules that behave as PyTorch's, from a config block."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from jreid.errors import InputError
from jreid.find import require_name
from jreid.hoisting import hoistable
from jreid.methods import Config

KINDS = ("sgd", "adam")
MILESTONES = 8  # the array of them has a multiple of this length
# The epoch of a step, as a number with a fraction.
Epochs = Callable[[Int[Array, ""]], Float[Array, ""]]


def schedule(options: Config) -> Callable[[Float[Array, ""]], Float[Array, ""]]:
    """A function from the epoch to the rate: linear warm-up by whole epochs, then milestones.

    With `warmup_epochs` W it is (e + 1) / W of the base rate in epoch e < W, as the staircase of
    the released AGW code; or, if a `warmup_initial` s is given, s + (1 - s) e / W, as in the
    released codes of MPANet and PFINet. If W is 0 there is no warm-up, with either. From each
    milestone on it is multiplied by `lr_decay`.
    """
    start = options.warmup_initial if options.warmup_epochs else 1.0
    numbers = (options.learning_rate, start, 1 - start, 0 if start else 1)
    numbers += (max(options.warmup_epochs, 1), options.lr_decay)
    # Epochs that never come: schedules with fewer and more milestones share what is compiled.
    never = [np.inf] * (MILESTONES - len(options.milestones) % MILESTONES)
    # An array, so that runs of other rates share what is compiled.
    return partial(_rate, hoistable(np.array([*numbers, *options.milestones, *never], float)))


def _rate(numbers: Float[Array, " n"], epoch: Float[Array, ""]) -> Float[Array, ""]:
    base, start, rise, first, warmup_epochs, lr_decay = numbers[:6]
    whole = jnp.floor(epoch)
    warmup = jnp.minimum(1.0, start + rise * ((whole + first) / warmup_epochs))
    return base * warmup * lax.pow(lr_decay, (whole >= numbers[6:]).sum())


def build(options: Config) -> optax.GradientTransformationExtraArgs:
    """The optimizer of a config block, for a flat dict of parameters by path.

    Weight decay is coupled: added to the gradient before momentum or Adam's moments, for every
    parameter, as `torch.optim.SGD` and `Adam` do. `lr_multipliers` multiplies the rate of
    parameters with a path that matches a pattern; the first match counts. `update` takes the
    keyword `rate`, the learning rate, since the number of a player's updates does not give it.

    Raises:
        InputError: there is no such kind of optimizer, or a pattern cannot be read.
    """
    require_name("optimizer.kind", options.kind, KINDS)
    if options.kind == "sgd":
        core = optax.trace(hoistable(options.momentum), nesterov=options.nesterov)
    else:
        core = optax.scale_by_adam(*options.betas)
    patterns = [(one, hoistable(factor)) for one, factor in _compile(options.lr_multipliers)]
    return optax.chain(
        optax.add_decayed_weights(hoistable(options.weight_decay)),
        core,
        _scale_by_path(patterns),
        _SCALE_BY_LEARNING_RATE,
    )


def unmatched(options: Config, paths: Iterable[str]) -> list[str]:
    """The patterns of `lr_multipliers` that match none of the parameters' paths."""
    patterns, paths = [pattern for pattern, _ in _compile(options.lr_multipliers)], [*paths]
    return [one.pattern for one in patterns if not any(map(one.fullmatch, paths))]


def _compile(lr_multipliers: Any) -> list[tuple[re.Pattern[str], float]]:
    try:
        return [(re.compile(pattern), float(scale)) for pattern, scale in lr_multipliers]
    except (re.error, TypeError, ValueError) as error:
        raise InputError(
            f"the config's optimizer.lr_multipliers={lr_multipliers} is not a tuple of (pattern, "
            f"factor): {error}."
        ) from error


def _scale_by_path(patterns: list[tuple[re.Pattern[str], Array]]) -> optax.GradientTransformation:
    def scaled(path: str, value: Array) -> Array:
        factor = next((factor for pattern, factor in patterns if pattern.fullmatch(path)), None)
        return value if factor is None else factor * value

    def update(updates: Any, _: Any) -> Any:
        return {path: scaled(path, value) for path, value in updates.items()}

    return optax.stateless(update)


def _descend(updates: Any, state: Any, params: Any = None, **given: Any) -> Any:
    return {path: -given["rate"] * value for path, value in updates.items()}, state


_SCALE_BY_LEARNING_RATE = optax.GradientTransformationExtraArgs(
    lambda params: optax.EmptyState(), _descend
)

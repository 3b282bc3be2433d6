"""The compiled functions: one training step and one embedding function for every method."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jreid.distributed.mesh import replicated, split
from jreid.engine.optimizers import Epochs, schedule
from jreid.engine.state import TrainState, merged, owned
from jreid.hoisting import Hoisted, hoistable
from jreid.methods import Batch, Method, Metrics, Phase, Player, Variables

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
Embed = Callable[[Variables, jax.Array, str], jax.Array]

# Options of XLA that differ from its defaults, by platform. CPUs: no convolutions by YNNPACK, which
# take 1.5 times as long as XLA's own. GPUs: no matrix products by Triton, since XLA autotunes their
# tiles: without autotuning PFANet's steps do not compile, and docs/benchmarks.md gives its cost.
YNNPACK_DOES = ("LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT", "LIBRARY_FUSION_TYPE_REDUCE")
COMPILER_OPTIONS = {
    "cpu": {"xla_cpu_experimental_ynn_fusion_type": ",".join(YNNPACK_DOES)},
    "gpu": {"xla_gpu_enable_triton_gemm": False},
}


def make_train_step(
    method: Method,
    optimizers: Mapping[str, optax.GradientTransformationExtraArgs],
    epochs: Epochs,
    seed: int,
    mesh: Mesh,
    phase: Phase | None = None,
) -> Hoisted:
    """The step `(state, batch) -> state, metrics`, compiled once; the old state is donated.

    The compiled code, which is cached between commands, serves runs with another seed, other
    epochs, other learning rates, weights of losses, and other numbers that are `hoistable`.

    Each player of the phase (the method's last, if none is given) in turn computes the gradient of
    its loss with respect to its own parameters and updates them. The batch is split over the mesh's
    devices; statistics and losses are over the whole batch.
    """
    phase = phase or method.phases[-1]
    players = phase.players
    begins = _beginning(method, phase, epochs) if phase.restarted else None
    rates = [schedule(player.optimizer) for player in players]
    seed_number = hoistable(np.uint32(seed % 2**32))

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(jax.random.key(seed_number), state.step)
        epoch = epochs(state.step)
        params, model_state, opt_state = state.params, state.model_state, dict(state.opt_state)
        metrics: dict[str, jax.Array] = {}
        for number, player in enumerate(players):
            key = jax.random.fold_in(step_key, number)
            value, aux, model_state, gradients = gradients_of(
                player, params, model_state, batch, key, epoch
            )
            own = owned(params, player)
            if begins and player.name in phase.restarted:
                new = optimizers[player.name].init(own)
                begun = partial(jnp.where, begins(state.step))
                opt_state[player.name] = jax.tree.map(begun, new, opt_state[player.name])
            update: Any = optimizers[player.name].update
            updates, opt_state[player.name] = update(
                gradients, opt_state[player.name], own, rate=rates[number](epoch)
            )
            params = merged(params, {path: own[path] + updates[path] for path in own})
            aux = {"loss": value, **aux, "gradient_norm": optax.tree.norm(gradients)}
            metrics |= {f"{player.name}/{name}": aux[name] for name in aux}
        state = TrainState(state.step + 1, params, model_state, opt_state)
        return state, metrics

    everywhere = replicated(mesh)
    return Hoisted(
        step,
        constants_sharding=everywhere,
        in_shardings=(everywhere, split(mesh)),
        donate=0,
        out_shardings=(everywhere, everywhere),
        compiler_options=COMPILER_OPTIONS.get(mesh.devices.flat[0].platform),
    )


def _beginning(method: Method, phase: Phase, epochs: Epochs) -> Callable[[jax.Array], jax.Array]:
    """A function from a step to whether it is the first one of a phase."""
    before = [one.end_epoch for one in method.phases[: method.phases.index(phase)]]
    start = hoistable(max(before, default=0.0))

    def begins(step: jax.Array) -> jax.Array:
        return (epochs(step) >= start) & ((step == 0) | (epochs(step - 1) < start))

    return begins


def gradients_of(
    player: Player,
    params: Any,
    model_state: Variables,
    batch: Batch,
    key: jax.Array,
    epoch: jax.Array,
) -> tuple[jax.Array, Metrics, Variables, Any]:
    """The player's loss, its metrics, the new model state, and its gradient by path."""

    def loss(own: dict[str, Any]) -> tuple[jax.Array, tuple[Metrics, Variables]]:
        return player.loss(merged(params, own), model_state, batch, key, epoch)

    gradient = jax.value_and_grad(loss, has_aux=True)
    (value, (aux, model_state)), gradients = gradient(owned(params, player))
    return value, aux, model_state, gradients


def make_embed(method: Method, mesh: Mesh, flip: bool = False) -> Embed:
    """The function `(variables, images [N, H, W, 3], modality) -> [N, D]`.

    As `embed_of`, compiled once for each modality.
    """
    return jax.jit(
        embed_of(method, flip),
        static_argnums=2,
        in_shardings=(replicated(mesh), split(mesh)),
        out_shardings=replicated(mesh),
        compiler_options=COMPILER_OPTIONS.get(mesh.devices.flat[0].platform),
    )


def embed_of(method: Method, flip: bool) -> Embed:
    """The method's `embed`, in float32; with `flip` the sum for an image and its mirror image."""

    def embed(variables: Variables, images: jax.Array, modality: str) -> jax.Array:
        return method.embed(variables, images, modality).astype(jnp.float32)

    def embed_both(variables: Variables, images: jax.Array, modality: str) -> jax.Array:
        both = (images, jnp.flip(images, axis=2))
        features, mirrored = (embed(variables, one, modality) for one in both)
        return features + mirrored

    return embed_both if flip else embed


def first_not_finite(state: TrainState) -> str | None:
    """The path of the first array of the state with a NaN or an infinity, if any."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    finite = _finite([leaf for _, leaf in leaves])
    for (path, _), good in zip(leaves, jax.device_get(finite), strict=True):
        if not good:
            return jax.tree_util.keystr(path, simple=True, separator="/")
    return None


@jax.jit
def _finite(leaves: list[jax.Array]) -> list[jax.Array]:
    return [jnp.isfinite(leaf).all() for leaf in leaves]

"""Bytes that a training step needs on each device. Nothing is trained.

python -m experiments.benchmarks.memory
python -m experiments.benchmarks.memory agw:sysu_mm01,batch.identities=16
JAX_NUM_CPU_DEVICES=8 python -m experiments.benchmarks.memory agw:sysu_mm01
JAX_PLATFORMS=cpu python -m experiments.benchmarks.memory --devices=8xH100 agw:sysu_mm01

Without a config: every method on SYSU-MM01, in float32, in bfloat16, and with the residual blocks
recomputed in the backward pass.

There are two numbers. JAX's is for all devices together: the arrays that the forward pass keeps for
the backward pass, of the player that keeps most, in the program before it is compiled. XLA's is for
one device: all that the compiled step needs, with its arguments. XLA compiles for the devices of
this machine, or for GPUs or TPUs that it does not have (`experiments/benchmarks/aot_mesh.py`). For
a CPU, XLA undoes the recomputation. Neither number has the workspace of convolutions on CPUs and
GPUs.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from experiments.benchmarks import aot_mesh
from experiments.benchmarks.training import load_config
from jreid.config_file import shipped_configs
from jreid.distributed.mesh import make_mesh, replicated, split
from jreid.engine.model import Model
from jreid.engine.state import merged, owned
from jreid.engine.step_cost import batch_shapes, memory_of, trace_step
from jreid.methods import Player
from jreid.process import configure

FORMS = ("", ",dtype=bfloat16", ",backbone.rematerialize=True")
# XLA assigns memory before it generates code. The code is not run, so it is not optimized.
QUICKLY = {"xla_backend_optimization_level": 0}


class Memory(NamedTuple):
    """Bytes of a method's last phase.

    Attributes:
        state: parameters, statistics and optimizer state, of which every device has a copy.
        kept: from the forward pass for the backward pass, over all devices.
        step: all that the step needs on a device, with the state and its part of the batch.
    """

    state: int
    kept: int
    step: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each config."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("configs", nargs="*", help="configs, each with fields after commas")
    parser.add_argument(
        "--devices",
        help="devices that may be absent, such as 8xH100 or v5e:2x4",
    )
    options = parser.parse_args(arguments)
    mesh = aot_mesh.make_mesh(options.devices) if options.devices else make_mesh()
    every = [f"{method}:sysu_mm01{form}" for method in shipped_configs() for form in FORMS]
    devices = f"{mesh.size} x {mesh.devices.flat[0].device_kind}"
    for source in options.configs or every:
        config = load_config(source)
        state, kept, step = (size / 1e9 for size in account(config, mesh))
        print(
            f"{source}: {2 * config.batch.identities * config.batch.images} images, "
            f"state {state:.2f} GB, kept for the backward pass {kept:.2f} GB, "
            f"a step {step:.2f} GB on each of {devices}",
            flush=True,
        )


def account(config: Any, mesh: Mesh) -> Memory:
    """The memory that training a config needs on a mesh.

    Raises:
        InputError: the config cannot be built.
    """
    model = Model(config, mesh)
    batch, state = _on(split(mesh), batch_shapes(config)), _on(replicated(mesh), model.shapes())
    traced, _ = trace_step(model, state, batch)
    compiled = traced.lower().compile(compiler_options=QUICKLY)
    kept = max(_kept(player, state, batch) for player in model.method.players)
    return Memory(_bytes(state), kept, memory_of(compiled))


def _kept(player: Player, state: Any, batch: Any) -> int:
    """Bytes that the forward pass keeps for the backward pass of a player's loss."""

    def backward(own: Any, params: Any, model_state: Any, batch: Any) -> Any:
        def loss(own: Any) -> jax.Array:
            key, epoch = jax.random.key(0), jnp.zeros(())
            return player.loss(merged(params, own), model_state, batch, key, epoch)[0]

        return jax.vjp(loss, own)[1]

    own = owned(state.params, player)
    return _bytes(jax.eval_shape(backward, own, state.params, state.model_state, batch))


def _on(sharding: Any, tree: Any) -> Any:
    def placed(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(placed, tree)


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


if __name__ == "__main__":
    configure(compilation_cache=False)
    main()

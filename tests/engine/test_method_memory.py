"""A memory that a method owns is trained with, saved, restored and resumed like the rest."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jreid.distributed.mesh import make_mesh, replicated, split
from jreid.engine import optimizers
from jreid.engine.state import create
from jreid.engine.step import make_train_step
from jreid.methods import Method, Player
from jreid.runs.checkpoints import Checkpoints

OPTIMIZER = ConfigDict(
    {
        "kind": "sgd",
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "momentum": 0.9,
        "nesterov": True,
        "warmup_epochs": 0,
        "warmup_initial": 0.0,
        "milestones": (),
        "lr_decay": 0.1,
        "lr_multipliers": (),
    }
)
START: Any = {
    "params": {"w": jnp.array([1.0, 2.0])},
    "memory": {"seen": jnp.zeros((), jnp.int32), "center": {"of_all": jnp.zeros(2)}},
}


def pull_to_center(params, model_state, batch, rng, progress):
    """The center follows the batches, and w follows the center."""
    memory = model_state["memory"]
    center = 0.5 * memory["center"]["of_all"] + 0.5 * batch["visible"].mean((0, 1, 2))
    after = {"seen": memory["seen"] + 1, "center": {"of_all": center}}
    loss = ((params["w"] - center) ** 2).sum()
    return loss, ({"distance": loss}, {"memory": after})


METHOD: Any = Method.single(
    lambda rng, batch: START,
    (Player("model", lambda path: True, pull_to_center, OPTIMIZER),),
    lambda variables, images, modality: images.mean((1, 2)),
)
EVERYWHERE = replicated(make_mesh())
BUILT = {"model": optimizers.build(OPTIMIZER)}
STEP = make_train_step(METHOD, BUILT, lambda step: step / 2, 0, make_mesh())


def fresh() -> Any:
    return jax.device_get(create(START, METHOD.players, BUILT))


def train(state, numbers) -> Any:
    state = jax.device_put(state, EVERYWHERE)
    for number in numbers:
        images = np.full((4, 2, 2, 2), number + 1.0, np.float32)
        state, _ = STEP(state, jax.device_put({"visible": images}, split(make_mesh())))
    return jax.device_get(state)


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_losses_read_and_write_the_memory():
    state = train(fresh(), [0, 1])
    assert state.model_state["memory"]["seen"] == 2
    np.testing.assert_allclose(state.model_state["memory"]["center"]["of_all"], [1.25, 1.25])
    assert {*state.variables} == {"params", "memory"}
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(state.opt_state)]
    assert [path[-1].key for path in paths] == ["w"]


def test_a_run_that_is_restored_goes_on_bit_for_bit(tmp_path):
    state = train(fresh(), [0, 1])
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(jax.device_put(state, EVERYWHERE))
    with Checkpoints(tmp_path / "c") as checkpoints:
        restored = jax.device_get(checkpoints.restore(2, fresh(), EVERYWHERE))
        variables = checkpoints.restore_variables(2, fresh(), EVERYWHERE)
    assert_equal(restored, state)
    assert_equal(jax.device_get(variables), state.variables)
    assert_equal(train(restored, [2, 3]), train(fresh(), range(4)))

"""PFANet: the counts of its networks, and whose turn changes what."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
from conftest import ROOT
from flax.traverse_util import flatten_dict
from jax.sharding import AxisType
from variables import filled

from jreid.config import load as load_config
from jreid.methods import Phase, load
from jreid.methods.pfanet import OWNED
from jreid.training import optimizers
from jreid.training.sharding import replicated, split
from jreid.training.state import check_owners, create
from jreid.training.step import make_train_step

CONFIG = f"{ROOT}/configs/pfanet.py"
PLAYERS = ("features", "generators", "visible_discriminator", "infrared_discriminator")
QUICK = {"xla_backend_optimization_level": 0}  # compiling takes most of the time
CERTAIN = ("pfanet.classifier.dropout=0.0",)


def config_of(*flags, data="tiny"):
    return load_config(f"{CONFIG}:{data}", [f"--config.{flag}" for flag in flags])


def batch_of(rows=8, size=(32, 16), seed=0) -> Any:
    images = np.random.default_rng(seed).uniform(-2, 2, size=(2, rows, *size, 3))
    visible, infrared = images.astype(np.float32)
    identity = np.repeat(np.arange(rows // 2), 2).astype(np.int32)
    return {"visible": visible, "infrared": infrared, "identity": identity}


def shapes(method, size=(32, 16)) -> Any:
    return jax.eval_shape(method.init, jax.random.key(0), batch_of(2, size))


@functools.cache
def start() -> Any:
    """Variables of the tiny networks."""
    return filled(shapes(load(config_of())))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameters_of_the_published_networks():
    params = shapes(load(config_of(data="sysu_mm01")), (128, 128))["params"]
    counts = {name: count(tree) for name, tree in params.items()}
    assert sum(counts[name] for name in OWNED["features"]) == 60_154_507
    assert counts["embedder"] + counts["classifier"] == 1_151_115
    assert counts["to_infrared"] == counts["to_visible"] == 6_053_504
    assert counts["infrared_discriminator"] == 11_810_816
    assert counts["visible_discriminator"] == 11_155_392
    plain = config_of("backbone.attention=none", "backbone.normalization=none", data="sysu_mm01")
    params = shapes(load(plain), (128, 128))["params"]
    assert sum(count(params[name]) for name in OWNED["features"]) == 24_659_147


def mesh_of(devices):
    return jax.make_mesh(
        (devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
    )


def step(method, options, devices, state, phase=None) -> Any:
    mesh = mesh_of(devices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "jit", functools.partial(jax.jit, compiler_options=QUICK))
        take = make_train_step(method, options, lambda step: 0.0 * step, 0, mesh, phase)
    state, told = take(
        jax.device_put(state, replicated(mesh)), jax.device_put(batch_of(), split(mesh))
    )
    return jax.device_get(state), {name: float(value) for name, value in told.items()}


@pytest.fixture(scope="module")
def turns():
    """The states before and after each player's turn alone, on four devices, and what it told."""
    method = load(config_of(*CERTAIN))
    options = {name: optimizers.build(one.optimizer) for name, one in method.cast.items()}
    states = [jax.device_get(create(start(), method.cast.values(), options))]
    told: dict[str, float] = {}
    for player in method.players:
        state, metrics = step(method, options, 4, states[-1], Phase("alone", (player,)))
        states.append(state)
        told |= metrics
    return method, options, states, told


def test_each_player_changes_its_own_alone(turns):
    method, _, states, _ = turns
    assert tuple(player.name for player in method.players) == PLAYERS
    check_owners(states[0].params, method)
    for player, before, after in zip(method.players, states, states[1:], strict=False):
        changed = jax.tree.map(lambda a, b: a.tobytes() != b.tobytes(), before.params, after.params)
        for path, differs in flatten_dict(changed, sep="/").items():
            if not player.owns(path):
                assert not differs, (player.name, path)
        moved = [differs for path, differs in flatten_dict(changed, sep="/").items()
                 if player.owns(path)]  # fmt: skip
        assert np.mean(moved) > 0.9, player.name
        for name in PLAYERS:
            same = jax.tree.map(
                lambda a, b: a.tobytes() == b.tobytes(),
                before.opt_state[name], after.opt_state[name],
            )  # fmt: skip
            assert all(jax.tree.leaves(same)) == (name != player.name)
        statistics = jax.tree.map(
            lambda a, b: (a != b).any(), before.model_state, after.model_state
        )
        assert any(jax.tree.leaves(statistics)) == (player.name == "features")

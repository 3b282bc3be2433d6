"""The one step on fake devices: as many as there are give what one gives."""

import functools
import json
import operator
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.batches import random_batch
from jax.sharding import AxisType
from ml_collections import ConfigDict

from jreid import config as configs
from jreid.distributed.mesh import check_divisible, make_mesh, replicated, split
from jreid.engine import optimizers
from jreid.engine.model import Model
from jreid.engine.state import create
from jreid.engine.step import first_not_finite, make_embed, make_train_step
from jreid.engine.step_cost import batch_shapes
from jreid.methods import load
from jreid.training.plan import epochs_of


def mesh_of(devices):
    return jax.make_mesh(
        (devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
    )


@functools.cache
def trained(config_json, devices):
    """Makes states: `(count) -> state, metrics of each step`; compiled once."""
    config = ConfigDict(json.loads(config_json))
    method = load(config)
    options = {"model": optimizers.build(config.optimizer)}
    mesh = mesh_of(devices)
    step: Any = make_train_step(method, options, epochs, 0, mesh)
    variables = jax.jit(method.init)(jax.random.key(0), random_batch(8, seed=0))

    def run(count):
        start = create(variables, method.players, options)
        state = jax.device_put(jax.device_get(start), replicated(mesh))  # its buffers are donated
        message = []
        for number in range(count):
            state, metrics = step(state, jax.device_put(random_batch(8, seed=number), split(mesh)))
            message.append({name: float(value) for name, value in metrics.items()})
            assert step.bind(state, random_batch(8, seed=0))[0]._cache_size() == 1
        return jax.device_get(state), message

    return run


def epochs(step):
    return step / 4


def steps(config, devices, count):
    """The state after `count` steps and the metrics of each."""
    return trained(json.dumps(config.to_dict()), devices)(count)


@pytest.fixture
def cautious(tiny_config):
    """A config of small steps: large ones from random weights amplify rounding tenfold each."""
    tiny_config.optimizer.learning_rate = 1e-3
    return tiny_config


def test_four_devices_take_the_steps_of_one(cautious):
    (_, one), (_, four) = (steps(cautious, devices, 3) for devices in (1, 4))
    for a, b in zip(one, four, strict=True):
        assert a == pytest.approx(b, rel=5e-3)


def lowered(config, seed, epochs):
    """The code of the steps of all phases, before XLA compiles it."""
    model = Model(config)
    arguments = model.shapes(), batch_shapes(config)
    options = model.method, model.optimizers, epochs, seed, mesh_of(1)
    steps = [make_train_step(*options, phase) for phase in model.method.phases]
    with jax.numpy_dtype_promotion("standard"):  # for Adam, see conftest.py
        return [step.lower(*arguments).as_text() for step in steps]


def test_seeds_schedules_and_numbers_of_epochs_share_what_is_compiled(tiny_config):
    def of_run(seed, rate, milestones, count):
        tiny_config.optimizer.update(learning_rate=rate, milestones=milestones)
        starts = np.arange(0, 4 * count + 1, 4)
        return lowered(
            tiny_config, seed, epochs_of(SimpleNamespace(starts=starts, steps=4 * count))
        )

    assert of_run(1, 0.1, (5,), 10) == of_run(2, 0.2, (6, 8), 20)


IDKL_WEIGHTS = ("confuser", "discriminator", "tgsa", "csa", "mdr_tgsa", "mdr_csa", "purifier")


# Numbers that the compiled step takes as arguments, by method.
NUMBERS = {
    "agw": ("triplet.margin", "optimizer.momentum", "optimizer.weight_decay"),
    "pfinet": ("pfinet.margin", "optimizer.weight_decay"),
    "mutual_prediction": ("triplet.margin", "mutual_prediction.alpha", "mutual_prediction.beta"),
    "base_derivative": (
        "base_derivative.multi_mode_margin",
        "base_derivative.multi_directional_margin",
        "base_derivative.loss_weights.identity",
        "base_derivative.loss_weights.multi_mode",
    ),
    "idkl": (
        "idkl.tgsa.temperature",
        "idkl.csa.temperature",
        "idkl.reversal.strength",
        "idkl.purifier.epsilon",
        *(f"idkl.weights.{name}" for name in IDKL_WEIGHTS),
    ),
    "pfanet": (
        "pfanet.triplet.margin",
        "pfanet.loss_weights.identity",
        "pfanet.loss_weights.cycle",
        "pfanet.loss_weights.fooling",
        "pfanet.discriminator.optimizer.momentum",
    ),
}
QUICK = ("agw", "pfinet")


@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NUMBERS],
)
def test_runs_with_other_numbers_in_their_losses_share_what_is_compiled(method):
    config = configs.load(f"{method}:tiny")
    values = [operator.attrgetter(field)(config) for field in NUMBERS[method]]
    flags = [f"--config.{name}={0.75 * x}" for name, x in zip(NUMBERS[method], values, strict=True)]
    changed = configs.load(f"{method}:tiny", flags)
    assert lowered(config, 0, epochs) == lowered(changed, 0, epochs)


@pytest.mark.slow
def test_runs_of_other_lengths_share_a_rising_reversal():
    flags = "--config.idkl.reversal.schedule=rising", "--config.epochs=3"
    other = configs.load("idkl:tiny", [*flags[:1], "--config.epochs=5"])
    assert lowered(configs.load("idkl:tiny", flags), 0, epochs) == lowered(other, 0, epochs)


@pytest.mark.slow
def test_four_devices_make_the_state_of_one(tiny_config):
    (one, _), (four, _) = (steps(tiny_config, devices, 1) for devices in (1, 4))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)


def test_a_step_changes_parameters_statistics_and_the_count(cautious):
    (before, _), (after, message) = (steps(cautious, 4, count) for count in (0, 1))
    assert (before.step, after.step) == (0, 1)
    for tree in ("params", "model_state"):
        changed = jax.tree.map(
            lambda a, b: bool((a != b).any()), getattr(before, tree), getattr(after, tree)
        )
        assert jax.tree.leaves(changed).count(True) > 0.8 * len(jax.tree.leaves(changed))
    assert {"model/loss", "model/identity", "model/triplet", "model/gradient_norm"} <= {*message[0]}


def test_embeddings_do_not_depend_on_the_batch_around_them(tiny_config):
    method = load(tiny_config)
    variables = jax.jit(method.init)(jax.random.key(0), random_batch(8, seed=0))
    embed = make_embed(method, mesh_of(4))
    images = jnp.asarray(random_batch(8, seed=1)["visible"])
    together = embed(variables, images, "visible")
    apart = jnp.concatenate([embed(variables, images[i : i + 4], "visible") for i in (0, 4)])
    np.testing.assert_allclose(together, apart, atol=1e-5)
    assert together.dtype == jnp.float32


def test_the_stem_follows_the_modality(tiny_config):
    method = load(tiny_config)
    variables = jax.jit(method.init)(jax.random.key(0), random_batch(8, seed=0))
    embed = make_embed(method, mesh_of(4))
    images = jnp.asarray(random_batch(8, seed=1)["visible"])
    assert not np.allclose(
        embed(variables, images, "visible"), embed(variables, images, "infrared")
    )


def test_the_first_bad_array_is_named(cautious):
    state, _ = steps(cautious, 4, 0)
    assert first_not_finite(state) is None
    bad = {"scale": np.full_like(state.params["neck"]["scale"], np.nan)}
    state = state.replace(params=state.params | {"neck": bad})
    assert first_not_finite(state) == "params/neck/scale"


def test_mirror_images_are_embedded_too(tiny_config):
    method = load(tiny_config)
    variables = jax.jit(method.init)(jax.random.key(0), random_batch(8, seed=0))
    images = jnp.asarray(random_batch(8, seed=1)["visible"])
    plain, both = (make_embed(method, mesh_of(1), flip) for flip in (False, True))
    apart = plain(variables, images, "visible") + plain(variables, images[:, :, ::-1], "visible")
    np.testing.assert_allclose(both(variables, images, "visible"), apart, rtol=1e-4, atol=1e-5)


def test_batches_that_devices_cannot_share_are_refused():
    mesh = make_mesh()
    check_divisible(8, "config.batch", mesh)
    with pytest.raises(ValueError, match=r"config\.batch gives 6 rows"):
        check_divisible(6, "config.batch", mesh)

"""What every method computes at the tiny scale: its parameters, three steps, its embeddings.

A change of the code that is not meant to change a number leaves all of this as it is. One that is
meant to writes the file anew, and the difference of the two files says what changed:

PYTHONPATH=.:tests python tests/test_pinned_numbers.py
"""

import functools
import importlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from helpers.xla_flags import OPTIMIZED

from jreid import config as configs
from jreid.datasets import MODALITIES
from jreid.engine.model import Model
from jreid.engine.step import COMPILER_OPTIONS, make_train_step

ROOT = Path(__file__).resolve().parent.parent
FILE = Path(__file__).with_suffix(".json")
CONFIGS = (
    "agw:tiny",
    "base_derivative:tiny",
    "idkl:tiny",
    "idkl:tiny,variant=code",
    "mutual_prediction:tiny",
    "pfanet:tiny",
    "pfinet:tiny",
)
STEPS = 3
SLOWLY = "optimizer.learning_rate=0.00001"
# Processors and releases of JAX sum in different orders, and each step magnifies that.
TOLERANCE = {"initial": 1e-5, "steps": 2e-3, "embeddings": 5e-2}


def load_config(name):
    """The config with the values that its numbers are from, where they are not the defaults."""
    flags = {
        # At their own rates three steps magnify rounding by more than the tolerances.
        "agw:tiny": (SLOWLY,),
        "idkl:tiny": (SLOWLY, "idkl.divergence.reduce=sum"),
        "mutual_prediction:tiny": (
            "mutual_prediction.parts.triplet=True",
            "mutual_prediction.parts.reduce=mean",
        ),
        "idkl:tiny,variant=code": (
            SLOWLY,
            "idkl.purifier.epsilon=0.0",
            "idkl.follow_batch=False",
        ),
        "pfanet:tiny": (
            "pfanet.loss_weights.identity_mapping=0.0",
            "pfanet.gan_identities=2",
            "pfanet.gan_images=0",
        ),
    }.get(name, ())
    file, _, argument = name.partition(":")
    flags = ("backbone.depth=18", *flags)
    return configs.load(f"{ROOT}/configs/{file}.py:{argument}", [f"--config.{f}" for f in flags])


def batches(config):
    """Images of uniform noise, and identities as a sampler gives them."""
    random = np.random.default_rng(0)
    people, images = config.batch.identities, config.batch.images
    shape = (people * images, *config.image.size, 3)
    for _ in range(STEPS):
        who = random.choice(config.data.identities, people, replace=False)
        visible, infrared = random.normal(size=(2, *shape)).astype(np.float32)
        identity = np.repeat(who, images).astype(np.int32)
        yield {"visible": visible, "infrared": infrared, "identity": identity}


def compute(name):
    """The initial variables, and by step and modality what the method gives, as arrays."""
    config = load_config(name)
    model = Model(config)
    initial = model.variables()
    state = model.state(initial)
    steps = {}
    # Each phase takes its steps after those of the phase before.
    for phase in model.method.phases:
        step = make_train_step(
            model.method, model.optimizers, lambda step: step / 4, config.seed, model.mesh, phase
        )
        for number, batch in enumerate(batches(config), 1):
            state, metrics = step(state, batch)
            steps[f"{phase.name} {number}"] = jax.device_get(metrics)
    images = next(batches(config))["visible"]
    embeddings = {
        modality: jax.device_get(model._embed(state.variables, jnp.asarray(images), modality))
        for modality in MODALITIES
    }
    return initial, steps, embeddings


def describe(name):
    """The same in numbers that a file can hold: an array is its shape and its length."""
    initial, steps, embeddings = compute(name)
    arrays = {path: np.asarray(array) for path, array in flatten_dict(initial, sep="/").items()}
    return {
        "shapes": {path: "x".join(map(str, arrays[path].shape)) for path in sorted(arrays)},
        "initial": {path: _length(arrays[path]) for path in sorted(arrays)},
        "steps": {
            f"{step} {name}": float(value)
            for step, metrics in steps.items()
            for name, value in sorted(metrics.items())
        },
        "embeddings": {
            f"{modality} {name}": float(value)
            for modality, array in embeddings.items()
            for name, value in {"length": _length(array), **dict(enumerate(array[0, :4]))}.items()
        },
    }


def _length(array):
    return float(np.linalg.norm(np.asarray(array, np.float64)))


@pytest.mark.slow  # each compiles for half a minute; `.ci/run` runs most of them
@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_is_the_pinned_one(name, monkeypatch):
    monkeypatch.setitem(COMPILER_OPTIONS, "cpu", COMPILER_OPTIONS["cpu"] | OPTIMIZED)
    monkeypatch.setattr(jax, "jit", functools.partial(jax.jit, compiler_options=OPTIMIZED))
    pinned, found = json.loads(FILE.read_text())[name], describe(name)
    assert found["shapes"] == pinned["shapes"]
    for part, tolerance in TOLERANCE.items():
        # A later version may report more metrics.
        same = {key: found[part][key] for key in pinned[part]}
        assert same == pytest.approx(pinned[part], rel=tolerance, abs=1e-6), part


if __name__ == "__main__":
    importlib.import_module("conftest")  # four devices, as in the tests
    FILE.write_text(json.dumps({name: describe(name) for name in CONFIGS}, indent=1) + "\n")

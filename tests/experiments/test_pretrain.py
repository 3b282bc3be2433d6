"""A backbone that learns to tell rendered people apart, and a method that starts from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import pretrain
from jreid import config as configs
from jreid.methods import load
from jreid.weights import sources
from jreid.weights.backbone import load_backbone


@pytest.mark.slow
def test_a_method_starts_from_the_backbone_of_rendered_people(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pretrain.main(["--config=agw:tiny", "--preset=tiny", "--steps=3"])
    assert "--config.weights=synthetic" in capsys.readouterr().out
    path = sources.locate("synthetic")
    config = configs.load("agw:tiny", ["--config.weights=synthetic"])
    assert config.weights == "synthetic"
    images = jnp.zeros((1, 32, 16, 3))
    batch = {"visible": images, "infrared": images, "identity": jnp.zeros(1, jnp.int32)}
    shapes = jax.eval_shape(load(config).init, jax.random.key(0), batch)
    loaded, kept = load_backbone(shapes, path)
    for modality in ("visible", "infrared"):
        kernel = loaded["params"]["backbone"][modality]["conv1"]["kernel"]
        assert kernel.shape == (7, 7, 3, 8) and np.ptp(kernel) > 0
    assert kept and all("non_local" in name for name in kept)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config=nowhere", "nowhere"),
        ("--steps=0", "--steps=0 trains nothing"),
        ("--output=tests", "does not end in .safetensors"),
    ],
)
def test_what_cannot_be_used_ends_it_with_one_sentence(flag, message, capsys):
    assert pretrain.main([flag]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_it_learns_people_who_wear_other_colors():
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(4), 8)
    images = np.zeros((32, 32, 16, 3), np.float32)
    images += rng.normal(size=(4, 1, 1, 3))[identity]
    config = configs.load("agw:tiny")
    _, accuracy = pretrain.train(images, identity, config, 100)
    assert accuracy > 0.9

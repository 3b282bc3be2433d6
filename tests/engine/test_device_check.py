"""A device that computes other numbers than the CPU: found, named, and looked for once."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from helpers import small_method

from jreid import config as configs
from jreid.engine import device_check
from jreid.engine.device_check import check_device, check_device_once, compute, differences
from jreid.errors import InputError

GPU = SimpleNamespace(platform="gpu", device_kind="NVIDIA GeForce RTX 4090")


@pytest.fixture
def config(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = configs.load("agw:tiny", ["--config.method=helpers.small_method"])
    config.image.size = small_method.SIZE
    return config


NUMBERS = {
    "loss of model": np.float32(2.0),
    "gradient of model/Dense_0/kernel": np.random.default_rng(0).normal(size=(8, 16)),
    "gradient of model/Conv_0/bias": np.float32([1e-9, -1e-9]),  # zero but for rounding
    "embeddings of visible": np.random.default_rng(1).normal(size=(8, 16)),
    "embeddings of infrared": np.random.default_rng(2).normal(size=(8, 16)),
}


class Faulty:
    """Gives a GPU's numbers, those of a name times a factor, and the CPU's; counts the GPU's."""

    def __init__(self, name="", factor=1.0):
        self.name, self.factor, self.steps = name, factor, 0

    def __call__(self, config, device):
        if device is not GPU:
            return NUMBERS
        self.steps += 1
        return {k: v * self.factor if self.name in k else v for k, v in NUMBERS.items()}


@pytest.mark.parametrize("what", ["loss of model", "gradient of model/Dense_0/kernel", "infrared"])
@pytest.mark.parametrize("factor", [1.1, np.nan])
def test_a_planted_fault_stops_with_the_versions_to_install(config, what, factor):
    with pytest.raises(InputError) as error:
        check_device(config, GPU, Faulty(what, factor))
    sentence = str(error.value)
    assert sentence.startswith("NVIDIA GeForce RTX 4090 computes other numbers than the CPU")
    assert what in sentence and f"jaxlib {jax.lib.__version__}" in sentence
    assert "install " in sentence.partition("; ")[2]


@pytest.mark.parametrize(
    ("installed", "remedy"), [("0.10.2", "jax[cuda13]>=0.12"), ("0.12.0", "cpu")]
)
def test_the_remedy_is_a_release_that_is_mended_or_another(monkeypatch, installed, remedy):
    monkeypatch.setattr("importlib.metadata.version", lambda package: installed)
    assert remedy in device_check._remedy()


def test_what_a_step_computes_is_compared(config):
    one, other = (compute(config, device) for device in jax.devices()[:2])
    assert {name.partition(" ")[0] for name in one} == {"loss", "gradient", "embeddings"}
    assert not differences(one, other)


def test_rounding_is_no_fault(config):
    assert "gives the same numbers as the CPU" in check_device(config, GPU, Faulty("", 1.0001))
    assert "gives the same numbers as the CPU" in check_device(
        config, GPU, Faulty("Conv_0/bias", -1.0)
    )


def test_a_sound_device_is_checked_once_and_a_wrong_one_each_time(config):
    sound, wrong = Faulty(), Faulty("loss", 2.0)
    for _ in range(2):
        with pytest.raises(InputError, match="computes other numbers than the CPU"):
            check_device_once(config, GPU, wrong)
    assert check_device_once(config, GPU, sound)
    assert not check_device_once(config, GPU, sound)
    assert (sound.steps, wrong.steps) == (1, 2)
    config.method = "another"
    assert check_device_once(config, GPU, sound) and sound.steps == 2


def test_without_a_cache_folder_it_is_done_each_time(config, monkeypatch):
    monkeypatch.setattr(device_check, "user_cache", lambda: None)
    device = Faulty()
    for _ in range(2):
        assert check_device_once(config, GPU, device)
    assert device.steps == 2


def test_a_cpu_is_not_compared(config):
    device = Faulty()
    assert not check_device_once(config, jax.devices("cpu")[0], device)
    assert not device.steps


@pytest.mark.parametrize(
    ("config", "flag"),
    [
        ("pfanet", "pfanet.gan_identities=8"),
        ("pfinet", "pfinet.groups=8"),
        ("idkl", "idkl.weights.tgsa=0.4"),
        ("mutual_prediction", "mutual_prediction.parts.n=9"),
    ],
)
def test_a_config_that_needs_more_than_the_smallest_step_is_checked_at_a_larger_one(config, flag):
    option = ",variant=code" if config == "idkl" else ""
    full = configs.load(f"{config}:sysu_mm01{option}", [f"--config.{flag}"])
    first, *larger = device_check._smaller(full)
    assert not device_check._fits(first)
    assert any(map(device_check._fits, larger))

import json

import numpy as np
import pytest

from jreid.training.spikes import SpikeDetector


@pytest.fixture
def spikes(tmp_path):
    return SpikeDetector(tmp_path / "spikes", lambda step: {"visible": [f"cam1/0001/{step:04d}"]})


def test_a_spike_is_warned_of_and_its_images_named(spikes, tmp_path, caplog):
    rng = np.random.default_rng(0)
    for step, loss in enumerate(rng.normal(5, 0.5, 40), 1):
        spikes.on_metrics(step, {"model/loss": loss, "model/accuracy": 0.1})
    spikes.on_metrics(41, {"model/loss": 500.0, "model/accuracy": 0.1})
    (path,) = (tmp_path / "spikes").iterdir()
    message = json.loads(path.read_text())
    assert (message["step"], message["metric"], message["value"]) == (41, "model/loss", 500.0)
    assert message["median"] == pytest.approx(5, abs=0.5)
    assert message["visible"] == ["cam1/0001/0041"]
    (message,) = caplog.messages
    assert "model/loss is 500 at step 41" in message
    assert str(path) in message


def test_one_warning_for_a_run_that_diverges(spikes, caplog):
    for step in range(20):
        spikes.on_metrics(step, {"model/loss": 1.0 + 0.01 * (step % 3)})
    for step in range(20, 35):
        spikes.on_metrics(step, {"model/loss": 10.0**step})
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("scale", [1.0, -1.0, 1e-6, 0.0])
def test_falling_noisy_negative_and_constant_losses_are_no_spikes(spikes, caplog, scale):
    rng = np.random.default_rng(1)
    for step in range(300):
        loss = scale * (1 + np.exp(-step / 50)) * rng.lognormal(0, 0.3)
        spikes.on_metrics(step, {"model/loss": loss, "model/gradient_norm": 1e9 * (step == 200)})
    assert not caplog.messages


def test_the_first_steps_are_never_spikes(spikes, caplog):
    for step in range(19):
        spikes.on_metrics(step, {"model/loss": 1000.0 if step == 18 else 1.0})
    assert not caplog.messages


def test_a_phase_of_other_players_is_no_spike(spikes, caplog):
    for step in range(60):
        alone = {"features/loss": 1.0} if step < 30 else {"generators/loss": 8.0}
        spikes.on_metrics(step, alone)
    spikes.on_metrics(60, {"features/loss": 500.0, "generators/loss": 8.0})
    assert not caplog.messages

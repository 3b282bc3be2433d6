"""Embeddings that all point one way, seen while training."""

import numpy as np
import pytest
from helpers.command_line import tiny_flags
from helpers.states import state_of

from jreid.__main__ import main
from jreid.runs.checkpoints import Checkpoints
from jreid.training.collapse import CollapseDetector, mean_negative_similarity

IDENTITIES = np.repeat([3, 5, 8], [2, 3, 4])


def pointing(spread):
    random = np.random.default_rng(0).normal(size=(len(IDENTITIES), 16))
    return (np.ones(16) + spread * random).astype(np.float32)


def test_the_similarity_is_that_of_every_pair_of_strangers():
    features = pointing(1.0)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    strangers = IDENTITIES[:, None] != IDENTITIES
    expected = (unit @ unit.T)[strangers].mean()
    assert mean_negative_similarity(features, IDENTITIES) == pytest.approx(expected, rel=1e-5)
    assert mean_negative_similarity(np.zeros((9, 16)), IDENTITIES) == pytest.approx(1)


def test_a_collapse_is_warned_of_once_when_it_begins(tmp_path):
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        detector = CollapseDetector(checkpoints)
        assert detector.message(pointing(1.0), IDENTITIES) is None
        checkpoints.save(state_of(4), score=0.5)
        message = detector.message(pointing(0.01), IDENTITIES)
        assert "have a mean cosine similarity of 0.9999; step 4 was the best" in message
        assert detector.message(pointing(0.01), IDENTITIES) is None
        assert detector.message(pointing(1.0), IDENTITIES) is None
        assert detector.message(np.zeros((9, 16)), IDENTITIES)


@pytest.mark.fault("F19")
def test_a_run_that_collapses_says_so_and_goes_on(tiny_folder, prepared, tmp_path, capsys):
    flags = [*tiny_flags(tiny_folder, prepared), "--config.method=helpers.collapsing_method"]
    with pytest.warns(RuntimeWarning, match="collapsed"):  # by the test split's rows
        assert main(["train", *flags, "--config.epochs=3", f"--workdir={tmp_path}/run"]) == 0
    (message,) = [line for line in capsys.readouterr().err.splitlines() if "has collapsed" in line]
    assert message.startswith("jreid: epoch 2, step 22: the model has collapsed")
    assert "step 11 was the best in" in message
    assert "lower config.optimizer.learning_rate and train into another --workdir." in message

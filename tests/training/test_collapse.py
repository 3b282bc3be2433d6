"""Embeddings that all point one way, seen while training."""

import tracemalloc

import numpy as np
import pytest
from helpers.command_line import tiny_flags
from helpers.states import state_of

from jreid.__main__ import main
from jreid.data.table import Table
from jreid.evaluation.results import collapse
from jreid.evaluation.results.collapse import CollapseWarning, mean_negative_similarity
from jreid.runs.checkpoints import Checkpoints
from jreid.training.collapse import CollapseDetector

IDENTITIES = np.repeat([3, 5, 8], [2, 3, 4])
EMPTY = np.zeros(len(IDENTITIES))
TABLE = Table(EMPTY, IDENTITIES, EMPTY, np.full(len(IDENTITIES), "visible"), EMPTY, EMPTY)


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
    assert mean_negative_similarity(features, np.full(9, 3)) == -1


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_the_similarity_does_not_depend_on_blocks(distance, monkeypatch):
    features, order = pointing(1.0), np.random.default_rng(1).permutation(len(IDENTITIES))
    whole = mean_negative_similarity(features, IDENTITIES, distance)
    for block in (1, 2, 3, 8):
        monkeypatch.setattr(collapse, "BLOCK", block)
        mixed = mean_negative_similarity(features[order], IDENTITIES[order], distance)
        assert mixed == pytest.approx(whole, rel=1e-12)


def test_the_similarity_of_many_people_takes_no_memory_of_all():
    features = np.ones((40_000, 256), np.float32)
    tracemalloc.start()
    mean_negative_similarity(features, np.arange(len(features)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * features.nbytes


def test_one_direction_is_not_one_point():
    line = np.outer(1 + np.arange(9), np.ones(16))
    assert mean_negative_similarity(line, IDENTITIES) == pytest.approx(1)
    assert mean_negative_similarity(line, IDENTITIES, "euclidean") < 0.9
    assert mean_negative_similarity(np.ones((9, 16)), IDENTITIES, "euclidean") == pytest.approx(1)


def test_a_collapse_is_warned_of_once_when_it_begins(tmp_path):
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        detector = CollapseDetector(checkpoints)
        assert detector.message(pointing(1.0), TABLE) is None
        checkpoints.save(state_of(4), score=0.5)
        message = detector.message(pointing(0.003), TABLE)
        assert "have a mean cosine similarity of 0.99999; step 4 was the best" in message
        assert detector.message(pointing(0.003), TABLE) is None
        assert detector.message(pointing(1.0), TABLE) is None
        assert detector.message(np.zeros((9, 16)), TABLE)


def test_a_modality_that_collapses_alone_is_warned_of(tmp_path):
    infrared = np.arange(9) % 2 == 1
    table = TABLE._replace(modality=np.where(infrared, "infrared", "visible"))
    features = np.where(infrared[:, None], np.ones(16), pointing(1.0))
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        assert CollapseDetector(checkpoints).message(features, table)


@pytest.mark.fault("F19")
def test_a_run_that_collapses_says_so_and_goes_on(tiny_folder, prepared, tmp_path, capsys):
    flags = [*tiny_flags(tiny_folder, prepared), "--config.method=helpers.collapsing_method"]
    with pytest.warns(CollapseWarning):  # by the test split's rows
        assert main(["train", *flags, "--config.epochs=3", f"--workdir={tmp_path}/run"]) == 0
    (message,) = [line for line in capsys.readouterr().err.splitlines() if "has collapsed" in line]
    assert message.startswith("jreid: epoch 2, step 22: the model has collapsed")
    assert "step 11 was the best in" in message
    assert "lower config.optimizer.learning_rate and train into another --workdir." in message

"""Two processes of two devices each do what one process of four devices does."""

import json
import shutil

import numpy as np
import pytest
from helpers import twenty_steps
from helpers.together import together

pytestmark = pytest.mark.slow  # three processes load JAX and train


@pytest.fixture(scope="module")
def alone(tiny_folder, prepared, tmp_path_factory):
    """What one process finds."""
    return twenty_steps.run(tiny_folder, prepared, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def both(tiny_folder, prepared, tmp_path_factory):
    """The working directory of two processes, and how they ended."""
    workdir = tmp_path_factory.mktemp("both")
    script = twenty_steps.__file__
    return workdir, together(script, tiny_folder, prepared, workdir)


@pytest.fixture(scope="module")
def found(both):
    """What two processes find."""
    workdir, done = both
    assert [process.status for process in done] == [0, 0], done
    return np.load(workdir / "found.npz")


def test_batches_are_equal(alone, found):
    for name in ("visible", "infrared", "identity"):
        np.testing.assert_array_equal(found[name], alone[name])


def test_losses_agree_over_twenty_steps(alone, found):
    assert len(found["losses"]) == 20
    assert np.ptp(alone["losses"]) > 0.1
    np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-5)


def test_embeddings_agree(alone, found):
    assert len(found["features"]) == 17
    np.testing.assert_allclose(found["features"], alone["features"], rtol=1e-5, atol=1e-6)


def test_rankings_that_processes_share_are_equal(alone, found):
    ours, theirs = (json.loads(str(of["rows"])) for of in (found, alone))
    assert [row["rerank"] for row in ours] == ["none", "standard(k1=8,k2=3,lambda=0.3)"]
    assert all(row["valid_queries"] == 1080 and 0.1 < row["mAP"] < 0.9 for row in ours)
    assert ours == theirs


def test_one_process_goes_on_from_what_two_have_saved(
    alone, found, both, tiny_folder, prepared, tmp_path
):
    shutil.copytree(both[0] / "checkpoints", tmp_path / "checkpoints")
    rest = twenty_steps.run(tiny_folder, prepared, tmp_path / "checkpoints")
    np.testing.assert_array_equal(rest["visible"], alone["visible"][10:])
    np.testing.assert_allclose(rest["losses"], alone["losses"][10:], rtol=1e-5)


def test_a_refusal_is_reported_in_every_process(both):
    for process, failure in zip(
        both[1], ("process 1: it fails alone", "it fails alone"), strict=True
    ):
        assert process.out.splitlines()[-3:] == [
            failure,
            "the first one refuses",
            "the config of process 1 differs from that of process 0; start all processes by the "
            "same command, with the same files.",
        ]

"""A whole run of a small method with phases, warnings and pictures, stopped and resumed."""

import contextlib
import io

import jax
import numpy as np
import pytest
from helpers.observed import Interrupt, train_observed
from helpers.paths import ROOT
from helpers.run_folder import metrics_of, state_of
from PIL import Image

from jreid.__main__ import main


@pytest.fixture(scope="module")
def flags(tiny_folder, prepared):
    return [
        f"--config={ROOT}/configs/agw.py:tiny",
        f"--config.data.folder={tiny_folder}",
        f"--config.data.prepared={prepared}",
        "--config.method=helpers.phased_method",
        "--config.pictures_every_epochs=1",
        "--config.evaluation.rerank=none",
        "--config.protocols=sysu_mm01:trials=1",
        "--config.evaluation.every_epochs=0",
    ]


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
    """A run that was not stopped; its standard error is in `stderr` beside it."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    with contextlib.redirect_stderr(io.StringIO()) as message:
        assert main(["train", "--no-report", *flags, "--workdir", str(workdir)]) == 0
    workdir.with_name("stderr").write_text(message.getvalue())
    return workdir


@pytest.fixture(scope="module")
def resumed(flags, tmp_path_factory):
    """Stopped when the first phase was saved, and again within the second; from either cache."""
    workdir = tmp_path_factory.mktemp("resumed") / "run"
    for interrupt, cache in ((Interrupt(1, saved=True), "resized"), (Interrupt(2), "encoded")):
        with pytest.raises(KeyboardInterrupt):
            train_observed([*flags, f"--config.data.cache={cache}"], workdir, interrupt)
    assert main(["train", "--no-report", "--trust-code", "--workdir", str(workdir)]) == 0
    return workdir


def test_a_run_resumed_at_and_after_a_phases_end_is_the_whole_one_bit_for_bit(whole, resumed):
    ours, theirs = state_of(whole), state_of(resumed)
    assert ours.step == theirs.step > 0
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert metrics_of(whole) == metrics_of(resumed)


def test_each_phase_has_its_own_players_losses_and_metrics(whole):
    logged = metrics_of(whole)
    by_epoch = [[line for line in logged if line.get("epoch") == epoch] for epoch in (0, 1)]
    assert all(by_epoch)
    assert {line["a/factor"] for line in by_epoch[0]} == {1.0}
    assert {line["a/factor"] for line in by_epoch[1]} == {2.0}
    assert not any("b/loss" in line for line in by_epoch[0])
    assert all("b/loss" in line for line in by_epoch[1])


def test_phases_and_warnings_are_logged_once(whole):
    message = whole.with_name("stderr").read_text()
    assert message.index("epoch 1: phase warm") < message.index("epoch 2: phase main")
    assert message.count("b/factor is 3: it is too much.") == 1
    assert message.count("the mean of b/factor over this epoch is 3: it stays high.") == 1


def test_pictures_are_saved_in_training_and_by_the_verb(whole, capsys):
    (second, *_) = sorted((whole / "pictures").iterdir(), reverse=True)
    assert len([*(whole / "pictures").iterdir()]) == 2  # an epoch each
    assert second.name == f"dark_step_{int(state_of(whole).step):06d}.png"
    before = Image.open(second).size
    assert (
        main(["pictures", "--trust-code", "--workdir", str(whole), "--images=2", "--split=test"])
        == 0
    )
    assert capsys.readouterr().out.strip().endswith(f"pictures/{second.name}")
    after = Image.open(second)
    assert (after.size[0], after.mode) == (before[0], "RGB")
    assert after.size[1] < before[1]  # two people instead of eight

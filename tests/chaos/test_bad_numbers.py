"""Numbers that are not finite, stand out, or mean nothing, from the command line."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.command_line import run, steps_in, tiny_flags

from jreid.__main__ import main
from jreid.engine.model import Model
from jreid.training import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def flags(tiny_folder, prepared):
    return ["train", *tiny_flags(tiny_folder, prepared)]


@pytest.fixture
def inject(monkeypatch):
    """A function from a step and a change to its result, which is made in every run from then."""
    make = train.make_train_step

    def inject(at, change):
        def changed(*arguments):
            take = make(*arguments)

            def step(state, batch):
                state, metrics = take(state, batch)
                return change(state, metrics) if int(state.step) == at else (state, metrics)

            return step

        monkeypatch.setattr(train, "make_train_step", changed)

    return inject


def scaled(factor):
    return lambda state, metrics: (
        state,
        metrics | {"model/loss": factor * metrics["model/loss"]},
    )


def gradient_lost(state, metrics):
    return state, metrics | {"model/gradient_norm": jnp.inf}


def kernel_lost(state, metrics):
    kernel = {"kernel": jnp.full_like(state.params["classifier"]["kernel"], jnp.nan)}
    return state.replace(params=state.params | {"classifier": kernel}), metrics


@pytest.mark.fault("F18")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (scaled(np.nan), "training stopped at step 14 because model/loss is nan"),
        (gradient_lost, "training stopped at step 14 because model/gradient_norm is inf"),
        (kernel_lost, "training stopped at step 15 because model/gradient_norm is nan"),
    ],
)
def test_a_step_that_is_not_finite(flags, inject, tmp_path, capsys, change, message):
    workdir = tmp_path / "run"
    inject(14, change)
    assert main([*flags, f"--workdir={workdir}"]) == 2
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence.startswith(f"jreid: {message}; ")
    assert f"; the last good checkpoint is step 11 in {workdir}/checkpoints." in sentence
    assert steps_in(workdir) == [0, 11]
    assert not (workdir / "result.json").exists()
    lines = (workdir / "metrics" / "metrics.jsonl").read_text().splitlines()
    assert max(json.loads(line)["step"] for line in lines) < 15


@pytest.mark.fault("F20")
def test_a_spike_is_reported_and_its_batch_kept(flags, inject, tmp_path, capsys):
    workdir = tmp_path / "run"
    inject(26, scaled(1000))
    assert main([*flags, "--config.epochs=3", f"--workdir={workdir}"]) == 0
    spike = workdir / "spikes" / "step_00000026.json"
    assert str(spike) in capsys.readouterr().err
    found = json.loads(spike.read_text())
    assert (found["step"], found["metric"]) == (26, "model/loss")
    assert len(found["visible"]) == len(found["infrared"]) == 8
    assert (workdir / "result.json").exists()


@pytest.mark.fault("F21")
def test_a_step_that_does_not_fit_the_device(flags, inject, tmp_path, capsys):
    def full(state, metrics):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    workdir = tmp_path / "run"
    inject(13, full)
    assert main([*flags, f"--workdir={workdir}"]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("jreid: a training step does not fit into the memory of ")
    assert "(Out of memory allocating 9 bytes.); " in message
    assert "the last good checkpoint is step 11" in message
    assert "lower config.batch.identities" in message
    assert steps_in(workdir) == [0, 11]


@pytest.mark.fault("F21")
def test_an_embedding_that_does_not_fit_the_device(flags, tmp_path, capsys, monkeypatch):
    def full(self, *_):
        yield from ()
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    workdir = tmp_path / "run"
    monkeypatch.setattr(Model, "_batches", full)
    assert main([*flags, "--config.epochs=0", f"--workdir={workdir}"]) == 2
    *_, first, message = capsys.readouterr().err.strip().splitlines()
    assert first.endswith("jreid goes on with 4 images at once.")
    assert message.startswith("jreid: a batch of 4 images does not fit into the memory of ")
    assert "lower config.evaluation.batch_size" in message
    assert not (workdir / "result.json").exists()


@pytest.fixture
def features(tiny_dataset, tmp_path):
    """A function that writes a file of features of the test split."""
    table = tiny_dataset.table.of_split("test")
    columns = {"identities": table.identity, "cameras": table.camera, "names": table.name}

    def write(change):
        random = np.random.default_rng(0).standard_normal((len(table.name), 8)).astype(np.float32)
        path = tmp_path / "features.npz"
        np.savez(path, features=change(random), modalities=table.modality, **columns)
        return ["evaluate", f"--features={path}", f"--output={path}.json", "--protocol=folder"]

    return write


@pytest.mark.fault("F18")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_not_ranked(features, tmp_path, capsys, bad):
    def poisoned(values):
        values[7, 3] = bad
        return values

    assert main(features(poisoned)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "cam" in err  # the image
    assert not [*tmp_path.glob("*.json")]


@pytest.mark.fault("F19")
def test_constant_features_are_at_chance_and_reported(features, tmp_path):
    done = run(*features(np.ones_like))
    assert done.status == 0
    (message,) = [line for line in done.err.splitlines() if "collapsed" in line]
    assert message.startswith("warning: The features of different people")
    rows = json.loads((tmp_path / "features.npz.json").read_text())["rows"]
    assert {row["cmc"]["1"] for row in rows} == {0}


@pytest.mark.fault("F30")
@pytest.mark.parametrize(
    ("flag", "differing"),
    [
        ("--protocol=folder:direction=visible_to_infrared", "direction"),
        ("--protocol=folder:cmc=image", "cmc"),
        ("--protocol=folder:distance=euclidean", "distance"),
        ("--rerank=standard:k1=5,k2=2", "rerank"),
    ],
)
def test_results_of_other_rules_are_not_compared(features, tmp_path, capsys, flag, differing):
    command = features(lambda values: values)
    first = [*command[:-2], "--protocol=folder", f"--output={tmp_path}/first.json"]
    protocol = [] if "--protocol" in flag else ["--protocol=folder"]
    second = [*command[:-2], *protocol, flag, f"--output={tmp_path}/second.json"]
    for flags in (first, second):
        assert main(flags) == 0
    capsys.readouterr()
    results = f"{tmp_path}/first.json", f"{tmp_path}/second.json"
    assert main(["evaluate", "--compare", *results]) == 2
    message = capsys.readouterr().err.strip()
    assert len(message.splitlines()) == 1
    assert "cannot be compared" in message
    assert differing in message

"""Machines that lack a device, hang, lose a folder, or are set up otherwise than the last one."""

import json
import os
import shutil
import threading
import time

import pytest
import tensorflow as tf
from helpers.command_line import outcome, run, steps_in, tiny_flags
from helpers.observed import train_observed

from jreid.__main__ import main
from jreid.data import pipeline
from jreid.training.observer import Observer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def flags(tiny_folder, prepared):
    return ["train", *tiny_flags(tiny_folder, prepared)]


@pytest.mark.fault("F23")
@pytest.mark.parametrize("platform", ["cuda", "tpu", "abacus"])
def test_a_device_that_is_not_there(flags, tmp_path, platform):
    done = run(*flags, f"--workdir={tmp_path}/run", JAX_PLATFORMS=platform)
    message = done.refused()
    assert f"JAX finds no device for JAX_PLATFORMS={platform}" in message
    assert "unset JAX_PLATFORMS to use the best available device." in message
    assert not (tmp_path / "run").exists()


@pytest.mark.fault("F23")
def test_the_device_that_is_taken_is_reported(flags, tmp_path, capsys):
    assert main([*flags, "--config.epochs=0", f"--workdir={tmp_path}/run"]) == 0
    assert capsys.readouterr().err.splitlines()[0] == "on 4 x cpu"


def in_reader(monkeypatch, fault):
    """Calls `fault` with the step where the reader's thread draws its augmentation."""
    sample_augmentation = pipeline.sample_augmentation

    def faulty(seed, step, *rest):
        if threading.current_thread() is not threading.main_thread():
            fault(step)
        return sample_augmentation(seed, step, *rest)

    monkeypatch.setattr(pipeline, "sample_augmentation", faulty)


@pytest.mark.fault("F26")
def test_a_reader_that_dies_ends_the_run(flags, tmp_path, monkeypatch):
    def dies(step):
        if step == 15:
            raise MemoryError("no memory for a batch")

    in_reader(monkeypatch, dies)
    with pytest.raises(tf.errors.OpError, match="no memory for a batch"):
        main([*flags, f"--workdir={tmp_path}/run"])
    assert steps_in(tmp_path / "run") == [0, 11]


@pytest.mark.fault("F26")
def test_a_reader_that_hangs_is_reported(flags, tmp_path, monkeypatch, capsys):
    def hangs(step):
        if step == 8:  # in the midst of an epoch, so that nothing else takes its time meanwhile
            time.sleep(10)

    in_reader(monkeypatch, hangs)
    monkeypatch.setattr(pipeline, "PATIENCE", 2.0)
    assert main([*flags, f"--workdir={tmp_path}/run"]) == 0
    message = capsys.readouterr().err.splitlines()
    assert any(line.startswith("jreid: no batch of images for 2 seconds") for line in message)


@pytest.mark.fault("F29")
def test_a_folder_of_metrics_that_is_removed(flags, tmp_path, capsys):
    workdir = tmp_path / "run"

    class Remover(Observer):
        def on_epoch_end(self, step):
            if step.epochs_done == 1:
                shutil.rmtree(workdir / "metrics")

    of_config = [flag for flag in flags if flag.startswith("--config")]
    train_observed(of_config, workdir, Remover())
    assert capsys.readouterr().err.count("metrics cannot be written to (") == 1
    lines = (workdir / "metrics" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 22


def trained(flags, workdir, **environment):
    """What a short run leaves."""
    short = ["--config.epochs=1", "--config.batch.identities=8"]
    done = run(*flags, *short, f"--workdir={workdir}", **environment)
    assert done.status == 0, done.err
    return outcome(workdir)


@pytest.mark.fault("F27")
def test_the_machines_settings_do_not_count(flags, tmp_path):
    found = [
        trained(
            flags,
            tmp_path / f"{threads}{zone[:4]}{seed}",
            NPROC=threads,  # what XLA goes by where the config does not say
            OMP_NUM_THREADS=threads,
            LC_ALL=locale,
            TZ=zone,
            PYTHONHASHSEED=seed,
        )
        for threads in ("1", "3")
        for locale, zone in (("C", "UTC"), ("tr_TR.UTF-8", "Asia/Kathmandu"))
        for seed in ("0", "1", "random")
    ]
    assert len(found) == 12
    assert all(one == found[0] for one in found)


@pytest.mark.fault("F27")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="macOS cannot choose cores")
def test_neither_the_cores_nor_the_cache_count(flags, tmp_path):
    everywhere = trained(flags, tmp_path / "everywhere")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        on_one = trained([*flags, "--config.data.cache=resized"], tmp_path / "on_one")
    finally:
        os.sched_setaffinity(0, cores)
    assert on_one == everywhere


@pytest.mark.fault("F28")
def test_four_devices_train_as_one(flags, tmp_path):
    # Larger steps from random weights amplify rounding tenfold each.
    small = ["--config.optimizer.learning_rate=1e-5", "--config.evaluation.every_epochs=0"]
    losses = {}
    for devices in ("1", "4"):
        workdir = tmp_path / devices
        done = run(*flags, *small, f"--workdir={workdir}", JAX_NUM_CPU_DEVICES=devices)
        assert done.status == 0, done.err
        lines = (workdir / "metrics" / "metrics.jsonl").read_text().splitlines()
        losses[devices] = [json.loads(line)["model/loss"] for line in lines]
    assert len(losses["1"]) > 20
    assert losses["4"] == pytest.approx(losses["1"], rel=1e-5)

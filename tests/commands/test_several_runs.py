"""`train --seeds`: a run for each seed, resumed where it stopped, and their mean."""

import argparse
import json
import shutil

import jax
import numpy as np
import pytest
from helpers.command_line import SMALL_EVALUATION, run, tiny_flags
from helpers.paths import ROOT
from helpers.run_folder import rows_of

from jreid.__main__ import main
from jreid.commands import several_runs
from jreid.commands.train import add as add_verbs
from jreid.launch.jobs import Failure
from jreid.process import cores

CONFIG = f"--config={ROOT}/configs/agw.py:tiny"


def train(*flags) -> int:
    return main(["train", "--no-report", CONFIG, *map(str, flags)])


@pytest.fixture(scope="module")
def seeds(tiny_folder, prepared, tmp_path_factory):
    """Two seeds of an untrained network, and the flags that they were made by."""
    workdir = tmp_path_factory.mktemp("seeds") / "runs"
    flags = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
    flags += [*SMALL_EVALUATION, "--config.epochs=0", f"--workdir={workdir}"]
    assert train(*flags, "--seeds=0,7") == 0
    return workdir, flags


def test_each_seed_is_a_run_and_their_mean_a_result(seeds):
    workdir, _ = seeds
    configs = [json.loads((workdir / f"seed_{n}" / "config.json").read_text()) for n in (0, 7)]
    assert [config["seed"] for config in configs] == [0, 7]
    (one,), (other,) = (rows_of(workdir / f"seed_{seed}") for seed in (0, 7))
    (mean,) = rows_of(workdir)
    for name in ("mAP", "mINP"):
        assert mean[name] == pytest.approx((one[name] + other[name]) / 2)
        assert mean["std"][name] == pytest.approx(np.std([one[name], other[name]], ddof=1))
    assert mean["fingerprint"] == one["fingerprint"] == other["fingerprint"]
    result = json.loads((workdir / "result.json").read_text())
    assert (result["seeds"], result["seed"]) == ([0, 7], None)


def test_finished_seeds_are_not_run_again(seeds, capsys, monkeypatch):
    workdir, flags = seeds
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append("all"))
    written = (workdir / "seed_7" / "result.json").stat().st_mtime_ns
    mean = rows_of(workdir)
    for gone in ("seed_0/result.json", "result.json"):
        (workdir / gone).unlink()
    assert train(*flags, "--seeds=0,7") == 0
    assert (workdir / "seed_7" / "result.json").stat().st_mtime_ns == written
    assert rows_of(workdir) == mean
    out = capsys.readouterr().out
    assert "seed_0" in out and "seed_7\n" not in out
    assert cleared == ["all"]  # once for each run: its programs would stay in memory


def test_a_new_folder_of_the_images_is_kept_by_finished_seeds(seeds, tiny_folder, tmp_path):
    workdir, flags = seeds
    moved = shutil.copytree(tiny_folder, tmp_path / "moved")
    for folder in (moved, tiny_folder):
        assert train(*flags, "--seeds=0,7", f"--config.data.folder={folder}") == 0
        configs = [json.loads((workdir / f"seed_{n}" / "config.json").read_text()) for n in (0, 7)]
        assert {config["data"]["folder"] for config in configs} == {str(folder)}


def test_seeds_that_started_from_other_weights_have_no_mean(seeds, capsys):
    workdir, flags = seeds
    start = f"--init-from={workdir / 'seed_7'}"
    assert train(*flags, "--seeds=0,7", start) == 2
    assert "started from random weights, not from the last checkpoint" in capsys.readouterr().err


def test_runs_of_different_starts_have_no_mean_without_the_flag_either(seeds, capsys):
    workdir, flags = seeds
    file = workdir / "seed_7" / "run.json"
    text = file.read_text()
    file.write_text(json.dumps(json.loads(text) | {"start": {"kind": "file", "sha256": "ab"}}))
    try:
        assert train(*flags, "--seeds=0,7") == 2
    finally:
        file.write_text(text)
    assert "seed_0 started from random weights, and " in capsys.readouterr().err


def test_a_mean_names_the_code_and_the_devices_of_its_runs():
    one = {"revision": "a", "device": "1 x H200", "versions": {"jax": "0.12", "numpy": "2"}}
    other = {**one, "revision": "b", "versions": {"jax": "0.11", "numpy": "2"}}
    assert several_runs._origin([one, other, one]) == {
        "revision": "a and b",
        "device": "1 x H200",
        "versions": {"jax": "0.12 and 0.11", "numpy": "2"},
    }
    assert several_runs._origin([{"revision": None}])["revision"] is None


def test_a_launcher_trains_what_is_not_finished_in_processes_of_their_own(seeds, monkeypatch):
    workdir, flags = seeds
    result, mean, launched = workdir / "seed_0" / "result.json", rows_of(workdir), []
    trained = result.read_text()

    def launch(jobs):
        launched.extend(jobs)
        result.write_text(trained)
        return []

    monkeypatch.setattr(several_runs, "launch_of", lambda options, folder: launch)
    for gone in (result, workdir / "result.json"):
        gone.unlink()
    assert train(*flags, "--seeds=0,7", "--workers=2") == 0
    (job,) = launched
    assert job.output == workdir / "seed_0.log"
    assert {CONFIG, f"--workdir={workdir}/seed_0", "--config.seed=0"} < {*job.command}
    assert rows_of(workdir) == mean


@pytest.mark.slow
@pytest.mark.skipif(len(cores()) < 2, reason="two workers need two cores")
def test_two_workers_train_two_seeds_side_by_side(tiny_folder, prepared, tmp_path):
    workdir = tmp_path / "runs"
    flags = [*tiny_flags(tiny_folder, prepared), f"--workdir={workdir}", "--seeds=0,1"]
    done = run("train", *flags, "--workers=2")
    assert done.status == 0, done.err
    folders = [workdir / "seed_0", workdir / "seed_1"]
    assert done.err.splitlines() == [f"run {n + 1} of 2: {folders[n]}" for n in (0, 1)]
    started, ended = (
        [(folder / name).stat().st_mtime for folder in folders]
        for name in ("config.json", "result.json")
    )
    assert max(started) < min(ended)
    (mean, *_), *of_runs = (rows_of(folder) for folder in (workdir, *folders))
    assert mean["mAP"] == pytest.approx(np.mean([rows[0]["mAP"] for rows in of_runs]))
    assert of_runs[0] != of_runs[1]
    assert "mean of 2 seeds" in done.out and f"{100 * mean['mAP']:.2f}±" in done.out
    again = run("train", *flags, "--workers=2")
    assert (again.out, again.err) == (done.out, "")


def test_a_run_that_failed_ends_the_command(seeds, monkeypatch, capsys):
    workdir, flags = seeds
    monkeypatch.setattr(
        several_runs,
        "launch_of",
        lambda options, folder: lambda jobs: [Failure(jobs[0], "the disk is full")],
    )
    (workdir / "seed_0" / "result.json").unlink()
    assert train(*flags, "--seeds=0,7", "--launcher=local") == 2
    err = capsys.readouterr().err
    assert "seed_0 failed: the disk is full" in err and "1 of 1 runs failed" in err


def test_every_flag_of_train_reaches_the_runs_of_a_launcher(tmp_path):
    given = ["--init-from=x", "--init-checkpoint=best", "--profile=3", "--grace=9.0"]
    given += ["--allow-config-drift", "--no-report", "--trust-code", "--processes=1"]
    several = ["--seeds=0", "--trials=1", "--launcher=local", "--workers=2", "--slurm=time=5"]
    own = ["--config=agw", "--workdir=x", "--json"]
    processes = ["--coordinator=x:1", "--process-id=0"]
    parser = argparse.ArgumentParser()
    add_verbs(parser.add_subparsers(required=True))
    options = parser.parse_args(["train", *given, *several, *own, *processes])
    changed = {name for name, value in vars(options).items() if value is not None}
    assert {*several_runs._other_flags(options)} == {*given}
    # A new flag of `train` belongs into one of the lists above.
    names = {
        flag.removeprefix("--").partition("=")[0].replace("-", "_")
        for flag in [*given, *several, *own, *processes]
    }
    assert changed - {"run", "takes_config", "may_lose_output"} == names


@pytest.mark.fault("A3")
@pytest.mark.parametrize(
    ("folder", "flags", "named"),
    [
        ("seed_7", ["--seeds=1"], "holds a single run"),
        ("", ["--seeds=1", "--config.optimizer.learning_rate=0.5"], "learning_rate: 0.5, "),
        ("", ["--seeds=1", "--config.method=helpers.collapsing_method"], "collapsing_method"),
    ],
)
def test_a_result_of_others_is_not_replaced(seeds, folder, flags, named, capsys):
    workdir, of_seeds = seeds
    before = (workdir / folder / "result.json").read_bytes()
    assert train(*of_seeds, *flags, f"--workdir={workdir / folder}") == 2
    assert named in capsys.readouterr().err
    assert (workdir / folder / "result.json").read_bytes() == before
    assert not (workdir / folder / "seed_1").exists()


@pytest.mark.fault("A3")
@pytest.mark.parametrize("change", [{"dataset": "llcm"}, {"method": "idkl"}, {"seeds": []}])
def test_the_mean_of_others_is_not_replaced(seeds, change, tmp_path, capsys):
    """Their runs are gone, and their configs with them."""
    workdir, flags = seeds
    written = json.loads((workdir / "result.json").read_text()) | change
    (tmp_path / "result.json").write_text(json.dumps(written))
    assert train(*flags, "--seeds=1", f"--workdir={tmp_path}") == 2
    assert "result.json is no mean over seeds of " in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.slow
def test_more_seeds_replace_the_mean_of_fewer(seeds, tmp_path):
    workdir, flags = seeds
    shutil.copytree(workdir, tmp_path / "runs")
    assert train(*flags, "--seeds=0,7,8", f"--workdir={tmp_path}/runs") == 0
    assert json.loads((tmp_path / "runs" / "result.json").read_text())["seeds"] == [0, 7, 8]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--seeds=0,1,0"], "--seeds=0,1,0 has the seed 0 twice"),
        (["--seeds=0,-1"], "--seeds=0,-1"),
        (["--seeds=1.5"], "--seeds=1.5"),
        (["--seeds=a"], "--seeds=a"),
        (["--seeds="], "--seeds="),
        (["--seeds=0,1", "--trials=1-2"], "--trials"),
        (["--seeds=0,1", "--config.seed=3"], "--config.seed=3"),
        (["--seeds=0", "--workers=0"], "--workers=0"),
        (["--seeds=0", "--slurm=time=5"], "--launcher=slurm"),
        (["--seeds=0", "--launcher=slurm"], "has no time"),
        (["--workers=2"], "give --seeds or --trials"),
        (["--trials=1-3,10-8"], "has the range 10-8; give it as 8-10"),
        (["--seeds=0", "--grace=inf"], "--grace=inf"),
        (["--trials=1", "--config.data.split_number=3"], "--config.data.split_number=3"),
    ],
)
def test_seeds_that_cannot_be_meant_are_refused(flags, named, tmp_path, capsys):
    assert train(*flags, f"--workdir={tmp_path}/runs") == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_seeds_need_a_config(tmp_path, capsys):
    assert main(["train", "--no-report", "--seeds=0,1", f"--workdir={tmp_path}/runs"]) == 2
    assert "--config" in capsys.readouterr().err

"""A sweep runs what is missing and nothing twice; a failed run is reported and does not stop it."""

import json
import re
import subprocess

import pytest
from helpers.paths import ROOT

from experiments import sweep
from experiments.command import main, tiny
from experiments.tables import SYSU_ALL, Row, Table
from jreid.errors import InputError
from jreid.launch.jobs import Failure, last_line
from jreid.runs import finished

RESULT_ROW = {
    "checkpoint": "last",
    "label": "all, 1-shot",
    "rerank": "none",
    "fingerprint": "0123456789ab",
    "protocol": {"search": "all", "shots": 1},
    "cmc": {"1": 0.5},
    "mAP": 0.5,
    "mINP": 0.5,
}
FAILING = []  # folders of runs that fail
TABLE = Table(
    "Table 9: made up",
    (SYSU_ALL,),
    (
        Row("default", ()),
        Row("the same again", (), rerank="standard"),
        Row("no triplet margin", ("--config.triplet.margin=0.0",)),
        Row("another paper's", None, "1 2"),
    ),
)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A sweep, the list of its runs' flags, and a launcher whose runs write a result, or fail."""
    asked = []

    def launch(jobs):
        failed = []
        for job in jobs:
            arguments = {
                name: value for name, _, value in (flag.partition("=") for flag in job.command[4:])
            }
            asked.append(arguments)
            assert "--no-report" in arguments
            folder = tmp_path / arguments["--workdir"]
            if folder in FAILING:
                job.output.write_text("step 1\nthe disk is full\n\n")
                failed.append(Failure(job, last_line(job.output)))
                continue
            folder.mkdir(parents=True)
            config = sweep.configs.load(
                arguments["--config"],
                [flag for flag in job.command if flag.startswith("--config.")],
            )
            (folder / "config.json").write_text(sweep.configs.to_text(config))
            result = {"rows": [RESULT_ROW], "seed": config.seed}
            (folder / "result.json").write_text(json.dumps(result))
        return failed

    monkeypatch.setattr("experiments.command.launch_of", lambda options, folder: launch)
    monkeypatch.setattr(sweep, "render", lambda sweep: None)
    monkeypatch.setattr(finished, "is_finished", lambda run, config: run.result.is_file())
    FAILING.clear()
    file = f"{ROOT}/configs/agw.py"
    return (
        sweep.Sweep(file, "tiny", (), (0, 1), (), tmp_path / "runs" / "agw" / "tiny"),
        asked,
        launch,
    )


def test_each_row_and_seed_runs_once_and_equal_rows_share(runs):
    job, asked, launch = runs
    (results,) = sweep.run_tables([(job, TABLE)], launch)
    # Two kinds of rows, two seeds; the first seed of all rows comes first.
    assert [flags["--config.seed"] for flags in asked] == ["0", "0", "1", "1"]
    assert [len(of_seeds) for of_seeds in results.values()] == [2, 2, 2]
    assert [r["seed"] for r in results[TABLE.rows[0]]] == [0, 1]
    sweep.run_tables([(job, TABLE)], launch)
    assert len(asked) == 4


def test_tables_share_their_runs(runs):
    job, asked, launch = runs
    of_both = sweep.run_tables([(job, TABLE), (job, TABLE._replace(rows=TABLE.rows[:1]))], launch)
    assert [len(results) for results in of_both] == [3, 1]
    assert len(asked) == 4


def test_the_accuracy_on_the_training_images_is_beside_a_result(runs):
    job, _, launch = runs
    sweep.run_tables([(job, TABLE)], launch)
    folder = sweep.workdir(job, TABLE.rows[0], 1) / "metrics"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"step": 5, "epoch": 0, "model/accuracy": 0.25}\n')
    (results,) = sweep.run_tables([(job, TABLE)], launch)
    assert [one["training_accuracy"] for one in results[TABLE.rows[0]]] == [None, 25.0]


def test_a_finished_run_of_another_config_is_refused(runs):
    job, _, launch = runs
    sweep.run_tables([(job, TABLE)], launch)
    with pytest.raises(InputError, match="another config"):
        sweep.run_tables([(job._replace(flags=("--config.batch.images=3",)), TABLE)], launch)


def test_runs_of_other_code_are_named_in_the_table(runs, capsys, caplog):
    job, _, launch = runs
    arguments = ["one", "--data=tiny", "--seeds=0,1", f"--output={job.folder.parent.parent}"]
    tables = {"one": Table("Table 8: short", TABLE.settings, TABLE.rows[:1])}
    sweep.run_tables([(job, tables["one"])], launch)
    for seed, revision in enumerate(("a" * 40, "b" * 40)):
        record = {"revision": revision, "device": "1 x cpu", "config": {}, "versions": {}}
        file = sweep.workdir(job, TABLE.rows[0], seed) / "run.json"
        file.write_text(json.dumps({**record, "data_fingerprint": None, "drifts": []}))
    assert main(job.config, tables, "An experiment.", arguments) == 0
    named = "aaaaaaa on 1 x cpu (default), bbbbbbb on 1 x cpu (default)"
    assert f"trained by {named}" in capsys.readouterr().out
    several = "runs of several revisions, devices or first weights"
    assert f"Table 8: short has {several}: trained by {named}" in caplog.text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config.seed=5"], "--seeds chooses the runs; leave --config.seed=5 out"),
        (
            ["--config.evaluation.rerank=none"],
            "re-ranking standard, by which the config does not evaluate",
        ),
        (["--trials=1,2", "--config.data.split_number=3"], "--trials chooses the runs"),
        (["--trials=1,2", "--data=tiny_regdb,trial=3"], "leave trial= out of --data"),
    ],
)
def test_what_a_sweep_cannot_use_is_refused_before_it_trains(runs, flags, message, capsys):
    job, asked, _ = runs
    arguments = ["all", "--data=tiny", f"--output={job.folder.parent.parent}", *flags]
    assert main(job.config, {"all": TABLE}, "An experiment.", arguments) == 2
    assert message in capsys.readouterr().err
    assert not asked


def test_a_row_with_the_runs_of_another_is_left_out(runs, capsys, caplog):
    job, asked, _ = runs
    rows = (
        Row("stays as it is", ("--config.backbone.split_stages=1",)),
        Row("no margin", ("--config.triplet.margin=0.0", "--config.backbone.split_stages=1")),
        Row("AGW"),
    )
    arguments = ["one", "--data=tiny", f"--output={job.folder.parent.parent}"]
    table = Table("Table 8: short", TABLE.settings, rows)
    assert main(job.config, {"one": table}, "An experiment.", arguments) == 0
    printed = capsys.readouterr().out
    assert "| stays as it is |" not in printed
    assert all(f"| {row.name} |" in printed for row in rows[1:])
    assert 'row "stays as it is" is left out, since with this config it is "AGW"' in caplog.text
    assert len(asked) == 2
    assert not any("--config.backbone.split_stages" in flags for flags in asked)


@pytest.mark.parametrize("epochs", [["--config.epochs=1"], ["--config.epochs", "1"]])
def test_a_table_names_the_flags_of_its_sweep(epochs, runs, capsys):
    job, *_ = runs
    flags = [*epochs, "--config.data.folder=elsewhere"]
    arguments = ["one", "--data=tiny", f"--output={job.folder.parent.parent}", *flags]
    tables = {"one": Table("Table 8: short", TABLE.settings, TABLE.rows[:1])}
    assert main(job.config, tables, "An experiment.", arguments) == 0
    assert "R1 ours, tiny with epochs=1 |" in capsys.readouterr().out


def test_failed_runs_are_reported_after_the_others_ran(runs, caplog):
    job, asked, launch = runs
    folder = sweep.workdir(job, TABLE.rows[2], 0)
    folder.parent.mkdir(parents=True)
    FAILING.append(folder)
    with pytest.raises(
        InputError, match=r"1 of 4 runs failed; see .*triplet.margin=0.0/seed_0.log"
    ):
        sweep.run_tables([(job, TABLE)], launch)
    assert len(asked) == 4
    assert re.search(r"no triplet margin, seed 0 .*failed: the disk is full", caplog.text)


def test_tables_that_are_complete_are_made_and_others_name_what_they_lack(runs, capsys):
    job, *_ = runs
    folder = sweep.workdir(job, TABLE.rows[2], 1)
    folder.parent.mkdir(parents=True)
    FAILING.append(folder)
    tables = {"all": TABLE, "one": Table("Table 8: short", TABLE.settings, TABLE.rows[:1])}
    arguments = ["all", "one", "--data=tiny", "--seeds=0,1", f"--output={job.folder.parent.parent}"]
    assert main(job.config, tables, "An experiment.", arguments) == 2
    out, err = capsys.readouterr()
    assert "### Table 8: short" in out and "Table 9" not in out
    assert "Table 9: made up is not made: it lacks no triplet margin, seed 1" in err


def test_a_row_that_cannot_be_trained_is_refused_before_the_others_are(runs):
    job, asked, launch = runs
    for flag, field in (("pooling=x", "config.pooling"), ("epochs=-1", "config.epochs")):
        rows = *TABLE.rows, Row("wrong", (f"--config.{flag}",))
        with pytest.raises(InputError, match=rf"Table 9: wrong, seed 0 .*{field}"):
            sweep.run_tables([(job, TABLE._replace(rows=rows))], launch)
    assert not asked


def test_each_trial_is_a_run(runs):
    job = runs[0]._replace(data="tiny_regdb", trials=(1, 4))
    jobs = sweep.missing_jobs([(job, TABLE._replace(rows=TABLE.rows[:1]))])
    assert [folder.name for folder in jobs] == ["trial_01", "trial_04"] * 2
    assert "--config.data.split_number=4" in [*jobs.values()][1].command


def test_the_command_line_explains_itself(capsys):
    for arguments, message in [
        (["table9", "--seeds=one"], "--seeds=one is not a list of seeds"),
        (["table9", "--data=synthetic_regdb"], "not regdb; choose another --data"),
        (["table9", "--config.no_such_field=1"], "is not a config field; did you mean"),
        (["table9", "--data=nowhere"], "'nowhere' is neither a dataset"),
        (["table9", "--trials=x"], "--trials=x is not a list of trials"),
        (["table9", "--data=folder", "--scale=tiny"], "has no dataset of the layout folder"),
    ]:
        assert main(f"{ROOT}/configs/agw.py", {"table9": TABLE}, "An experiment.", arguments) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; give the same command again"),
        (PermissionError(13, "Permission denied", "runs"), 2, "runs: Permission denied"),
    ],
)
def test_what_ends_a_sweep_is_a_sentence(error, status, message, monkeypatch, capsys):
    def ends(*_):
        raise error

    monkeypatch.setattr("experiments.command.print_tables", ends)
    assert main(f"{ROOT}/configs/agw.py", {"table9": TABLE}, "An experiment.", ["table9"]) == status
    assert message in capsys.readouterr().err


def test_a_dataset_that_cannot_be_rendered_is_named(tmp_path, monkeypatch):
    fails = subprocess.CompletedProcess([], 2)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: fails)
    folder = tmp_path / "d"
    job = sweep.Sweep(
        f"{ROOT}/configs/agw.py", "tiny", (f"--config.data.folder={folder}",), (0,), (), tmp_path
    )
    with pytest.raises(InputError, match=f"{folder} was not rendered"):
        sweep.render(job)


def test_the_tiny_dataset_keeps_the_options_of_the_one_asked_for():
    assert tiny("synthetic", "sysu_mm01") == "tiny"
    assert tiny("regdb,trial=2,variant=code", "regdb") == "tiny_regdb,trial=2,variant=code"
    assert tiny("variant=code,synthetic", "sysu_mm01") == "tiny,variant=code"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "table", "count", "options"),
    [
        ("pfinet", "table4", 3, ""),
        ("base_derivative", "table4", 6, ""),
        ("mutual_prediction", "table4", 7, ""),
        ("idkl", "table4", 6, ""),
        ("idkl", "table4", 6, ",variant=code"),
    ],
)
def test_a_table_at_the_tiny_scale(experiment, table, count, options, tmp_path, monkeypatch):
    import importlib

    monkeypatch.chdir(ROOT)
    module = importlib.import_module(f"experiments.{experiment}")
    arguments = [
        table,
        "--scale=tiny",
        f"--data=synthetic{options}",
        f"--output={tmp_path}",
        f"--config.data.folder={tmp_path}/d",
    ]
    arguments.append(f"--config.data.prepared={tmp_path}/p")
    assert main(f"configs/{experiment}.py", module.TABLES, module.__doc__, arguments) == 0
    assert len([*tmp_path.rglob("result.json")]) == count
    (text,) = [file.read_text() for file in tmp_path.rglob("table_*.md")]
    assert text.count("\n| ") >= count

"""A run whose weights come from another one, or from other data, is not tested on its people."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.run_folder import rows_of

from jreid.__main__ import main
from jreid.commands.trained_on import fields_of_start
from jreid.find import Trust
from jreid.runs.bundle import record_of
from jreid.runs.record import marks_of_record


@pytest.fixture(autouse=True)
def _trust(monkeypatch):
    """As --trust-code, for runs that are read without a command."""
    monkeypatch.setattr(Trust, "given", True)


@pytest.fixture(scope="module")
def folder(render, tmp_path_factory):
    return render(tmp_path_factory.mktemp("data") / "tiny_regdb", "regdb")


@pytest.fixture(scope="module")
def train(folder, prepared, tmp_path_factory):
    """A function from a run's folder and flags to the status of training it."""

    def train(workdir, *flags, data="tiny_regdb,trial=1", source=folder, epochs=0):
        command = ["train", f"--config={ROOT}/configs/agw.py:{data}", "--no-report"]
        command += ["--config.method=helpers.small_method", "--config.evaluation.rerank=none"]
        command += [f"--config.data.folder={source}", f"--config.data.prepared={prepared}"]
        return main([*command, f"--config.epochs={epochs}", f"--workdir={workdir}", *flags])

    return train


@pytest.fixture(scope="module")
def first(train, tmp_path_factory):
    """A run that has trained on the first split."""
    workdir = tmp_path_factory.mktemp("first") / "run"
    assert train(workdir, epochs=1) == 0
    return workdir


def marked(workdir):
    return [bool(row.get("trained_on_unknown")) for row in rows_of(workdir)]


def evaluate(workdir, *flags):
    return main(["evaluate", f"--workdir={workdir}", "--trust-code", *map(str, flags)])


@pytest.mark.fault("A2")
def test_weights_that_were_trained_on_the_test_people_start_no_run(train, first, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert train(workdir, f"--init-from={first}", data="tiny_regdb,trial=2") == 2
    assert f"were training images of the run in {first}; start from" in capsys.readouterr().err
    assert not workdir.exists()
    assert train(workdir, f"--init-from={first}") == 0
    assert not any(marked(workdir))


@pytest.mark.fault("A2")
def test_the_test_people_of_a_start_are_remembered_by_its_heirs(
    train, first, folder, tiny_folder, tmp_path, capsys
):
    """A run on SYSU-MM01's layout that started from one on RegDB's."""
    workdir = tmp_path / "run"
    assert train(workdir, f"--init-from={first}", data="tiny", source=tiny_folder) == 0
    assert not any(marked(workdir))
    other = ["--data=tiny_regdb,trial=2", f"--data-folder={folder}"]
    assert evaluate(workdir, *other) == 2
    assert f"were training images of the run in {first}; evaluate" in capsys.readouterr().err
    assert evaluate(workdir, "--data=tiny_regdb,trial=1", other[1]) == 0
    (result,) = workdir.glob("result-*.json")
    assert not any("trained_on_unknown" in row for row in json.loads(result.read_text())["rows"])


@pytest.mark.fault("A2")
@pytest.mark.slow
def test_a_start_whose_images_are_gone_marks_every_row(train, folder, tmp_path, capsys):
    gone, start, workdir = tmp_path / "gone", tmp_path / "start", tmp_path / "run"
    shutil.copytree(folder, gone)
    assert train(start, source=gone) == 0
    shutil.rmtree(gone)
    assert train(workdir, f"--init-from={start}", data="tiny_regdb,trial=2") == 0
    out, err = capsys.readouterr()
    assert f"{start}: the images that its weights were trained on" in err
    assert "Marked: perhaps trained on" in out
    (workdir / "result.json").unlink()
    assert evaluate(workdir) == 0
    assert all(marked(workdir))
    file = tmp_path / "f.npz"
    embed = ["embed", f"--workdir={workdir}", "--split=test", f"--output={file}", "--trust-code"]
    assert main(embed) == 0
    assert json.loads(str(np.load(file)["origin"]))["row"]["trained_on_unknown"]


@pytest.mark.fault("A2")
def test_a_run_is_not_resumed_on_people_that_it_tests(train, first, folder, tmp_path, capsys):
    second = {"data": "tiny_regdb,trial=2", "epochs": 1}
    workdir = shutil.copytree(first, tmp_path / "run")
    before = (workdir / "result.json").read_bytes()
    assert train(workdir, "--allow-config-drift", **second) == 2
    assert f"were training images of the run in {workdir}; train" in capsys.readouterr().err
    assert (workdir / "result.json").read_bytes() == before

    gone = tmp_path / "gone"  # now its images cannot be compared
    shutil.copytree(folder, gone)
    lost = tmp_path / "lost"
    assert train(lost, epochs=1, source=gone) == 0
    shutil.rmtree(gone)
    assert train(lost, "--allow-config-drift", **second) == 0
    assert all(marked(lost))
    assert evaluate(lost) == 0
    assert all(marked(lost))


@pytest.mark.fault("A7")
def test_features_of_one_trial_are_not_called_another(first, tmp_path, capsys):
    file, result = tmp_path / "f.npz", tmp_path / "r.json"
    embed = ["embed", f"--workdir={first}", "--split=test", f"--output={file}", "--trust-code"]
    assert main(embed) == 0
    features, wrong = f"--features={file}", "--protocol=regdb:split_number=5"
    for command in (["evaluate", features, wrong], ["recall", features, wrong, "--index=Flat"]):
        assert main(command) == 2
        assert "but the dataset has split_number=1" in capsys.readouterr().err
    assert main(["evaluate", features, "--protocol=regdb", f"--output={result}"]) == 0
    (row,) = json.loads(result.read_text())["rows"]
    assert row["fingerprint"] in {row["fingerprint"] for row in rows_of(first)}
    assert row["label"].endswith("trial 1 of 10")


@pytest.mark.parametrize(
    ("record", "is_marked"),
    [
        ({}, False),
        ({"start": {"kind": "random"}, "drifts": []}, False),
        ({"start": {"kind": "run", "trained_on_unknown": False}}, False),
        ({"start": {"kind": "run", "trained_on_unknown": True}}, True),
        ({"start": {"kind": "run"}}, True),  # of an earlier version, which did not compare
        ({"drifts": [{"step": 0, "changed": ["data: a, b"]}]}, False),
        ({"drifts": [{"step": 3, "changed": ["data.folder: a, b", "seed: 0, 1"]}]}, False),
        ({"drifts": [{"step": 3, "changed": ["seed: 0, 1", "data: a, b"]}]}, True),
    ],
)
def test_what_a_record_says_of_earlier_data(record, is_marked):
    expected = {"trained_on_unknown": True} if is_marked else {}
    assert marks_of_record(record) == expected
    published = record_of(record, SimpleNamespace(to_dict=dict), {})
    assert marks_of_record(published) == expected


@pytest.mark.parametrize(("trial", "is_known"), [(1, True), (2, False)])
def test_the_config_of_an_import_says_which_data_it_is_of(trial, is_known):
    def config(trial):
        fields = {"name": "regdb", "layout": "regdb", "folder": "data", "split_number": trial}
        return SimpleNamespace(data=SimpleNamespace(**fields))

    start = SimpleNamespace(
        workdir="runs/imported",
        record=lambda: {"data_fingerprint": None, "start": {"kind": "import"}},
        config=lambda: config(1),
    )
    found = fields_of_start(start, config(trial), SimpleNamespace(fingerprint="2"))
    assert found == {"data_fingerprint": None, "trained_on_unknown": not is_known}

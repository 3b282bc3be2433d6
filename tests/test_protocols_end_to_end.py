"""RegDB's trials, LLCM, a folder of one's own, and features on their own, from the command line."""

import json
import shutil

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.run_folder import rows_of

from jreid.__main__ import main

# Datasets and protocols are tested here, which need no large network.
SMALL = ("--config.method=helpers.small_method", "--no-report")


def call(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def refused(capsys, *arguments) -> str:
    capsys.readouterr()
    assert call(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    (message,) = [line for line in lines if line.startswith("jreid: ")]
    return message


@pytest.fixture(scope="module")
def regdb(render, tmp_path_factory):
    """The tiny RegDB and its flags."""
    folder = render(tmp_path_factory.mktemp("regdb") / "folder", "regdb")
    return [f"--config.data.folder={folder}", f"--config.data.prepared={folder.parent}/prepared"]


@pytest.fixture(scope="module")
def trials(regdb, tmp_path_factory):
    """Two trials of RegDB, and what they were called with."""
    workdir = tmp_path_factory.mktemp("trials") / "runs"
    flags = [f"--config={ROOT}/configs/agw.py:tiny_regdb", *regdb, f"--workdir={workdir}"]
    flags += ["--config.epochs=1", *SMALL]
    assert call("train", *flags, "--trials=1-2") == 0
    return workdir, flags


def test_trials_are_runs_of_their_own(trials):
    workdir, _ = trials
    for trial in (1, 2):
        rows = rows_of(workdir / f"trial_{trial:02d}")
        assert {row["protocol"]["trial"] for row in rows} == {trial}
        assert {(row["trials"], row["of_trials"]) for row in rows} == {(1, 10)}
        directions = {row["protocol"]["direction"] for row in rows}
        assert directions == {"infrared_to_visible", "visible_to_infrared"}
        assert {row["protocol"]["cmc"] for row in rows} == {"image"}


def test_the_mean_over_trials(trials):
    workdir, _ = trials
    one, two = (rows_of(workdir / f"trial_{trial:02d}") for trial in (1, 2))
    mean = rows_of(workdir)
    assert len(mean) == len(one) == len(two) > 0
    for a, b, both in zip(one, two, mean, strict=True):
        assert a["rerank"] == both["rerank"]
        for name in ("mAP", "mINP"):
            assert both[name] == pytest.approx((a[name] + b[name]) / 2)
            assert both["std"][name] == pytest.approx(abs(a[name] - b[name]) / 2)
        assert both["cmc"]["1"] == pytest.approx((a["cmc"]["1"] + b["cmc"]["1"]) / 2)
        assert (both["trials"], both["of_trials"]) == (2, 10)
        assert both["fingerprint"] not in (a["fingerprint"], b["fingerprint"])


def test_trials_go_on_where_they_stopped(trials, capsys, monkeypatch):
    workdir, flags = trials
    written = (workdir / "trial_01" / "result.json").stat().st_mtime_ns
    (workdir / "trial_02" / "result.json").unlink()
    (workdir / "result.json").unlink()
    assert call("train", *flags, "--trials=1,2") == 0
    assert (workdir / "trial_01" / "result.json").stat().st_mtime_ns == written
    assert rows_of(workdir)[0]["trials"] == 2
    assert "2 of 10" in capsys.readouterr().out


def test_a_model_is_tested_on_its_own_trial_only(trials, regdb, capsys):
    workdir, _ = trials
    one = f"--workdir={workdir}/trial_01"
    other = ["--config.data.split_number=2", "--trust-code", *regdb]
    message = refused(capsys, "evaluate", one, *other)
    assert "config.data.split_number cannot be changed" in message


@pytest.mark.parametrize("text", ["", "0", "3-1", "1-11", "a", "1;2", "1-99999"])
def test_trials_that_do_not_exist(text, regdb, tmp_path, capsys):
    flags = [f"--config={ROOT}/configs/agw.py:tiny_regdb", *regdb, f"--workdir={tmp_path}/runs"]
    assert "trial" in refused(capsys, "train", *flags, f"--trials={text}")
    assert not (tmp_path / "runs").exists()


def test_trials_of_a_dataset_that_has_none(tiny_folder, tmp_path, capsys):
    flags = [f"--config={ROOT}/configs/agw.py:tiny", f"--config.data.folder={tiny_folder}"]
    message = refused(capsys, "train", *flags, f"--workdir={tmp_path}/runs", "--trials=1-2")
    assert "sysu_mm01 has none" in message


@pytest.fixture(scope="module")
def llcm(render, tmp_path_factory):
    """An untrained run on the tiny LLCM."""
    place = tmp_path_factory.mktemp("llcm")
    render(place / "folder", "llcm")
    flags = [f"--config.data.folder={place}/folder", f"--config.data.prepared={place}/prepared"]
    flags += [f"--config={ROOT}/configs/agw.py:tiny_llcm", "--config.epochs=0", *SMALL]
    assert call("train", *flags, f"--workdir={place}/run") == 0
    return place / "run"


def test_llcm_both_ways(llcm):
    rows = [row for row in rows_of(llcm) if row["rerank"] == "none"]
    assert [row["protocol"]["direction"] for row in rows] == [
        "infrared_to_visible",
        "visible_to_infrared",
    ]
    assert all(row["trials"] == 10 and row["valid_queries"] for row in rows)


@pytest.fixture(scope="module")
def features(llcm):
    """The features of its test split."""
    file = llcm.parent / "features.npz"
    embed = ["embed", f"--workdir={llcm}", "--trust-code", "--split=test"]
    assert call(*embed, f"--output={file}") == 0
    return file


def test_features_of_a_run_give_its_numbers(llcm, features, tmp_path, capsys):
    output = tmp_path / "result.json"
    flags = [f"--features={features}", "--rerank=none", f"--output={output}"]
    for direction in ("infrared_to_visible", "visible_to_infrared"):
        flags.append(f"--protocol=llcm:direction={direction}")
    assert call("evaluate", *flags) == 0
    ours = json.loads(output.read_text())["rows"]
    theirs = [row for row in rows_of(llcm) if row["rerank"] == "none"]
    for a, b in zip(ours, theirs, strict=True):
        assert a["fingerprint"] == b["fingerprint"]
        assert a["protocol_text"] == b["protocol_text"]
        assert a["cmc"] == b["cmc"] and a["mAP"] == b["mAP"]
    capsys.readouterr()
    assert call("evaluate", "--compare", output, llcm / "result.json") == 0
    assert ours[0]["fingerprint"] in capsys.readouterr().out


@pytest.mark.fault("F30")
def test_comparing_what_cannot_be(llcm, trials, tmp_path, capsys):
    message = refused(
        capsys, "evaluate", "--compare", llcm / "result.json", trials[0] / "result.json"
    )
    assert "cannot be compared" in message
    (tmp_path / "text.json").write_text("no")
    message = refused(capsys, "evaluate", "--compare", tmp_path / "text.json", llcm / "result.json")
    assert "text.json cannot be read as a result" in message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--features needs --protocol"),
        (["--protocol=market"], "protocol=market does not exist"),
        (["--protocol=regdb:search=all"], "regdb has no search"),
        (["--protocol=sysu_mm01"], "sysu_mm01:sampling=seeded"),
        (["--protocol=llcm", "--rerank=gnn"], "gnn"),
        (["--protocol=llcm", "--rerank=standard:k1=5000"], "k1"),
        (["--protocol=llcm", "--config.seed=1"], "goes only with --workdir"),
        (["--protocol=llcm", "--output=."], "does not end in .json"),
    ],
)
def test_features_and_flags_that_do_not_fit(features, capsys, flags, message):
    assert message in refused(capsys, "evaluate", f"--features={features}", *flags)


def test_protocols_of_several_datasets_do_not_say_which_one(features, tmp_path, capsys):
    arrays = {**np.load(features)}
    del arrays["origin"]
    np.savez(tmp_path / "f.npz", **arrays)
    flags = [f"--features={tmp_path}/f.npz", "--protocol=llcm", "--protocol=folder"]
    assert "llcm and folder" in refused(capsys, "evaluate", *flags)
    assert call("evaluate", *flags, "--dataset=mine", f"--output={tmp_path}/result.json") == 0
    assert [row["protocol_text"] for row in rows_of(tmp_path)] == ["llcm", "folder"]


@pytest.mark.parametrize("flag", ["--protocol=llcm", "--rerank=none"])
def test_flags_of_features_with_a_run_or_a_comparison(llcm, capsys, flag):
    assert "goes only with --features" in refused(
        capsys, "evaluate", f"--workdir={llcm}", "--trust-code", flag
    )
    both = [llcm / "result.json", llcm / "result.json"]
    assert "goes only with --features" in refused(capsys, "evaluate", "--compare", *both, flag)


@pytest.mark.fault("F30")
def test_trials_evaluated_by_other_rules_have_no_mean(trials, capsys):
    workdir, flags = trials
    result = workdir / "trial_02" / "result.json"
    before = result.read_text()
    content = json.loads(before)
    content["rows"][0]["protocol"]["cmc"] = "identity"
    result.write_text(json.dumps(content))
    try:
        message = refused(capsys, "train", *flags, "--trials=1-2")
    finally:
        result.write_text(before)
    assert "not evaluated by the same protocols" in message
    assert "is in 1 of 2" in message


@pytest.mark.fault("F16")
def test_sysu_mm01_from_features_alone(tiny_folder, tiny_dataset, tmp_path):
    table = tiny_dataset.table.of_split("test")
    features = np.random.default_rng(0).standard_normal((len(table.name), 8), np.float32)
    columns = {"identities": table.identity, "cameras": table.camera, "names": table.name}
    np.savez(tmp_path / "f.npz", features=features, modalities=table.modality, **columns)
    flags = ["evaluate", f"--features={tmp_path}/f.npz", "--dataset=tiny"]
    flags += ["--protocol=sysu_mm01:search=indoor,shots=10,trials=3"]
    flags += [f"--gallery-index={tiny_folder}/exp/rand_perm_cam.mat"]
    assert call(*flags, f"--output={tmp_path}/result.json") == 0
    (row,) = rows_of(tmp_path)
    assert row["protocol"]["search"] == "indoor"
    assert row["trials"] == 3
    assert 0 < row["valid_queries"] < row["queries"]


@pytest.fixture(scope="module")
def mine(tiny_folder, tmp_path_factory):
    """A dataset of one's own, made of the tiny one's images."""
    root = tmp_path_factory.mktemp("mine") / "ours, by day & night"
    lines = []
    for split in ("train", "test"):
        people = (tiny_folder / "exp" / f"{split}_id.txt").read_text().strip().split(",")
        for person in map(int, people):
            lines.append(f"person_{person} {split}")
            for camera, modality in ((4, "visible"), (5, "visible"), (6, "infrared")):
                for path in (tiny_folder / f"cam{camera}" / f"{person:04d}").glob("*.jpg"):
                    to = root / modality / f"person_{person}" / f"c{camera}_{path.name}"
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, to)
    (root / "splits.txt").write_text("\n".join(lines) + "\n")
    return root


def test_a_folder_of_ones_own(mine, tmp_path, capsys):
    small = ["--config.epochs=0", "--config.weights=none", *SMALL]
    small += ["--config.image.size=(32,16)", "--config.batch.identities=4"]
    flags = [f"--config={ROOT}/configs/agw.py:folder", *small, f"--config.data.folder={mine}"]
    flags += [f"--config.data.prepared={tmp_path}/prepared", f"--workdir={tmp_path}/run"]
    flags += ["--config.evaluation.rerank=none,standard:k1=5"]
    message = refused(capsys, "train", *flags, "--config.data.identities=9")
    assert "--config.data.identities=8" in message
    assert call("train", *flags) == 0
    rows = rows_of(tmp_path / "run")
    assert {row["protocol"]["name"] for row in rows} == {"folder"}
    assert "gallery images; every query has a match" in capsys.readouterr().err
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["data"]["identities"] == 8  # counted
    assert json.loads((tmp_path / "run" / "run.json").read_text())["drawn_split"] is None
    assert call("train", *flags) == 0
    assert "is finished" in capsys.readouterr().err
    assert call("train", *flags, "--config.data.identities=8") == 0  # the same config
    assert "is finished" in capsys.readouterr().err
    message = refused(capsys, "train", *flags, "--config.data.identities=9")
    assert "data.identities: 9, 8" in message
    (mine / "splits.txt").unlink()
    flags[flags.index(f"--workdir={tmp_path}/run")] = f"--workdir={tmp_path}/drawn"
    assert call("train", *flags) == 0
    assert "splits.txt is missing" in capsys.readouterr().err
    split = json.loads((tmp_path / "drawn" / "run.json").read_text())["drawn_split"]
    assert {*split} == {"train", "test"} and not {*split["train"]} & {*split["test"]}
    assert all(name.startswith("person_") for name in split["train"] + split["test"])
    recorded = json.loads((tmp_path / "drawn" / "config.json").read_text())
    assert recorded["data"]["identities"] == len(split["train"])
    trained = rows_of(tmp_path / "drawn")
    (tmp_path / "drawn" / "result.json").unlink()
    assert call("evaluate", f"--workdir={tmp_path}/drawn", "--trust-code") == 0
    assert rows_of(tmp_path / "drawn") == trained != []


@pytest.mark.fault("F13")
def test_a_partial_dataset_marks_its_results(tiny_folder, tmp_path, capsys):
    folder = tmp_path / "folder"
    shutil.copytree(tiny_folder, folder)
    person = int((folder / "exp" / "test_id.txt").read_text().split(",")[0])
    min((folder / "cam4" / f"{person:04d}").glob("*.jpg")).unlink()
    flags = [f"--config={ROOT}/configs/agw.py:tiny", f"--config.data.folder={folder}"]
    flags += [f"--config.data.prepared={tmp_path}/prepared", "--config.epochs=0", *SMALL]
    message = refused(capsys, "train", *flags, f"--workdir={tmp_path}/run")
    assert "allow_partial" in message
    flags += ["--config.data.allow_partial=true", f"--workdir={tmp_path}/run"]
    assert call("train", *flags) == 0
    assert "partial dataset" in capsys.readouterr().out
    assert {row["partial"] for row in rows_of(tmp_path / "run")} == {True}

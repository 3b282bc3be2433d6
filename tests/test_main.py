"""The command line as a user meets it: help, and bad input reported in one sentence."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers.paths import ROOT

from jreid.__main__ import main
from jreid.distributed import cluster, mesh
from jreid.errors import InputError

TINY = f"--config={ROOT}/configs/agw.py:tiny"


@pytest.fixture(scope="module")
def tiny(tiny_folder, prepared):
    """The flags that name the tiny dataset."""
    return [TINY, f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]


@pytest.fixture(scope="module")
def untrained(tiny, tmp_path_factory):
    """A run of no epochs."""
    workdir = tmp_path_factory.mktemp("untrained") / "run"
    flags = ["--config.epochs=0", "--no-report", f"--workdir={workdir}"]
    assert main(["train", *tiny, *flags]) == 0
    return workdir


@pytest.fixture
def run(untrained, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(untrained, tmp_path / "run")


def refused(capsys, *arguments):
    """Runs a command that must be refused; its one sentence."""
    assert main([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("jreid: ")
    return lines[-1]


@pytest.mark.parametrize(
    "verb",
    [
        [],
        ["train"],
        ["evaluate"],
        ["embed"],
        ["search"],
        ["serve"],
        ["export"],
        ["import"],
        ["pictures"],
        ["report"],
        ["data"],
        ["list"],
        ["config"],
    ],
)
def test_help_needs_nothing_heavy(verb):
    code = (
        "import sys; from jreid.__main__ import main\n"
        f"try: main({[*verb, '--help']!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'jax', 'tensorflow', 'numpy', 'flax', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "usage: jreid" in done.stdout


def test_unknown_config_field(capsys, tiny, tmp_path):
    message = refused(capsys, "train", *tiny, "--workdir", tmp_path / "run", "--config.epoch=1")
    assert "did you mean config.epochs?" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("field", ["cpu_threads", "pooling", "evaluation.flip"])
def test_run_of_a_version_without_a_field(capsys, run, tmp_path, field):
    *groups, name = field.split(".")
    for file, way in (("config.json", groups), ("run.json", ["config", *groups])):
        content = json.loads((run / file).read_text())
        group = content
        for part in way:
            group = group[part]
        del group[name]
        (run / file).write_text(json.dumps(content))
    out = ["--split", "test", "--output", tmp_path / "out.npz"]
    for verb in (["evaluate"], ["embed", *out]):
        message = refused(capsys, *verb, "--workdir", run)
        assert f"the config has no field {name}," in message


def test_missing_dataset_folder(capsys, tmp_path):
    message = refused(
        capsys, "train", TINY, f"--config.data.folder={tmp_path}/no", "--workdir", tmp_path / "run"
    )
    assert "does not exist" in message
    assert "jreid data synthesize" in message


def test_empty_dataset_folder(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    message = refused(
        capsys,
        "train",
        TINY,
        f"--config.data.folder={tmp_path}/empty",
        "--workdir",
        tmp_path / "run",
    )
    assert str(tmp_path / "empty") in message


@pytest.mark.fault("F09")
def test_a_place_that_cannot_be_written(capsys, tiny_folder, tmp_path):
    (tmp_path / "file").write_text("no folder")
    places = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={tmp_path}/file/p"]
    message = refused(capsys, "train", TINY, *places, "--workdir", tmp_path / "run")
    assert str(tmp_path / "file") in message
    assert "Not a directory" in message


def test_batch_that_devices_cannot_share(capsys, tiny, tmp_path):
    flags = ["--config.batch.identities=3", "--config.batch.images=2"]
    message = refused(capsys, "train", *tiny, *flags, "--workdir", tmp_path / "run")
    assert "6 rows, which 4 devices cannot share" in message


def test_more_identities_a_batch_than_there_are(capsys, tiny, tmp_path):
    message = refused(
        capsys, "train", *tiny, "--config.batch.identities=16", "--workdir", tmp_path / "run"
    )
    assert "config.batch.identities" in message


def test_identities_of_another_dataset(capsys, tiny, tmp_path):
    message = refused(
        capsys, "train", *tiny, "--config.data.identities=9", "--workdir", tmp_path / "run"
    )
    assert "--config.data.identities=8" in message


@pytest.mark.fault("F17")
def test_identity_in_one_modality_only(capsys, tiny_dataset, tiny_config, tmp_path, monkeypatch):
    table = tiny_dataset.table
    person = table.identity[table.split == "train"][0]
    keep = (table.identity != person) | (table.modality == "visible")
    broken = tiny_dataset._replace(table=table.take(keep))
    monkeypatch.setattr("jreid.data.dataset.load", lambda *_: broken)
    message = refused(capsys, "train", TINY, "--workdir", tmp_path / "run")
    assert str(person) in message
    assert "infrared" in message


@pytest.mark.fault("F16")
def test_queries_without_a_match(capsys, tiny_dataset, tmp_path, monkeypatch):
    table = tiny_dataset.table
    strangers = np.where(table.modality == "infrared", table.identity + 1000, table.identity)
    broken = tiny_dataset._replace(
        table=table._replace(identity=np.where(table.split == "test", strangers, table.identity))
    )
    monkeypatch.setattr("jreid.data.dataset.load", lambda *_: broken)
    message = refused(capsys, "train", TINY, "--workdir", tmp_path / "run")
    assert "queries of the test split has a match" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.seed=-1", "config.seed=-1"),
        ("--config.log_every_steps=0", "config.log_every_steps=0"),
        ("--config.cpu_threads=0", "config.cpu_threads=0"),
        ("--config.checkpoint_every_epochs=0", "at least 1"),
        ("--config.protocols=sysu_mm01:distance=l2", "config.protocols: The protocol's distance"),
        ("--config.protocols=()", "config.protocols"),
        ("--config.protocols=sysu_mm01:serch=all,shots=1", "did you mean search"),
        ("--config.protocols=('sysu_mm01','sysu_mm01:shots=1')", "are the same protocol"),
        ("--config.evaluation.rerank=none,standart", "config.evaluation.rerank: standart"),
        ("--config.evaluation.batch_size=0", "config.evaluation.batch_size=0"),
        ("--config.image.size=128", "a height and a width"),
        ("--config.data.train_splits=('train','test')", "the test split is never trained on"),
        ("--config.backbone.depth=101", "depth"),
    ],
)
def test_values_that_cannot_be_meant(capsys, tiny, tmp_path, flag, message):
    assert message in refused(capsys, "train", *tiny, flag, "--workdir", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("weights", ["nowhere.safetensors", "imagenet"])
def test_missing_weights(capsys, tiny, tmp_path, monkeypatch, weights):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    flags = [f"--config.weights={weights}", "--workdir", tmp_path / "run"]
    message = refused(capsys, "train", *tiny, *flags)
    assert "weights" in message
    assert not (tmp_path / "run").exists()


def test_workdir_of_another_config(capsys, tiny, run):
    tiny = [*tiny, "--config.epochs=0"]
    message = refused(capsys, "train", *tiny, "--config.seed=1", "--workdir", run)
    assert "seed: 1, 0" in message
    assert "choose another --workdir" in message


def test_workdir_of_a_run_on_other_images(capsys, tiny, run, render, tmp_path):
    other = render(tmp_path / "other", seed=1)
    tiny = [*tiny, "--config.epochs=0", "--workdir", run]
    message = refused(capsys, "train", *tiny, f"--config.data.folder={other}")
    assert "on other images" in message


def test_evaluation_changes_only_how_it_evaluates(capsys, run):
    message = refused(capsys, "evaluate", "--workdir", run, "--config.seed=3")
    assert "config.seed cannot be changed" in message
    allowed = ["--config.protocols=sysu_mm01", "--config.cpu_threads=3"]
    assert main(["evaluate", "--workdir", str(run), *allowed]) == 0
    rows = json.loads((run / "result.json").read_text())["rows"]
    assert {row["protocol"]["shots"] for row in rows} == {1}


@pytest.mark.parametrize("others", [[], ["--coordinator=localhost:1", "--processes=2"]])
def test_the_config_says_how_many_threads_compute(tiny, tmp_path, monkeypatch, others):
    found = []

    def devices(*_):
        found.append(os.environ["NPROC"])
        raise InputError("enough is known.")

    monkeypatch.setenv("NPROC", "1")
    monkeypatch.setattr(mesh, "devices", devices)
    monkeypatch.setattr(cluster, "join", devices)
    flags = [*others, "--process-id=1"] if others else []
    run = f"--workdir={tmp_path}/run"
    assert main(["train", *tiny, "--config.cpu_threads=3", run, *flags]) == 2
    assert found == ["3"]


def test_workdir_that_holds_something_else(capsys, tiny, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    message = refused(capsys, "train", *tiny, "--workdir", tmp_path)
    assert "choose an empty --workdir" in message
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_workdir_without_a_run(capsys, tmp_path):
    for arguments in (
        ["evaluate", "--workdir", tmp_path],
        ["train", "--workdir", tmp_path],
        [
            "embed",
            "--workdir",
            tmp_path,
            "--images",
            tmp_path,
            "--modality=visible",
            "--output=x.npz",
        ],
    ):
        assert "holds no run" in refused(capsys, *arguments)


def test_flags_that_no_verb_knows(capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--workdir", str(tmp_path), "--images=1"])
    assert stopped.value.code == 2
    assert "--images=1" in capsys.readouterr().err


def test_a_config_flag_with_a_space_is_no_folder(capsys, tmp_path):
    message = refused(capsys, "report", f"--workdir={tmp_path}", "--config.data.folder=/my photos")
    assert str(tmp_path) in message and "my photos" not in message


@pytest.mark.fault("F18")
def test_a_loss_that_is_not_finite_stops_the_run(capsys, tiny, tmp_path):
    run = tmp_path / "run"
    flags = ["--config.optimizer.learning_rate=1e30", "--config.optimizer.warmup_epochs=0"]
    message = capsys.readouterr()
    assert main(["train", *tiny, *flags, "--workdir", str(run)]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "training stopped at step" in message
    assert "last good checkpoint is step 0" in message
    assert not (run / "result.json").exists()


def test_embedding_a_folder_of_the_layout(run, tiny_folder, tmp_path, capsys):
    output = tmp_path / "cam3.npz"
    folder = shutil.copytree(tiny_folder / "cam3", tmp_path / "copy" / "cam3")
    (folder / "left_out.tif").touch()
    arguments = ["embed", "--workdir", str(run), "--images", str(folder)]
    capsys.readouterr()
    assert main([*arguments, "--modality=infrared", "--output", str(output)]) == 0
    message = capsys.readouterr().err
    assert message.startswith(f"jreid: {folder}: ")
    assert "(1 .tif)" in message
    with np.load(output) as arrays:
        found = dict(arrays)
    paths = sorted((tiny_folder / "cam3").glob("*/*.jpg"))
    assert found["names"].tolist() == [f"{p.parent.name}/{p.stem}" for p in paths]
    assert found["identities"].tolist() == [int(path.parent.name) for path in paths]
    assert set(found["cameras"]) == {3}
    assert set(found["modalities"]) == {"infrared"}
    assert found["features"].shape == (len(paths), 64)
    assert found["features"].dtype == np.float32
    message = refused(capsys, *arguments, "--modality=visible", "--output", tmp_path / "x.npz")
    assert "camera 3" in message
    result = json.loads((run / "result.json").read_text())
    assert {row["checkpoint"] for row in result["rows"]} == {"last"}


def test_an_import_does_not_guess_how_many_people_there_were(capsys, tmp_path):
    flags = [f"--config={ROOT}/configs/agw.py:folder", f"--workdir={tmp_path}/run"]
    message = refused(capsys, "import", *flags, f"--checkpoint={tmp_path}/agw.pth")
    assert "config.data.identities=0" in message and "--config.data.identities=N" in message

"""A run that is asked to go on with another config, another network or other data."""

import json
import shutil

import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image

from jreid import config as configs
from jreid.__main__ import main


@pytest.fixture(scope="module")
def places(tiny_folder, prepared):
    return [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]


@pytest.fixture(scope="module")
def other_folder(render, tmp_path_factory):
    return render(tmp_path_factory.mktemp("other") / "tiny", seed=1)


@pytest.fixture(scope="module")
def train(tmp_path_factory, places):
    """A function from flags to the status of going on with a run of no epoch."""
    workdir = tmp_path_factory.mktemp("drift") / "run"

    def train(*flags, config="agw"):
        arguments = [f"--config={ROOT}/configs/{config}.py:tiny", "--config.epochs=0", *places]
        small = ["--config.method=helpers.small_method"] if config == "agw" else []
        return main(["train", *arguments, *small, "--workdir", str(workdir), "--no-report", *flags])

    assert train() == 0
    train.workdir = workdir
    return train


def add_people(folder, identities):
    """People with one image of each modality, whom jreid splits."""
    rng = np.random.default_rng(min(identities))
    for identity in identities:
        for modality in ("visible", "infrared"):
            place = folder / modality / f"{identity}"
            place.mkdir(parents=True)
            Image.fromarray(rng.integers(0, 256, (32, 16, 3), np.uint8)).save(place / "a.png")


def content(workdir):
    return {
        path.relative_to(workdir): path.read_bytes()
        for path in workdir.rglob("*")
        if path.is_file() and "metrics" not in path.parts
    }


@pytest.mark.fault("F07", "F08")
@pytest.mark.parametrize(
    ("flags", "field"),
    [
        (["--config.data.identities=9"], "data.identities"),
        (["--config.image.size=(64,32)"], "image.size"),
        (["--config.optimizer.kind=adam"], "optimizer.kind"),
        (["--config.backbone.depth=34"], "backbone.depth"),
        (["--config.optimizer.learning_rate=0.05"], "optimizer.learning_rate"),
        (["--config.batch.images=4"], "batch.images"),
        (["--config.seed=1"], "seed"),
        (["--config.epochs=3"], "epochs"),
    ],
)
def test_another_config_is_shown_and_refused(train, capsys, flags, field):
    before = content(train.workdir)
    assert train(*flags) == 2
    err = capsys.readouterr().err
    assert f"another config (1 field differs, asked and recorded: {field}: " in err
    assert "--allow-config-drift" in err
    assert content(train.workdir) == before


@pytest.mark.fault("F07")
def test_another_method_is_refused(train, capsys):
    assert train(config="pfinet") == 2
    err = capsys.readouterr().err
    assert "holds a run of another config" in err
    assert "pfinet" in err


@pytest.mark.fault("F08")
def test_other_data_are_refused_unless_allowed(train, capsys, other_folder):
    before = content(train.workdir)
    other = f"--config.data.folder={other_folder}"
    assert train(other) == 2
    assert "on other images" in capsys.readouterr().err
    assert content(train.workdir) == before
    assert train(other, "--allow-config-drift") == 0
    assert train("--allow-config-drift") == 0  # back again
    drifts = json.loads((train.workdir / "run.json").read_text())["drifts"]
    assert [drift["step"] for drift in drifts[-2:]] == [0, 0]
    assert drifts[-1]["changed"][0].startswith("data: ")


@pytest.mark.fault("F08")
@pytest.mark.parametrize(
    "flags", [[], ["--config.data.identities=0", "--allow-config-drift"], ["--allow-config-drift"]]
)
def test_people_who_joined_the_folder_are_named_with_the_run(flags, tmp_path, capsys):
    folder, workdir = tmp_path / "people", tmp_path / "run"
    add_people(folder, range(4))
    train = ["train", "--config=agw:folder,small", "--config.epochs=0", "--no-report"]
    train += ["--config.method=helpers.small_method", "--config.evaluation.rerank=none"]
    train += ["--config.image.size=(32,16)", "--config.batch.identities=2"]
    train += [f"--config.data.folder={folder}", f"--config.data.prepared={tmp_path}/prepared"]
    assert main([*train, f"--workdir={workdir}"]) == 0, capsys.readouterr().err
    add_people(folder, range(4, 10))
    before = content(workdir)
    assert main([*train, *flags, f"--workdir={workdir}"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"the run in {workdir} was trained on 2 people, and {folder} now holds 5 in" in message
    assert "restore its images" in message and "identities=" not in message
    assert content(workdir) == before


@pytest.mark.fault("F08")
def test_a_drift_that_is_allowed_is_kept(train, capsys):
    rate = "--config.optimizer.learning_rate"
    assert train(f"{rate}=0.05", "--allow-config-drift") == 0
    config = json.loads((train.workdir / "config.json").read_text())
    assert config["optimizer"]["learning_rate"] == 0.05
    drifts = json.loads((train.workdir / "run.json").read_text())["drifts"]
    assert drifts[-1] == {"step": 0, "changed": ["optimizer.learning_rate: 0.05, 0.1"]}
    assert train(f"{rate}=0.1", "--allow-config-drift") == 0


@pytest.mark.fault("F08")
def test_where_the_images_are_now_is_kept_and_is_no_drift(train, tiny_folder, tmp_path, capsys):
    before = json.loads((train.workdir / "run.json").read_text())
    moved = shutil.copytree(tiny_folder, tmp_path / "moved")
    (train.workdir / "result.json").unlink()
    assert train(f"--config.data.folder={moved}") == 0, capsys.readouterr().err
    config = configs.read(train.workdir / "config.json")
    after = json.loads((train.workdir / "run.json").read_text())
    assert config.data.folder == after["config"]["data"]["folder"] == str(moved)
    assert after["drifts"] == before["drifts"]
    assert main(["train", f"--workdir={train.workdir}", "--trust-code"]) == 0
    assert "is finished" in capsys.readouterr().err
    again = moved.rename(tmp_path / "again")
    assert train(f"--config.data.folder={again}") == 0
    assert "is finished" in capsys.readouterr().err
    assert configs.read(train.workdir / "config.json").data.folder == str(again)
    assert main(["train", f"--workdir={train.workdir}", "--trust-code"]) == 0
    assert "is finished" in capsys.readouterr().err


@pytest.mark.fault("A2")
def test_results_of_a_run_whose_record_was_removed_are_marked(train, tmp_path, capsys):
    workdir = shutil.copytree(train.workdir, tmp_path / "run")
    (workdir / "run.json").unlink()
    for _ in range(2):  # the mark stays
        assert train(f"--workdir={workdir}") == 0
        (row, *_) = json.loads((workdir / "result.json").read_text())["rows"]
        assert row["trained_on_unknown"]
        (workdir / "result.json").unlink()
    assert "run.json is missing" in capsys.readouterr().err


@pytest.mark.fault("F07")
def test_fewer_epochs_than_the_run_has_are_refused_even_then(places, tmp_path, capsys):
    train = ["train", f"--config={ROOT}/configs/agw.py:tiny", *places, "--no-report"]
    train += ["--config.method=helpers.small_method", "--config.evaluation.every_epochs=0"]
    train += ["--config.evaluation.rerank=none", f"--workdir={tmp_path}/run"]
    assert main([*train, "--config.epochs=1"]) == 0, capsys.readouterr().err
    before = content(tmp_path / "run")
    assert main([*train, "--config.epochs=0", "--allow-config-drift"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"the run in {tmp_path}/run is trained to step 11, beyond the 0 of this" in message
    assert content(tmp_path / "run") == before


@pytest.mark.fault("F07")
def test_what_another_optimizer_cannot_take_over_is_refused_even_then(train, capsys):
    before = content(train.workdir)
    assert train("--config.optimizer.kind=adam", "--allow-config-drift") == 2
    message = capsys.readouterr().err
    assert "nothing is loaded" in message
    assert "optimizer/model/1/mu/" in message
    assert content(train.workdir) == before

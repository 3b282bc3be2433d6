"""`jreid doctor`: what it tells, and what it finds."""

import pytest
from helpers.paths import ROOT

from jreid.__main__ import main
from jreid.commands import doctor

CONFIG = f"--config={ROOT}/configs/agw.py:tiny"


@pytest.fixture
def places(tiny_folder, prepared):
    return [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]


def test_the_installation_alone(capsys):
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("installation  Python 3.")
    assert "jax 0." in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["devices"] * 4
    assert "GB of memory" in lines[1]
    assert not err


def test_what_a_config_needs(capsys, places):
    assert main(["doctor", CONFIG, *places]) == 0
    out, _ = capsys.readouterr()
    assert "config        config.cpu_threads=2 compute, on " in out
    assert "dataset       tiny: " in out
    assert "queries without a match" in out
    assert "2 epochs are 22 steps" in out
    assert " ms for 16 images" in out
    assert "as the compiler estimates" in out


def test_every_check_is_made_and_faults_are_counted(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_memory", lambda device: 1000)
    assert main(["doctor", CONFIG, f"--config.data.folder={tmp_path / 'no'}"]) == 1
    out, err = capsys.readouterr()
    assert f"dataset       FAULT: {tmp_path / 'no'} does not exist" in out
    assert "MB of memory and the device has 0 MB; lower config.batch.identities" in out
    assert err.endswith("jreid: 2 of 6 checks found a fault.\n")


def test_a_missing_package_is_named(capsys, monkeypatch):
    monkeypatch.setattr("jreid.versions.PACKAGES", ("jax", "no-such-package"))
    assert main(["doctor"]) == 1
    assert "FAULT: no-such-package cannot be found; install" in capsys.readouterr().out


@pytest.mark.fault("C6")
def test_a_config_that_is_none_ends_no_other_check(capsys):
    assert main(["doctor", f"--config={ROOT}/configs/agw.py:market"]) == 1
    out, err = capsys.readouterr()
    assert "GB of memory" in out
    assert "config        FAULT: " in out
    assert "'market' is neither a dataset" in out
    assert err == "jreid: 1 of 3 checks found a fault.\n"


def test_fields_need_a_config(capsys):
    assert main(["doctor", "--config.nonsense=1"]) == 2
    assert "--config.nonsense=1 needs --config" in capsys.readouterr().err


@pytest.mark.fault("C6")
def test_a_check_that_breaks_ends_no_other(capsys, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("of nothing\nat all")

    for name in ("jreid.engine.step_cost.measure", "jreid.training.plan.plan_training"):
        monkeypatch.setattr(name, broken)
    monkeypatch.setattr(doctor, "dataset_of", lambda _: None)
    assert main(["doctor", CONFIG]) == 1
    out, err = capsys.readouterr()
    for name in ("dataset", "step"):
        assert f"{name:<12}  FAULT: ZeroDivisionError: of nothing at all" in out.splitlines()
    assert err == "jreid: 2 of 6 checks found a fault.\n"


@pytest.mark.fault("C6")
def test_a_dataset_whose_identities_are_not_known_has_no_step(capsys, tmp_path):
    (tmp_path / "visible").mkdir()
    flags = [f"--config={ROOT}/configs/agw.py:folder", "--config.weights=none"]
    assert main(["doctor", *flags, f"--config.data.folder={tmp_path}"]) == 1
    out, _ = capsys.readouterr()
    assert "dataset       FAULT: " in out
    assert "step          FAULT: config.data.identities=0" in out

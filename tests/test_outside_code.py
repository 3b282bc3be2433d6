"""Code outside of jreid: whose config may have it run, and what a run records of it."""

import hashlib
import json
import sys

import pytest
from helpers.paths import ROOT

from jreid import config as configs
from jreid.__main__ import main
from jreid.config import outside_names
from jreid.find import outside_version

MODULE = "planted_of_this_test"
FIELDS = {
    "method": f"{MODULE}.method",
    "data.layout": f"{MODULE}.market",
    "batch.sampler": f"{MODULE}.samplers.by_camera",
    "triplet.kind": f"{MODULE}.losses:circle",
}
# Other spellings that a field would import.
SPELLINGS = [
    ("protocols", [f" {MODULE}.market"]),
    ("protocols", [f"{MODULE}.market "]),
    ("protocols", [f"{MODULE}.market:shots=1\n"]),
    ("protocols", [f"{MODULE}:market:shots=1"]),
    ("protocols", [f"{MODULE}:market(shots=1)"]),
    ("triplet.kind", f"{MODULE}.circle\n"),
    ("triplet.kind", f"{MODULE}.circle "),
    ("method", f"\u00e9{MODULE}.method"),
]


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A module in the current directory that leaves a trace when it is imported."""
    for name in (MODULE, f"\u00e9{MODULE}"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'trace')!r}, 'w').close()\nraise RuntimeError('ran')"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path / "trace"


def run_with(folder, field, value):
    """A run's folder as far as its config."""
    group, _, name = field.rpartition(".")
    content = json.loads(configs.to_text(configs.load("agw:tiny")))
    (content[group] if group else content)[name] = value
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "verb",
    [
        ["evaluate", "--workdir=run"],
        ["embed", "--workdir=run", "--split=test", "--output=x.npz"],
        ["embed", "--workdir=run", "--images=.", "--modality=visible", "--output=x.npz"],
        ["search", "--workdir=run", "--query=.", "--gallery=."],
        ["serve", "--workdir=run", "--gallery=.", "--port=0"],
        ["pictures", "--workdir=run"],
        ["train", "--workdir=run"],
    ],
)
def test_no_verb_runs_what_a_runs_config_names(verb, planted, tmp_path, capsys):
    run_with(tmp_path / "run", "method", f"{MODULE}.method")
    assert main(verb) == 2
    assert f"config.method={MODULE}.method" in (reported := capsys.readouterr().err)
    assert "--trust-code" in reported
    assert not planted.exists()


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_a_runs_config_runs_anything(field, planted, tmp_path, capsys):
    run_with(tmp_path / "run", field, FIELDS[field])
    assert main(["evaluate", "--workdir=run"]) == 2
    assert f"config.{field}={FIELDS[field]}" in capsys.readouterr().err
    assert not planted.exists()


@pytest.mark.parametrize(("field", "value"), SPELLINGS)
def test_no_spelling_of_a_name_hides_it(field, value, planted, tmp_path, capsys):
    run_with(tmp_path / "run", field, value)
    assert main(["evaluate", "--workdir=run"]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert not planted.exists()


def test_what_the_user_trusts_is_run(planted, tmp_path, capsys):
    run_with(tmp_path / "run", "data.layout", MODULE + ".market")
    assert main(["evaluate", "--workdir=run", "--trust-code"]) == 2
    assert "cannot be imported: RuntimeError: ran" in capsys.readouterr().err
    assert planted.exists()


def test_a_config_of_the_command_line_is_trusted(planted, capsys):
    flags = [f"--config.data.layout={MODULE}.market", "--workdir=run"]
    assert main(["train", "--config=agw:tiny", *flags]) == 2
    assert "cannot be imported: RuntimeError: ran" in capsys.readouterr().err
    assert planted.exists()


def test_the_weights_of_an_untrusted_run_are_not_taken(
    planted, tmp_path, tiny_folder, prepared, capsys
):
    run_with(tmp_path / "other", "method", f"{MODULE}.method")
    data = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
    assert main(["train", "--config=agw:tiny", *data, "--workdir=run", "--init-from=other"]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert not planted.exists()


def test_no_field_of_jreids_own_configs_looks_like_code_of_outside():
    for name in ("agw", "idkl", "pfanet", "pfinet", "mutual_prediction", "base_derivative"):
        assert outside_names(configs.load(f"{name}:sysu_mm01")) == {}


def test_a_run_records_the_version_of_code_outside_of_jreid(monkeypatch):
    installed = {"numpy": ["numpy"]}  # reading all that is installed takes seconds
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: installed)
    package, version = outside_version("numpy.linalg:norm")
    assert package == "numpy" and version[0].isdecimal()
    file = ROOT / "tests" / "helpers" / "paths.py"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert outside_version("helpers.paths.ROOT(shots=1)") == ("helpers.paths", f"sha256:{digest}")

"""Learning rates are chosen on the validation identities; the config's own rate needs no flag."""

import json

import pytest
from helpers.paths import ROOT

from experiments import rates
from experiments.sweep import Sweep, workdir
from experiments.tables import Row
from jreid.errors import InputError


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(rates, "run_tables", lambda tables, launch: None)
    return Sweep(f"{ROOT}/configs/agw.py", "synthetic", (), (0,), (), tmp_path)


def write_metrics(sweep, row, *scores):
    folder = workdir(sweep, row, 0) / "metrics"
    folder.mkdir(parents=True)
    lines = [{"step": 1, "epoch": 0, "model/accuracy": 0.5}]
    lines += [{"step": 1, "validation/mAP": score} for score in scores]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_best_rate_on_the_validation_identities_is_marked(sweep):
    rows = rates.rows_of(sweep)
    assert [*rows] == [0.05, 0.1, 0.2]
    assert rows[0.1].flags == Row("").flags
    for row, scores in zip(rows.values(), ([0.2], [0.9, 0.3], [0.25]), strict=True):
        write_metrics(sweep, row, *scores)
    text = rates.format_tries(dict(rates.run({"agw": sweep}, 1)), "synthetic")
    assert "| agw | 0.05 | 20.00 | 50.0 |" in text
    assert "| agw | **0.1** | **30.00** | **50.0** |" in text
    assert text.count("**") == 6


def test_an_accuracy_that_is_not_known_is_not_zero():
    tries = {"agw": [rates.Try(0.1, 30.0, None), rates.Try(0.2, 20.0, 50.0)]}
    text = rates.format_tries(tries, "synthetic")
    assert "| agw | **0.1** | **30.00** |  |" in text


def test_the_rates_around_that_of_the_quickstart_are_tried_again(sweep):
    rows = rates.rows_of(sweep._replace(data="synthetic,long"))
    assert [*rows] == [0.05, 0.1, 0.2]
    assert [rate for rate, row in rows.items() if row.flags == ()] == [0.2]  # the chosen one


def test_a_method_may_be_tried_alone_with_an_option_of_its_own(tmp_path, monkeypatch, capsys):
    asked = {}
    monkeypatch.setattr(rates, "run", lambda sweeps, launch: asked.update(sweeps) or {})
    monkeypatch.setattr(rates, "render", lambda sweep: None)
    monkeypatch.setattr(rates, "require_validation", lambda sweep: None)
    data = "--data=synthetic,long,variant=code"
    rates.main(["--methods=idkl", data, f"--output={tmp_path}"])
    (sweep,) = asked.values()
    assert [*rates.rows_of(sweep)] == [0.005, 0.01, 0.02]
    assert "synthetic_long_variant=code.md" in capsys.readouterr().out


def test_a_run_without_validation_is_reported(sweep):
    for row in rates.rows_of(sweep).values():
        write_metrics(sweep, row)
    with pytest.raises(InputError, match="has no validation/mAP: the dataset holds out"):
        dict(rates.run({"agw": sweep}, 1))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds=0,1"], "with one seed"),
        (["--data=synthetic_regdb", "--trials=1-2"], "no --trials"),
        (["--data=sysu_mm01"], "give another, such as sysu_mm01_validated"),
        (["--config.evaluation.every_epochs=0"], "leaves out the validation that chooses a rate"),
    ],
)
def test_what_cannot_choose_a_rate_is_refused_before_it_trains(flags, message, tmp_path, capsys):
    assert rates.main(["--methods=agw", *flags, f"--output={tmp_path}"]) == 2
    assert message in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_dataset_without_validation_identities_is_refused(sweep, tiny_folder, monkeypatch):
    sweep = sweep._replace(data="tiny", flags=(f"--config.data.folder={tiny_folder}",))
    rates.require_validation(sweep)
    examined = rates.examine(rates.source_of(rates.load_config(sweep)))
    rows = [row for row in examined.listing.rows if row.split != "validation"]
    left = examined._replace(listing=examined.listing._replace(rows=rows))
    monkeypatch.setattr(rates, "examine", lambda source: left)
    with pytest.raises(InputError, match="has no validation identities"):
        rates.require_validation(sweep)


def test_long_runs_of_a_real_dataset_are_tried_around_its_small_rate(sweep):
    rows = rates.rows_of(sweep._replace(data="sysu_mm01_validated,long"))
    assert [*rows] == [*rates.rows_of(sweep._replace(data="sysu_mm01_validated,small"))]


def test_a_tiny_sweep_has_a_file_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rates, "run", lambda sweeps, launch: {})
    monkeypatch.setattr(rates, "render", lambda sweep: None)
    monkeypatch.setattr(rates, "require_validation", lambda sweep: None)
    rates.main(["--methods=agw", "--data=synthetic,long", "--scale=tiny", f"--output={tmp_path}"])
    assert [file.name for file in (tmp_path / "rates").iterdir()] == ["tiny.md"]
    assert "Learning rates on tiny" in capsys.readouterr().out

"""The comparison finds every method, and prints what was measured in one table and one plot."""

import numpy as np
import pytest
from helpers.paths import ROOT

from experiments import compare
from experiments.sweep import Sweep
from experiments.tables import SYSU_ALL
from jreid.config_file import shipped_configs
from jreid.engine.step_cost import Costs


def result(rank1, shift=0.0):
    rows = [
        {
            "checkpoint": "last",
            "rerank": kind,
            "protocol": {"search": "all", "shots": 1},
            "cmc": {str(rank): rank1 + rank / 100 for rank in range(1, 21)},
            "mAP": 0.25 + more,
            "mINP": 0.125 + more,
            "fingerprint": f"of {kind} {shift}",
        }
        for kind, more in (("none", 0.0), ("standard(k1=20,k2=6,lambda=0.3)", 0.5))
    ]
    return {"rows": rows, "training_accuracy": 90.0}


RESULTS = {"agw": [result(0.25), result(0.35)], "pfinet": [result(0.45), result(0.45)]}
COSTS = {"agw": Costs(1_234_567, 0.05, 300_000_000), "pfinet": Costs(2_000_000, 0.1, 10**9)}


def sweep_of(name, folder):
    return Sweep(f"{ROOT}/configs/{name}.py", "synthetic", (), (0, 1), (), folder)


def test_every_method_with_a_config_is_found():
    found = compare.methods()
    assert found[0] == "agw"
    assert {*found} == {*shipped_configs()}


def test_the_table_has_means_costs_and_the_papers_numbers(tmp_path):
    text = compare.format_methods(SYSU_ALL, sweep_of("agw", tmp_path), RESULTS, COSTS)
    agw = "| agw | 31.00 ± 7.07 |  | 25.00 ± 0.00 |  | 12.50 ± 0.00 | 31.00 ± 7.07 | 75.00 ± 0.00 |"
    assert agw in text
    assert "| pfinet | 46.00 ± 0.00 | +15.00 | 25.00 ± 0.00 | +0.00 |" in text
    assert "| 90.00 ± 0.00 | 47.50 | 47.65 | 1.23 | 50 | 300 |" in text
    assert "| 90.00 ± 0.00 | 68.53 | 65.51 | 2.00 | 100 | 1000 |" in text
    assert "R1, paper, SYSU-MM01" in text
    assert "synthetic, all search, single shot; test split" in text
    assert "over 2 seeds; differences with 95 % intervals (bootstrap over people, " in text
    message = "; protocol raw and re-ranked `of none 0.0` and `of standard"
    assert message in text and " of agw" not in text


@pytest.mark.fault("A7")
def test_a_marked_result_is_marked_beside_the_methods(tmp_path):
    marked = result(0.35)
    marked["rows"][0]["skipped_images"] = 3
    results = {**RESULTS, "agw": [result(0.25), marked]}
    text = compare.format_methods(SYSU_ALL, sweep_of("agw", tmp_path), results, COSTS)
    assert "agw: 3 training images skipped" in text


def test_one_seed_has_no_deviation(tmp_path):
    sweep = sweep_of("agw", tmp_path)._replace(seeds=(0,))
    results = {name: of_seeds[:1] for name, of_seeds in RESULTS.items()}
    text = compare.format_methods(SYSU_ALL, sweep, results, COSTS)
    assert "last checkpoint, one seed; differences" in text and "±" not in text


def test_a_paper_that_does_not_say_whether_it_re_ranks_is_named(tmp_path):
    results = {"agw": RESULTS["agw"], "idkl": RESULTS["pfinet"]}
    costs = {**COSTS, "idkl": COSTS["pfinet"]}
    text = compare.format_methods(SYSU_ALL, sweep_of("agw", tmp_path), results, costs)
    assert "| 81.42 | 79.85 |" in text
    assert "the paper of idkl does not say whether its numbers are re-ranked" in text
    without = compare.format_methods(SYSU_ALL, sweep_of("agw", tmp_path), RESULTS, COSTS)
    assert "does not say" not in without


def test_numbers_of_different_protocols_are_distinguished(tmp_path):
    results = {**RESULTS, "pfinet": [result(0.45, 1.0)] * 2}
    text = compare.format_methods(SYSU_ALL, sweep_of("agw", tmp_path), results, COSTS)
    assert "`of none 0.0` and `of standard(k1=20,k2=6,lambda=0.3) 0.0` of agw" in text
    assert "1.0` of pfinet" in text
    assert "; a method that another protocol than agw's evaluates is not compared with it" in text
    assert "| pfinet | 46.00 ± 0.00 |  |" in text


def test_the_plot_has_a_curve_for_each_method(tmp_path):
    compare.plot_cmc(SYSU_ALL, sweep_of("agw", tmp_path), RESULTS, tmp_path / "cmc.png")
    from matplotlib.image import imread

    pixels = imread(tmp_path / "cmc.png")
    assert pixels.shape[:2] == (600, 840)
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 10


def test_a_method_of_another_protocol_is_not_in_the_plot(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn, plot = [], Axes.plot

    def recorded(axes, *points, label, **options):
        drawn.append(label)
        return plot(axes, *points, label=label, **options)

    monkeypatch.setattr(Axes, "plot", recorded)
    results = {**RESULTS, "pfinet": [result(0.45, 1.0)] * 2}
    compare.plot_cmc(SYSU_ALL, sweep_of("agw", tmp_path), results, tmp_path / "cmc.png")
    assert drawn == ["agw"]


def test_what_the_table_shows_must_be_evaluated_before_anything_is_trained(tmp_path, capsys):
    flags = ["--data=tiny", "--config.evaluation.rerank=none", f"--output={tmp_path}"]
    assert compare.main(flags) == 2
    assert "re-ranking standard, by which the config does not evaluate" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_all_methods_are_trained_by_one_launch(tmp_path, monkeypatch):
    def run_tables(tables, launch):
        assert launch == "launch"
        return [{table.rows[0]: [result(0.5, sweep.config)]} for sweep, table in tables]

    monkeypatch.setattr(compare, "run_tables", run_tables)
    sweeps = {name: sweep_of(name, tmp_path) for name in ("agw", "pfinet")}
    results = compare.run_all(sweeps, "launch")
    assert results == {name: [result(0.5, sweep.config)] for name, sweep in sweeps.items()}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("idkl", "lacks agw, which the others"),
        ("agw,idlk", "idlk does not exist; did you mean idkl"),
    ],
)
def test_some_of_the_methods_need_the_baseline_and_exist(methods, message, tmp_path, capsys):
    assert compare.main([f"--methods={methods}", f"--output={tmp_path}"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_all_methods_at_the_tiny_scale(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    flags = [f"--config.data.folder={tmp_path}/d", f"--config.data.prepared={tmp_path}/p"]
    compare.main(["--scale=tiny", f"--output={tmp_path}", *flags])
    (text,) = [file.read_text() for file in tmp_path.rglob("methods.md")]
    assert all(f"\n| {name} | " in text for name in compare.methods())
    assert [*tmp_path.rglob("cmc.png")]

"""Every experiment's tables: as many printed numbers as columns, and rows that are methods."""

import importlib

import pytest
from helpers.paths import ROOT

from experiments.command import TINY
from experiments.sweep import Sweep, workdir
from experiments.tables import (
    SYSU_ALL,
    SYSU_INDOOR,
    Row,
    Table,
    find,
    format_table,
    mean_training_accuracy,
    others,
)
from jreid import config as configs
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.methods import load
from jreid.runs.check_config import check_config

QUICK = ("agw", "base_derivative", "pfinet")  # whose rows do not take long to trace
NAMES = [f.stem for f in (ROOT / "experiments").glob("*.py") if "\nTABLES = " in f.read_text()]
ALL = [
    (name, table)
    for name in NAMES
    for table in importlib.import_module(f"experiments.{name}").TABLES.values()
]


def result(rank1, mAP, search="all", rerank="none"):
    row = {
        "checkpoint": "last",
        "rerank": rerank,
        "protocol": {"search": search, "shots": 1},
        "cmc": {"1": rank1},
        "mAP": mAP,
        "fingerprint": f"of {search}",
    }
    return {"rows": [row]}


@pytest.mark.fault("A7")
def test_a_marked_result_is_marked_in_the_table():
    table = Table("Table 9", (SYSU_ALL,), (Row("ours"),))
    whole, partial = result(0.5, 0.5), result(0.5, 0.5)
    partial["rows"][0]["partial"] = True
    text = format_table(table, "tiny", "sysu_mm01", {table.rows[0]: [whole, partial]}, (0, 1))
    assert "ours: partial" in text
    assert "partial" not in format_table(
        table, "tiny", "sysu_mm01", {table.rows[0]: [whole, whole]}, (0, 1)
    )


@pytest.mark.parametrize(
    ("trial", "words"),
    [(0, ""), (3, "; split 3 of 10"), ([1, 4], "; splits 1, 4 of 10"), ([*range(1, 11)], "")],
)
def test_a_table_of_some_splits_says_of_which(trial, words):
    table = Table("Table 9", (SYSU_ALL,), (Row("ours"),))
    one = result(0.5, 0.5)
    one["rows"][0]["of_trials"] = 10
    one["rows"][0]["protocol"] |= {"trial": trial}
    text = format_table(table, "tiny", "sysu_mm01", {table.rows[0]: [one]}, (0,))
    assert f"protocol `of all`{words}\n" in text


def test_pfinet_and_base_derivative_are_found():
    assert {"pfinet", "base_derivative"} <= {*NAMES}


@pytest.mark.parametrize(("name", "table"), ALL, ids=lambda value: getattr(value, "title", value))
def test_printed_numbers_are_as_many_as_columns(name, table):
    for row in table.rows:
        blocks = [block.split() for block in row.printed.split("|")] if row.printed else []
        assert len(blocks) <= len(table.settings)
        for block, setting in zip(blocks, table.settings, strict=False):
            assert len(block) in (0, len(setting.measures)), (row.name, setting.title)
            assert all(cell == "-" or 0 < float(cell) <= 100 for cell in block)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_can_be_trained_at_the_small_scales(name):
    for row in {row for of, table in ALL if of == name for row in table.rows if row.flags}:
        config = configs.load(f"{ROOT}/configs/{name}.py:synthetic,long", row.flags)
        check_config(config)
        load(config)


@pytest.mark.parametrize(
    "name", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in NAMES]
)
def test_every_row_is_a_method(name):
    flags = {
        row.flags for of, table in ALL if of == name for row in table.rows if row.flags is not None
    }
    assert () in flags
    for given in flags:
        config = configs.load(f"{ROOT}/configs/{name}.py:{TINY['sysu_mm01']}", given)
        assert Model(config).shapes().params


def test_ours_stand_beside_the_papers_by_setting():
    table = Table(
        "Table 9: made up",
        (SYSU_ALL, SYSU_INDOOR),
        (Row("ours", (), "50.5 40 | - 30"), *others("theirs: 1.5 2 | 3 4")),
    )
    found = [result(0.25, 0.5), result(0.75, 0.5)]
    found = [{"rows": r["rows"] + result(0.1, 0.2, "indoor")["rows"]} for r in found]
    text = format_table(table, "synthetic", "sysu_mm01", {table.rows[0]: found}, (0, 1))
    assert "| ours | 50.00 ± 35.36 |  | 50.5 | 50.00 ± 0.00 |  | 40 |  |" in text
    assert "| ours | 10.00 ± 0.00 |  | - | 20.00 ± 0.00 |  | 30 |  |" in text
    assert "| theirs |  |  | 1.5 |  |  | 2 |  |" in text
    assert "R1 ours, synthetic | difference | R1 paper, SYSU-MM01" in text
    assert "`of all`" in text and "`of indoor`" in text


def test_rows_are_compared_with_the_first_or_the_one_they_name():
    rows = Row("A"), Row("B", ("--b",)), Row("C", ("--c",), against="B"), Row("A again")
    measures = SYSU_ALL._replace(measures=("R1", "R10", "mAP"))
    found = {
        row: [{"training_accuracy": float(rank1), **result(rank1 / 100, 0.5)} for rank1 in of_row]
        for row, of_row in zip(
            rows, ((10, 12, 14), (20, 22, 24), (20, 23, 29), (10, 12, 14)), strict=True
        )
    }
    for results in found.values():
        for one in results:
            one["rows"][0]["cmc"]["10"] = 0.9
    table = Table("Table 9", (measures,), rows)
    text = format_table(table, "synthetic", "sysu_mm01", found, (0, 1, 2))
    even = "90.00 ± 0.00 |  | 50.00 ± 0.00"
    assert f"| A | 12.00 ± 2.00 |  |  | {even} |  |  | 12.00 ± 2.00 |" in text
    assert f"| B | 22.00 ± 2.00 | +10.00 |  | {even} | +0.00 |" in text
    assert "| C | 24.00 ± 4.58 | +2.00 to B |" in text
    assert f"| A again | 12.00 ± 2.00 |  |  | {even} |  |  |" in text


def test_a_reranked_row_is_compared_with_the_first_one_that_is_reranked():
    rows = Row("A"), Row("A, re-ranked", (), rerank="standard"), Row("B", ("--b",), "", "standard")
    found = {
        row: [result(rank1, 0.5, rerank=row.rerank)]
        for row, rank1 in zip(rows, (0.1, 0.4, 0.6), strict=True)
    }
    text = format_table(Table("T", (SYSU_ALL,), rows), "synthetic", "sysu_mm01", found, (0,))
    assert "| B | 60.00 | +20.00 |" in text
    assert "to the first row of the same re-ranking, unless another is named" in text


def test_intervals_of_one_seed_do_not_claim_to_be_over_runs():
    rows = Row("A"), Row("B", ("--b",))
    for seeds, drawn in (((0,), "people and trials)"), ((0, 1), "people, trials and runs)")):
        found = {row: [result(0.5, 0.5) for _ in seeds] for row in rows}
        text = format_table(Table("T", (SYSU_ALL,), rows), "synthetic", "sysu_mm01", found, seeds)
        assert f"(bootstrap over {drawn}" in text
        assert ("other seeds" in text) == (len(seeds) == 1)


def test_a_run_without_a_training_accuracy_leaves_no_mean_of_the_others():
    known, unknown = {"training_accuracy": 90.0}, {"training_accuracy": None}
    assert mean_training_accuracy([known, known]) == "90.00 ± 0.00"
    assert mean_training_accuracy([known, unknown]) == mean_training_accuracy([]) == ""


def test_agw_without_a_part_is_compared_with_agw():
    from experiments.agw import TABLES

    (table,) = TABLES.values()
    for row in table.rows:
        of_parts = len(row.flags or ())  # that it lacks
        assert row.against == ("AGW" if of_parts == 1 else ""), row.name


def test_idkls_points_are_all_fields_in_which_its_variants_differ():
    from experiments.idkl import POINTS

    paper, code = (
        configs.flat(configs.load(f"{ROOT}/configs/idkl.py:tiny,variant={variant}").idkl.to_dict())
        for variant in ("paper", "code")
    )
    changed = {}
    for row in POINTS.rows:
        config = configs.load(f"{ROOT}/configs/idkl.py:tiny", row.flags)
        found = configs.flat(config.idkl.to_dict())
        changed |= {name: found[name] for name in paper if found[name] != paper[name]}
    assert changed.pop("divergence.reduce") == "sum"
    assert changed == {name: code[name] for name in paper if paper[name] != code[name]}


@pytest.mark.parametrize(("name", "table"), ALL, ids=lambda value: getattr(value, "title", value))
def test_a_row_is_compared_with_one_that_exists(name, table):
    for row in table.rows:
        own = [one.name for one in table.rows if one.rerank == row.rerank and one.flags is not None]
        assert row.against in ("", *own)


def test_a_setting_that_was_not_evaluated_is_reported():
    with pytest.raises(InputError, match="not evaluated by indoor search, single shot"):
        find(result(0.5, 0.5), SYSU_INDOOR, "none")
    with pytest.raises(InputError, match="re-ranking query_only"):
        find(result(0.5, 0.5), SYSU_ALL, "query_only")
    assert find(result(0.5, 0.5, rerank="standard(k1=20)"), SYSU_ALL, "standard")["mAP"] == 0.5


NUMBERED = {
    "mutual_prediction": {
        "figure3a": "alpha", "figure3b": "alpha", "figure3c": "beta", "figure3d": "beta"
    },
    "idkl": {
        "figure5_lambda1": "weights.purifier",
        "figure5_lambda2": "weights.tgsa",
        "figure5_lambda3": "weights.csa",
    },
    "base_derivative": {"figure7": "loss_weights.multi_directional"},
}  # fmt: skip
OPTIONS = {"mutual_prediction": "preset=B", "idkl": "variant=code", "base_derivative": ""}


@pytest.mark.parametrize("method", NUMBERED)
def test_a_row_named_by_a_number_has_that_value_with_every_option(method):
    tables = importlib.import_module(f"experiments.{method}").TABLES
    for name, field in NUMBERED[method].items():
        for option in {"", OPTIONS[method]}:
            source = f"{ROOT}/configs/{method}.py:" + ",".join(filter(None, ("tiny", option)))
            rows = [row for row in tables[name].rows if row.name.replace(".", "").isdigit()]
            assert rows
            for row in rows:
                config = configs.load(source, row.flags or ())
                load(config)
                assert configs.flat(config[method].to_dict())[field] == float(row.name)


def test_rows_whose_flags_change_nothing_share_the_run_of_the_config(tmp_path):
    sweep = Sweep(f"{ROOT}/configs/idkl.py", "tiny", (), (0,), (), tmp_path)
    same, other = (Row("", (f"--config.idkl.weights.tgsa={value}",)) for value in (0.6, 0.5))
    assert workdir(sweep, same, 0) == workdir(sweep, Row(""), 0) == tmp_path / "default" / "seed_0"
    assert workdir(sweep, other, 0) == tmp_path / "idkl.weights.tgsa=0.5" / "seed_0"
    changed = sweep._replace(flags=("--config.idkl.weights.tgsa=0.5",))
    assert workdir(changed, same, 0) == tmp_path / "idkl.weights.tgsa=0.6" / "seed_0"

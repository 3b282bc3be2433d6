"""A result file with a field that is missing or spoiled: an error that names it, or a table."""

import copy
import io
import json
from functools import partial

import pytest
from markupsafe import Markup

from jreid import config as configs
from jreid.console import Console
from jreid.errors import InputError
from jreid.evaluation import compare, format_comparison, read_protocol, read_result
from jreid.evaluation.results.intervals import compare_intervals, lines, mean_of_runs
from jreid.evaluation.results.paper import paper_table
from jreid.evaluation.results.paper_forms import FORMS
from jreid.evaluation.results.tables import format_results
from jreid.report.comparison import Side, comparison_page
from jreid.report.run_report import run_page
from jreid.runs.run import Run

CONFIG = configs.load("agw:tiny")
METRICS = {"cmc": {"1": 0.5, "10": 0.8, "20": 0.9}, "mAP": 0.4, "mINP": 0.3}


def row(protocol, **fields):
    return {
        "checkpoint": "last",
        "step": 5,
        "of_steps": 5,
        "weights": "7dde",
        "dataset": "synthetic",
        "protocol": read_protocol(protocol).stored(),
        "protocol_text": protocol,
        "label": protocol,
        "fingerprint": protocol,
        "rerank": "none",
        "images": "a",
        **METRICS,
        "std": copy.deepcopy(METRICS),
        "trials": 10,
        "of_trials": 10,
        "queries": 9,
        "valid_queries": 8,
        "partial": False,
        "skipped_images": 0,
        **fields,
    }


MIXED = {
    "share": 0.3,
    "cross_modality_mAP": {"mean": 0.1234, "std": 0.01},
    "confusion": {"mean": 0.5678, "std": 0.02},
}
RESULT = {
    "method": "agw",
    "dataset": "synthetic",
    "seed": 0,
    "config_hash": "0",
    "data_fingerprint": "1",
    "extraction": {"evaluation.flip": False},
    "rows": [row("sysu_mm01"), row("mixed:dataset=sysu_mm01,share=0.3", mixed=MIXED)],
}
REGDB = row("regdb:split_number=1")
REGDB["protocol"]["trial"] = [1, 2]
SPLITS = {**RESULT, "rows": [REGDB], "trials": [1, 2]}
JUNK = (None, "x", [7])


def places(content, path=()):
    """The path of every field, and of the items of lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def spoiled(content, path, change):
    copied = parent = json.loads(json.dumps(content))
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return copied


@pytest.fixture
def use(tmp_path, monkeypatch):
    """Reads a result, and makes every table and page of it, beside a sound one and in a mean."""
    monkeypatch.setattr("jreid.report.charts._svg", lambda *_: Markup(""))
    run, file = Run(tmp_path), tmp_path / "result.json"
    sound = json.loads(json.dumps({**RESULT, "rows": [*RESULT["rows"], REGDB], "seed": 1}))

    def use(content):
        file.write_text(json.dumps(content))
        result = read_result(file)
        run_page(run, CONFIG, result, "no images")
        for form in FORMS:
            paper_table([result, sound], form)
        comparison_page([Side(str(n), CONFIG, one, {}) for n, one in enumerate((result, sound))])
        mean = mean_of_runs([result, {**result, "seed": 7}], ("a", "b"))
        format_results("mean", mean["rows"])
        for pair in ((result, sound), (result, mean)):
            format_comparison(compare(*pair))
            [*lines(compare_intervals(*pair, ("a", "b")))]

    return use


def remove(parent, key):
    del parent[key]


def set_to(value, parent, key):
    parent[key] = value


@pytest.mark.parametrize(
    ("content", "within"), [(RESULT, ("rows", 1)), (SPLITS, ("rows", 0, "protocol", "trial"))]
)
def test_every_field_may_be_missing_or_spoiled(content, within, use):
    use(content)
    accepted = 0
    paths = [
        path
        for path in places(content)
        if path[: len(within)] == within or (content is RESULT and len(path) == 1)
    ]
    for path in paths:
        changes = [remove, *(partial(set_to, value) for value in JUNK)]
        for change in changes:
            try:
                use(spoiled(content, path, change))
                accepted += 1
            except InputError as error:
                assert "\n" not in str(error)
    assert accepted > 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rows", 0, "cmc"), {"5": 0.5}),
        (("rows", 0, "cmc", "1"), "0.5"),
        (("rows", 0, "cmc", "x"), 0.5),
        (("rows", 0, "std"), 7),
        (("rows", 0, "trials"), "ten"),
        (("rows", 0, "protocol", "rooms"), [3]),
        (("rows", 1, "mixed", "confusion"), 0.5),
        (("seed",), "zero"),
        (("missing",), {}),
    ],
)
def test_the_spoiled_field_is_named(path, value, use):
    spoilt = spoiled(RESULT, path, lambda parent, key: parent.update({key: value}))
    field = next(name for name in path if name != "rows" and isinstance(name, str))
    with pytest.raises(InputError, match=rf"result\.json is not a result .*{field}"):
        use(spoilt)


def test_a_rank_that_is_missing_is_a_dash(use):
    content = spoiled(RESULT, ("rows", 0, "cmc", "10"), remove)
    assert "50.00 | - | 90.00" in paper_table([content], "markdown")
    use(content)


def test_a_mixed_gallerys_measures_are_everywhere(tmp_path, monkeypatch):
    monkeypatch.setattr("jreid.report.charts._svg", lambda *_: Markup(""))
    other = {**RESULT, "seed": 1}
    sides = [Side(name, CONFIG, result, {}) for name, result in (("a", RESULT), ("b", other))]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(format_comparison(compare(RESULT, other)))
    texts = [
        run_page(Run(tmp_path), CONFIG, RESULT, "no images"),
        comparison_page(sides),
        *(paper_table([RESULT], form) for form in FORMS),
        console.export_text(),
    ]
    for text in texts:
        assert "cross-modality" in text and "confusion" in text
        assert "12.34" in text and "56.78" in text
    for text in texts[:-1]:
        assert "30.0" in text or "3 of them infrared and 7 visible" in text

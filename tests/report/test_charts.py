"""Charts in a page: themes, ids, names, and the numbers beside them."""

import re

import numpy as np
import pytest

from jreid.report.charts import histogram, line_chart, quantile, scatter
from jreid.report.training_curves import read_metrics, training_charts

NAME = '<script>$x$ & "y"</script>'


def charts():
    edges = np.linspace(0, 1, 5)
    points = np.random.default_rng(0).normal(size=(8, 2))
    return [
        line_chart("Lines", "rank", "%", {"a": ([1, 2, 3], [1.0, 2.0, 3.0]), NAME: ([2], [5.0])}),
        histogram("Pairs", "distance", edges, {"same": np.array([1, 2, 0, 0]), "two": np.ones(4)}),
        scatter("Plane", points, ["0001"] * 4 + [NAME] * 4, ["visible", "infrared"] * 4),
    ]


def test_charts_take_the_colors_of_the_page():
    for chart in charts():
        assert "var(--chart-ink)" in chart.svg and "var(--chart-0)" in chart.svg
        assert not re.search("#0000[0-9a-f]{2}", chart.svg)


def test_charts_in_one_page_share_no_id():
    ids = [name for chart in charts() for name in re.findall(r' id="([^"]+)"', chart.svg)]
    assert len(ids) == len({*ids}) > 10
    for chart in charts():
        for name in re.findall(r'(?:href="#|url\(#)([^")]+)', chart.svg):
            assert f'id="{name}"' in chart.svg


def test_names_are_text_and_no_formula():
    for chart in charts()[::2]:
        assert "<script" not in chart.svg
        assert "&lt;script&gt;$x$ &amp;" in chart.svg


def test_every_line_is_in_the_legend():
    chart = line_chart("Lines", "x", "y", {"_a": ([1], [1.0]), "b": ([1], [2.0])})
    assert "_a<" in chart.svg and ">b<" in chart.svg


def test_the_numbers_are_in_the_table():
    lines, pairs, plane = charts()
    assert lines.header == ["rank", "a", NAME]
    assert lines.rows == [["1", "1.00", ""], ["2", "2.00", "5.00"], ["3", "3.00", ""]]
    assert "a ends at 3.00" in lines.description
    assert [row[-1] for row in pairs.rows] == ["3", "4"]
    assert plane.rows == [["0001", "2", "2"], [NAME, "2", "2"]]


def test_a_long_line_has_a_short_table():
    steps = [*range(1000)]
    chart = line_chart("Loss", "step", "value", {"loss": (steps, [float(s) for s in steps])})
    assert len(chart.rows) == 40
    assert chart.rows[-1] == ["999", "999.00"]


def test_quantiles_of_counts():
    assert quantile(np.array([0.0, 1.0, 2.0]), np.array([1, 3]), 0.5) == pytest.approx(4 / 3)


def test_metrics_are_read_in_order_and_broken_lines_skipped(tmp_path):
    file = tmp_path / "metrics.jsonl"
    lines = (
        '{"step": 2, "epoch": 0, "model/loss": 1.0}', "{", "[1]", '{"step": "x"}',
        '{"step": 3, "model/loss": NaN}', '{"step": 1, "model/loss": 3.0, "model/name": "x"}',
        '{"step": 1, "model/loss": 2.0}',
    )  # fmt: skip
    file.write_text("\n".join(lines))
    assert read_metrics(file) == {"model/loss": ([1, 2], [2.0, 1.0])}
    assert read_metrics(tmp_path / "missing") == {}


def test_each_kind_of_metric_has_a_chart():
    line = [1, 2], [0.5, 0.25]
    names = ["model/loss", "model/accuracy", "model/gradient_norm", "validation/rank1"]
    terms = [f"model/term{n}" for n in range(7)]
    found = training_charts(dict.fromkeys([*names, *terms], line))
    assert [chart.title for chart in found] == [
        "Validation", "Loss", "Accuracy", "Gradient norm", "Terms of the loss and more (1)",
        "Terms of the loss and more (2)",
    ]  # fmt: skip
    assert found[0].header == ["step", "rank-1"]
    assert found[0].rows == [["1", "50.00"], ["2", "25.00"]]
    assert training_charts({}) == []

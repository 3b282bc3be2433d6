"""The report of a run: what its page holds, what it escapes, and what it does with bad input."""

import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.browser import browser, console_errors, needs_browser, requested, resize
from helpers.reported_run import make_reported_run

from jreid.__main__ import main
from jreid.errors import InputError
from jreid.find import Trust
from jreid.report.image_sections import Seen
from jreid.report.run_report import cmc_chart, command_of, run_page
from jreid.runs.evaluate import embed_test_split
from jreid.runs.protocols import draw_protocols

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>王$\x1b\udcff"


class Outline(HTMLParser):
    """What a reader of the page's structure finds."""

    VOID = ("meta", "link", "img", "br", "input")

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, *tags):
        return [attrs for tag, attrs in self.found if tag in tags]


@pytest.fixture(scope="module", autouse=True)
def _trust():
    """As --trust-code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trust, "given", True)
        yield


@pytest.fixture(scope="module")
def made(tiny_dataset, tiny_folder, prepared, tmp_path_factory):
    """A run with a result, and its images."""
    workdir = tmp_path_factory.mktemp("reported") / "run"
    run = make_reported_run(workdir, tiny_dataset, tiny_folder, prepared)
    config = run.config()
    drawn = draw_protocols(config, tiny_dataset).test[0]
    embedded = embed_test_split(config, run, tiny_dataset, every=False)
    return run, config, Seen(tiny_dataset, drawn, embedded)


@pytest.fixture(scope="module", autouse=True)
def flat():
    """The features' first two numbers in place of t-SNE, which takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jreid.report.image_sections.project", lambda features: features[:, :2])
        yield


@pytest.fixture(scope="module")
def page(made):
    run, config, seen = made
    return run_page(run, config, run.read_result(), seen)


@pytest.fixture
def run(made, tmp_path):
    """A copy of the run, to be changed."""
    return shutil.copytree(made[0].workdir, tmp_path / "run")


def refused(capsys, *arguments):
    """Runs a command that must be refused; its one sentence."""
    assert main([*map(str, arguments)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jreid: ")]
    return line


def test_the_page_has_the_result_and_how_to_repeat_it(made, page):
    result = made[0].read_result()
    (row,) = {row["fingerprint"]: row for row in result["rows"]}.values()
    for value in (100 * row["cmc"]["1"], 100 * row["mAP"], 100 * row["mINP"]):
        assert f"<dd>{value:.2f}</dd>" in page
    assert row["fingerprint"] in page
    assert "Queries: all infrared images from cameras 3, 6" in page
    assert result["data_fingerprint"] in page and result["config_hash"] in page
    for title in ("CMC", "Validation", "Loss", "Accuracy", "Distances across modalities"):
        assert f"<h3>{title}</h3>" in page
    assert '<code>method</code></th><td class="text"><code>helpers.small_method</code>' in page


def test_the_page_loads_nothing(page):
    outline = Outline(page)
    assert not outline.open
    for attrs in (attrs for _, attrs in outline.found):
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith(("#", "data:"))
    assert "url(" not in re.sub(r"url\(#", "", page)
    assert len(page) < 10e6


def test_the_page_can_be_read_without_eyes_and_colors(page):
    outline = Outline(page)
    levels = [int(tag[1]) for tag, _ in outline.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    images = outline.all("img")
    assert images and all(attrs["alt"] for attrs in images)
    ids = [attrs["id"] for _, attrs in outline.found if "id" in attrs]
    assert len(ids) == len({*ids})
    sections = outline.all("section", "article")
    assert len(sections) > 5
    for attrs in sections:
        assert attrs["aria-labelledby"] in ids
    fields = {attrs["id"] for attrs in outline.all("input", "select")}
    assert fields == {attrs["for"] for attrs in outline.all("label")}
    pictures = [attrs for attrs in outline.all("div") if attrs.get("role") == "img"]
    assert len(pictures) == page.count("<svg ") and all(one["aria-label"] for one in pictures)
    assert {"main", "nav", "header", "footer"} <= {tag for tag, _ in outline.found}
    shots = page.count('class="shot right"'), page.count('class="shot wrong"')
    assert shots == (page.count("✓</span> right"), page.count("✗</span> wrong"))
    assert min(shots) > 0


def test_names_are_text(made):
    run, config, seen = made
    dataset, drawn, embedded = seen
    table = drawn.table._replace(name=drawn.table.name.astype(object) + EVIL)
    names = dict.fromkeys(table.identity.tolist(), EVIL)
    seen = Seen(dataset._replace(names=names), drawn._replace(table=table), embedded)
    workdir = run.workdir.with_name("<b>run")
    evil_run = SimpleNamespace(
        workdir=workdir, metrics=run.metrics, pictures=run.pictures, record=run.record
    )
    page = run_page(evil_run, config, run.read_result(), seen)
    outline = Outline(page)
    assert len(outline.all("script")) == 1
    assert not any("onerror" in attrs for _, attrs in outline.found)
    assert "<b>run" not in page and "&lt;b&gt;run" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page and "\udcff" not in page


def test_a_collapsed_network_has_a_report(made):
    run, config, seen = made
    features = {step: np.ones_like(one) for step, one in seen.embedded.features.items()}
    collapsed = seen._replace(embedded=seen.embedded._replace(features=features))
    page = run_page(run, config, run.read_result(), collapsed)
    assert page.count("<dd>1.000</dd>") == 4  # the mean cosine of each kind of pair
    assert 'class="shot right"' in page


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        (
            "/opt/jreid/__main__.py train --config=agw:tiny",
            "python -m jreid train --config=agw:tiny",
        ),
        ("/usr/bin/jreid train --workdir=x", "python -m jreid train --workdir=x"),
        ("experiments/pfinet.py --seed=1", "python experiments/pfinet.py --seed=1"),
        (
            "'/my env/bin/jreid' train '--workdir=my run'",
            "python -m jreid train '--workdir=my run'",
        ),
        # As earlier versions recorded it.
        ("jreid train --config.a=('b', 1)", "python -m jreid train --config.a=('b', 1)"),
        ("jreid --it's", "python -m jreid --it's"),
        ("", ""),
    ],
)
def test_the_command_has_no_path_of_jreid(recorded, shown):
    assert command_of({"command": recorded}) == shown


def test_each_reranking_has_its_own_curve():
    row = {"label": "all", "checkpoint": "last", "cmc": {"1": 0.5, "2": 1.0}}
    two = ("none", "standard(k1=20)", "standard(k1=30)")
    chart = cmc_chart([{**row, "rerank": text} for text in two])
    assert chart.header == ["rank", "all", *(f"all, re-ranked: {text}" for text in two[1:])]
    one = cmc_chart([{**row, "rerank": text} for text in two[:2]])
    assert one.header == ["rank", "all", "all, re-ranked: standard"]


def test_each_protocol_has_its_own_curve_and_color():
    """Also if they have the same label, since they differ in the trials alone."""
    row = {"label": "all", "checkpoint": "last", "cmc": {"1": 0.5}}
    rows = [
        {**row, "protocol": {"trials": n}, "protocol_text": f"mine:trials={n}", "rerank": text}
        for n in (1, 2)
        for text in ("none", "standard")
    ]
    one, two = "all (mine:trials=1)", "all (mine:trials=2)"
    again = ", re-ranked: standard"
    assert cmc_chart(rows).header == ["rank", one, one + again, two, two + again]


def test_without_scikit_learn_the_page_names_the_remedy(made, monkeypatch):
    def missing(features):
        raise InputError('t-SNE needs sklearn: `pip install "jreid[viz]"`.')

    run, config, seen = made
    monkeypatch.setattr("jreid.report.image_sections.project", missing)
    page = run_page(run, config, run.read_result(), seen)
    assert "t-SNE needs sklearn" in page and "People and modalities" not in page


def test_a_run_whose_images_are_gone_still_has_a_report(run, capsys, tmp_path):
    flags = [str(run), "--trust-code", f"--config.data.folder={tmp_path}/gone", "--json"]
    assert main(["report", *flags]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["report"] == f"{run}/report.html" and "gone does" in document["missing"]
    page = (run / "report.html").read_text()
    assert "This report has no ranked lists, distances and pictures:" in page
    assert "gone does not exist" in page
    assert "<h3>CMC</h3>" in page and 'id="lists"' not in page
    Outline(page)


def test_images_of_another_dataset_are_not_shown(run, capsys):
    result = json.loads((run / "result.json").read_text())
    result["data_fingerprint"] = "0" * 64
    (run / "result.json").write_text(json.dumps(result))
    assert main(["report", f"--workdir={run}", "--trust-code"]) == 0
    assert "other images than those of the result" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "flags", "named"),
    [
        (lambda result: result["rows"][0].update(weights="0" * 12), [], "has the weights"),
        (
            lambda result: result["extraction"].update({"evaluation.flip": True}),
            [],
            "evaluation.flip: True, False",
        ),
        (lambda result: None, ["--config.evaluation.flip=true"], "evaluation.flip: False, True"),
        (lambda result: None, ["--config.protocols=sysu_mm01:search=indoor"], "is of no protocol"),
    ],
)
def test_a_result_is_not_shown_beside_lists_that_are_not_its_own(change, flags, named, run, capsys):
    result = json.loads((run / "result.json").read_text())
    change(result)
    (run / "result.json").write_text(json.dumps(result))
    assert main(["report", f"--workdir={run}", "--trust-code", *flags]) == 0
    page = (run / "report.html").read_text()
    assert named in page and "<h3>CMC</h3>" in page and 'id="lists"' not in page


def test_the_lists_are_of_the_results_first_protocol(run, capsys):
    two = '("sysu_mm01:search=indoor","sysu_mm01:search=all,shots=1,trials=2")'
    flags = [f"--workdir={run}", "--trust-code", f"--config.protocols={two}"]
    assert main(["report", *flags]) == 0
    page = (run / "report.html").read_text()
    assert "gallery of the first trial of <code>sysu_mm01:search=all" in " ".join(page.split())


def test_a_run_without_result_metrics_or_checkpoint(run, capsys, tmp_path):
    (run / "metrics" / "metrics.jsonl").unlink()
    shutil.rmtree(run / "checkpoints")
    output = tmp_path / "page.html"
    assert main(["report", f"--workdir={run}", "--trust-code", f"--output={output}"]) == 0
    page = output.read_text()
    assert "no undamaged checkpoint" in page and "The run has no metrics" in page
    (run / "result.json").unlink()
    message = refused(capsys, "report", f"--workdir={run}", "--trust-code")
    assert "no result.json" in message and "jreid evaluate" in message


def test_bad_input_is_one_sentence(run, capsys, tmp_path):
    assert "no config.json" in refused(capsys, "report", f"--workdir={tmp_path}")
    assert "--workdir=RUN" in refused(capsys, "report")
    gone = f"--config.data.folder={tmp_path}/gone"
    flags = ["report", f"--workdir={run}", "--trust-code", gone]
    (tmp_path / "file").touch()
    for output in (tmp_path, tmp_path / "file" / "report.html"):
        assert f"{output} " in refused(capsys, *flags, f"--output={output}")
    (run / "result.json").write_text("{}")
    assert "result.json" in refused(capsys, *flags)


@needs_browser
def test_the_page_works_in_a_browser(page, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    file = tmp_path / "report.html"
    file.write_text(page)

    def shown():
        lists = driver.find_elements(By.CLASS_NAME, "ranked")
        return [one.get_attribute("data-name") for one in lists if one.is_displayed()]

    def status():
        return driver.find_element(By.ID, "filter-status").text

    with browser(1400) as driver:
        driver.get(file.as_uri())
        everything = shown()
        assert status() == f"{len(everything)} of {len(everything)} queries shown"
        for width in (1400, 390):
            resize(driver, width, 900)
            assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        name = everything[0].upper()
        driver.find_element(By.ID, "filter-name").send_keys(name)
        assert shown() == [one for one in everything if name.lower() in one]
        driver.find_element(By.CSS_SELECTOR, "#filter button").click()
        assert shown() == everything
        for field, key in (("camera", "data-camera"), ("first", "data-first")):
            lists = driver.find_elements(By.CLASS_NAME, "ranked")
            values = [one.get_attribute(key) for one in lists]
            driver.find_element(By.ID, f"filter-{field}").send_keys(values[0])
            same = [n for n, value in zip(everything, values, strict=True) if value == values[0]]
            assert shown() == same
            driver.find_element(By.CSS_SELECTOR, "#filter button").click()
        driver.find_element(By.ID, "filter-name").send_keys("nobody" + Keys.ENTER)
        assert shown() == [] and status().startswith("0 of ")
        summary = driver.find_element(By.TAG_NAME, "summary")
        summary.send_keys(Keys.ENTER)
        assert driver.find_element(By.CSS_SELECTOR, "details[open]")
        assert driver.execute_script(
            "return [...document.images].every(image => image.naturalWidth > 0)"
        )
        assert console_errors(driver) == []
        assert [url for url in requested(driver) if not url.startswith("data:")] == [file.as_uri()]

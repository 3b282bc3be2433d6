"""Several runs side by side: means over seeds, what differs, and what is refused."""

import json
import shutil
from itertools import pairwise

import pytest
from helpers.browser import browser, console_errors, needs_browser, requested
from helpers.reported_run import make_reported_run

from jreid.__main__ import main
from jreid.find import Trust
from jreid.report.comparison import _side as side_of
from jreid.report.comparison import grouped
from jreid.runs.run import Run


@pytest.fixture(scope="module")
def made(tiny_dataset, tiny_folder, prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trust, "given", True)
        make_reported_run(folder / "a", tiny_dataset, tiny_folder, prepared)
    return folder


def changed(made, folder, name, seed=0, value=None, **fields):
    """A copy of the run with another seed, other results, or other config fields."""
    run = shutil.copytree(made / "a", folder / name)
    for file, place in (("config.json", ()), ("run.json", ("config",))):
        content = whole = json.loads((run / file).read_text())
        for part in place:
            content = content[part]
        content.update(seed=seed, **fields)
        (run / file).write_text(json.dumps(whole))
    result = json.loads((run / "result.json").read_text())
    for row in result["rows"] if value is not None else []:
        row["cmc"]["1"] = value
    (run / "result.json").write_text(json.dumps(result | {"seed": seed}))
    return run


def page_of(runs, output, capsys):
    assert main(["report", *map(str, runs), f"--output={output}"]) == 0
    assert str(output) in capsys.readouterr().out
    return output.read_text()


def test_seeds_have_a_mean_and_other_fields_are_named(made, tmp_path, capsys):
    runs = [
        changed(made, tmp_path, "s0", 0, 0.25),
        changed(made, tmp_path, "s1", 1, 0.5),
        changed(made, tmp_path, "longer", 0, 0.75, epochs=9),
    ]
    page = page_of(runs, tmp_path / "both.html", capsys)
    assert "37.50 ± 17.68" in page and "2 seeds" in page
    for run, value in zip(runs, ("25.00", "50.00", "75.00"), strict=True):
        row = page[page.index(f">{run}</th><td>") :].partition("</tr>")[0]
        assert f"<td>{value}</td>" in row
    fields = page[page.index('id="fields"') :]
    values = [fields.index(f"<code>{text}</code>") for text in ("epochs", "2", "9")]
    assert all(a < b for a, b in pairwise(values))
    assert "<code>seed</code>" in fields and "<code>method</code>" not in fields


def test_runs_are_grouped_by_all_fields_but_the_seed(made, tmp_path):
    named = {"a": (0, {}), "b": (1, {"epochs": 9}), "c": (1, {}), "d": (2, {"epochs": 9})}
    runs = [changed(made, tmp_path, n, seed, **more) for n, (seed, more) in named.items()]
    groups = grouped([side_of(Run(run)) for run in [*runs, changed(made, tmp_path, "twin")]])
    names = [[side.name.rpartition("/")[2] for side in group] for group in groups]
    assert names == [["a", "c"], ["b", "d"], ["twin"]]


def refused(capsys, *arguments):
    """Runs a command that must be refused; its one sentence."""
    assert main([*map(str, arguments)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jreid: ")]
    return line


def test_what_cannot_be_compared_is_refused(made, tmp_path, capsys):
    run, other = made / "a", changed(made, tmp_path, "other", 1)
    result = json.loads((other / "result.json").read_text())
    for row in result["rows"]:
        row |= {"fingerprint": "0" * 12, "protocol": row["protocol"] | {"shots": 10}}
    (other / "result.json").write_text(json.dumps(result))
    message = refused(capsys, "report", run, other)
    assert f"{run} and {other}: " in message and "shots: 1, 10" in message
    assert "given twice" in refused(capsys, "report", run, run)
    assert "no config.json" in refused(capsys, "report", run, tmp_path)
    (other / "result.json").unlink()
    assert "result.json cannot be read" in refused(capsys, "report", run, other)
    assert "goes only with one run" in refused(capsys, "report", run, other, "--config.seed=1")


def test_results_that_a_run_lacks_are_left_out(made, tmp_path, capsys):
    more = changed(made, tmp_path, "more", 1)
    result = json.loads((more / "result.json").read_text())
    result["rows"].append(result["rows"][0] | {"fingerprint": "f" * 12, "label": "another"})
    (more / "result.json").write_text(json.dumps(result))
    page = page_of([more, made / "a"], tmp_path / "both.html", capsys)
    assert "Results that not all runs have are left out: 1." in page
    assert "another" not in page


def test_runs_without_a_common_result_are_refused(made, tmp_path, capsys):
    sides = []
    for number, name in enumerate(("both", "one", "two")):
        side = changed(made, tmp_path, name, number)
        result = json.loads((side / "result.json").read_text())
        row = result["rows"][0]
        result["rows"] = [row | {"fingerprint": f"{n}" * 12} for n in (1, 2) if number in (0, n)]
        (side / "result.json").write_text(json.dumps(result))
        sides.append(side)
    assert "No result is in all of these runs" in refused(capsys, "report", *sides)


@needs_browser
def test_the_page_works_in_a_browser(made, tmp_path, capsys):
    runs = [made / "a", changed(made, tmp_path, "<script>alert(1)<", 1)]
    output = tmp_path / "both.html"
    assert "<script>alert" not in page_of(runs, output, capsys)
    with browser(390, dark=True) as driver:
        driver.get(output.as_uri())
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert console_errors(driver) == []
        assert requested(driver)[0] == output.as_uri()
        assert all(url.startswith("data:") for url in requested(driver))

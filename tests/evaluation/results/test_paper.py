"""A table for a paper: its numbers, and the footnote without which they mean nothing."""

import re

import pytest

from jreid.errors import InputError
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01
from jreid.evaluation.protocols.text import describe
from jreid.evaluation.results.paper import FORMS, paper_table

STANDARD = "standard(k1=20,k2=6,lambda=0.3)"


def row(protocol, fingerprint, r1, rerank="none", **fields):
    cmc = {str(rank): r1 for rank in (1, 5, 10, 20)}
    return {
        "checkpoint": "last",
        "protocol": protocol.stored(),
        "protocol_text": f"{protocol.name}:shots=1",
        "label": describe(protocol),
        "fingerprint": fingerprint,
        "rerank": rerank,
        "cmc": cmc,
        "mAP": 0.4,
        "mINP": 0.3,
        "std": {"cmc": dict.fromkeys(cmc, 0.01), "mAP": 0.02, "mINP": 0.03},
        "trials": 10,
        "of_trials": 10,
        **fields,
    }


ALL, INDOOR = sysu_mm01(), sysu_mm01(search="indoor")
AGW = {
    "method": "agw",
    "rows": [
        row(ALL, "aaaa", 0.3754),
        row(ALL, "bbbb", 0.41, STANDARD),
        row(INDOOR, "cccc", 0.4173),
        row(ALL, "aaaa", 0.99, checkpoint="best"),
    ],
}
IDKL = {
    "method": "id_kl",
    "rows": [row(ALL, "aaaa", 0.5, of_seeds=3, partial=True)],
}


@pytest.mark.parametrize("form", FORMS)
def test_numbers_and_footnote(form):
    text = paper_table([AGW, IDKL], form)
    assert "37.54" in text and "41.73" in text and "99" not in text
    assert re.search(r"50\.00 (±|\$\\pm\$) 1\.00", text)  # over the seeds
    assert "37.54 " + ("$" if form == "latex" else "±") not in text
    for part in ("aaaa none", f"bbbb {STANDARD}", "cccc none", "mean over 10 galleries"):
        assert part in text
    assert "mean and sample deviation (n - 1) over 3 seeds" in text and "partial" in text
    assert "one run, last checkpoint" in text


def test_markdown_is_a_table():
    lines = paper_table([AGW, IDKL], "markdown").splitlines()
    cells = [line.strip("|").split("|") for line in lines[:5]]
    assert {len(one) for one in cells} == {2 + 2 * 5}
    assert cells[3][2:7] == [" 41.00 ", " 41.00 ", " 41.00 ", " 40.00 ", " 30.00 "]
    assert cells[3][7:] == [" - "] * 5  # not measured
    assert "R1, indoor, 1-shot" in lines[0]
    assert lines[-1].startswith("In percent.")


def test_latex_has_its_characters_escaped():
    text = paper_table([AGW, IDKL], "latex")
    assert r"id\_kl & none & 50.00 $\pm$ 1.00" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    widths = [
        line.replace(r"\&", "").count("&") + 4 * line.count("multicolumn{5}") for line in rows
    ]
    assert set(widths) == {11}


def test_splits_have_a_deviation():
    protocol = {**regdb(split_number=1).stored(), "trial": [1, 2, 3]}
    mean = row(regdb(split_number=1), "dddd", 0.7, trials=3) | {"protocol": protocol}
    text = paper_table([{"method": "agw", "rows": [mean]}], "markdown")
    assert "70.00 ± 1.00" in text and "3 of 10 splits" in text


@pytest.mark.parametrize("change", [{"fingerprint": "eeee"}, {"images": "2"}])
def test_other_people_do_not_belong_into_one_table(change):
    other = {"method": "idkl", "rows": [row(ALL, "aaaa", 0.5) | change]}
    first = {"method": "agw", "rows": [row(ALL, "aaaa", 0.5, images="1")]}
    with pytest.raises(InputError, match=r"agw and idkl .* one table"):
        paper_table([first, other], "latex")


def test_runs_with_other_rerankings_are_compared_by_their_images():
    first = {"method": "agw", "rows": [row(ALL, "aaaa", 0.5, images="1", queries=9)]}
    one, two = (
        {"method": "idkl", "rows": [row(ALL, "bbbb", 0.5, STANDARD) | change]}
        for change in ({"images": "1", "queries": 9}, {"images": "2", "queries": 9})
    )
    assert "bbbb" in paper_table([first, one], "markdown")
    for other in (two, {"method": "idkl", "rows": [row(ALL, "bbbb", 0.5, STANDARD, queries=8)]}):
        with pytest.raises(InputError, match="one table"):
            paper_table([first, other], "markdown")


def test_seeds_of_splits_say_what_the_deviation_is_over():
    protocol = {**regdb(split_number=1).stored(), "trial": [1, 2, 3]}
    mean = row(regdb(split_number=1), "dddd", 0.7, of_seeds=2) | {"protocol": protocol}
    text = paper_table([{"method": "agw", "seeds": [0, 4], "rows": [mean]}], "markdown")
    assert "2 seeds, each the mean over 3 of 10 splits" in text and "seeds 0, 4" in text


def test_what_is_not_there():
    with pytest.raises(InputError, match="latex, markdown"):
        paper_table([AGW], "html")
    with pytest.raises(InputError, match="best"):
        paper_table([IDKL], "markdown", checkpoint="best")


def test_two_runs_of_one_method_have_their_names():
    text = paper_table([AGW, AGW, IDKL], "markdown", ["runs/a", "runs/b", "runs/c"])
    assert "| agw (runs/a) |" in text and "| agw (runs/b) |" in text and "| id_kl |" in text

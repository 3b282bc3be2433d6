"""Tables of results: 80 columns, each checkpoint once, and no deviation that is none."""

import io

import pytest

from jreid.console import Console
from jreid.evaluation import compare, format_comparison
from jreid.evaluation.protocols.text import describe, read_protocol
from jreid.evaluation.results.tables import REPEATED, WIDTH, format_results

PROTOCOLS = [
    "sysu_mm01:search=all,shots=1",
    "sysu_mm01:search=indoor,shots=10",
    "regdb:split_number=10,direction=infrared_to_visible",
    "llcm_released_vis_to_ir",
    "folder",
]
RERANKS = ["none", "standard(k1=20,k2=6,lambda=0.3)", "query_only(k1=20,k2=6,lambda=0.3)"]


def row(protocol=PROTOCOLS[0], rerank="none", r1=0.3885, deviation=0.0201, **fields):
    rule = read_protocol(protocol)
    cmc = dict.fromkeys(("1", "5", "10", "20"), 1.0) | {"1": r1}
    std = {"cmc": dict.fromkeys(cmc, deviation), "mAP": deviation, "mINP": deviation}
    numbers = {"cmc": cmc, "mAP": 0.4261, "mINP": 0.3335, "std": std}
    about = {"label": describe(rule), "protocol": rule.stored(), "rerank": rerank}
    counts = {"trials": 10, "of_trials": 10, "queries": 834, "valid_queries": 834}
    return {**about, "fingerprint": "850d64771ffa", **numbers, **counts, **fields}


def of(kind, **fields):
    return row(checkpoint=kind, **{"step": 742, "of_steps": 742, "weights": "7dde", **fields})


def printed(table, width=200):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def everything():
    marked = {"partial": True, "skipped_images": 12, "other_data": True, "valid_queries": 1}
    return [row(one, rerank, **marked) for one in PROTOCOLS for rerank in RERANKS]


def test_no_table_is_wider_than_a_terminal():
    results = {"rows": [{**one, "fingerprint": str(n)} for n, one in enumerate(everything())]}
    for table in (
        format_results("mutual_prediction on sysu_mm01, test split", everything()),
        format_comparison(compare(results, results)),
    ):
        text = printed(table, WIDTH)
        assert max(map(len, text.splitlines())) <= WIDTH
        assert "…" not in text  # nothing is cut
        for part in ("query_only", "12 training images skipped", "lambda=0.3"):
            assert part in " ".join(text.split())
    assert text.count("\n") > 3 * len(everything())


def test_the_quickstarts_table_needs_no_line_twice():
    rows = [
        of("last", protocol=f"sysu_mm01:search={search},shots={shots}", rerank=rerank)
        for search in ("all", "indoor")
        for shots in (1, 10)
        for rerank in RERANKS[:2]
    ]
    lines = printed(format_results("agw on synthetic, test split", rows), WIDTH).splitlines()
    assert sum("850d64771ffa" in line for line in lines) == len(rows)
    assert "indoor, 10-shot standard" in " ".join(lines[10].split())


def test_the_best_checkpoint_is_shown_only_where_it_is_another_one():
    same = [of("last"), of("best")]
    text = printed(format_results("agw", same))
    assert text.count("850d64771ffa") == 1 and REPEATED in text
    assert "agw, last checkpoint (step 742)" in text and "best checkpoint (" not in text
    other = [of("last"), of("best", step=636, weights="aaaa", r1=0.4)]
    text = printed(format_results("agw", other))
    assert text.count("850d64771ffa") == 2 and REPEATED not in text
    assert "best checkpoint (step 636)" in text and "40.00" in text
    assert text.count("Mean and deviation") == 1  # a note of both


def test_a_comparison_has_the_same_checkpoint_once():
    ours = {"rows": [of("last"), of("best")]}
    (pair,) = compare(ours, ours)
    assert pair["checkpoint"] == "last"
    (pair,) = compare(ours, {"rows": [row()]})
    assert pair["checkpoint"] == "last" and pair["second"]
    theirs = {"rows": [of("last"), of("best", step=636, weights="aaaa", r1=0.4)]}
    pairs = compare(ours, theirs)
    assert [(pair["checkpoint"], pair["first"]["R1"]) for pair in pairs] == [
        ("last", 38.85),
        ("best", 38.85),
    ]
    assert "all, 1-shot, best" in printed(format_comparison(pairs))


@pytest.mark.parametrize("rounding", [0.0, 5.6e-17])
def test_there_is_no_deviation_where_all_trials_agree(rounding):
    text = printed(format_results("agw", [row(deviation=rounding)]))
    assert "±" not in text and "The same numbers in all 10 trials." in text
    both = [row(deviation=rounding), row(PROTOCOLS[1])]
    text = printed(format_results("agw", both))
    assert "38.85±2.01" in text and "all, 1-shot: The same numbers" in text


def test_notes_say_what_the_columns_do_not():
    rows = [row(), row(PROTOCOLS[1], valid_queries=496)]
    text = printed(format_results("agw", rows))
    assert "indoor, 10-shot: 496 of 834 queries have a match." in text
    text = printed(format_results("agw", [row(of_seeds=3), row(PROTOCOLS[1], of_seeds=3)]))
    assert "sample deviation (n - 1) over 3 seeds" in text
    assert "1 of 10 trials." in printed(format_results("agw", [row(PROTOCOLS[2], trials=1)]))
    two = [row(rerank=f"standard(k1={k1},k2=6,lambda=0.3)") for k1 in (20, 30)]
    text = printed(format_results("agw", two))
    assert "standard(k1=20" in text and "standard(k1=30" in text


def test_no_rows_are_a_title_alone():
    assert printed(format_results("agw", [])) == "agw\n"

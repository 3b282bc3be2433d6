import io
import json
import os

import numpy as np
import pytest
from helpers.oracle import make_index, make_table
from rich.console import Console

from jreid.errors import InputError
from jreid.evaluation import compare, evaluate, format_comparison, read_result
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01
from jreid.evaluation.protocols.text import describe

ONE = sysu_mm01()


def row(protocol=ONE, fingerprint="aaaaaaaaaaaa", rerank="none", r1=0.5, **fields):
    return {
        "protocol": protocol.stored(),
        "label": describe(protocol),
        "fingerprint": fingerprint,
        "rerank": rerank,
        "cmc": {"1": r1, "5": 0.9},
        "mAP": 0.4,
        "mINP": 0.25,
        **fields,
    }


def result(*rows):
    """As it comes from a file."""
    return json.loads(json.dumps({"method": "agw", "rows": rows}))


def test_rows_of_one_fingerprint_stand_side_by_side():
    reranked = {"fingerprint": "bbbbbbbbbbbb", "rerank": "standard(k1=20,k2=6,lambda=0.3)"}
    first = result(row(), row(**reranked, r1=0.75))
    second = result(row(**reranked, r1=0.625, mAP=0.5), row(r1=0.53125))
    rows = compare(first, second)
    assert [made["rerank"] for made in rows] == ["none", reranked["rerank"]]
    assert rows[0] == {
        "label": "all, 1-shot",
        "rerank": "none",
        "fingerprint": "aaaaaaaaaaaa",
        "checkpoint": "",
        "first": {"R1": 50, "mAP": 40, "mINP": 25},
        "second": {"R1": 53.125, "mAP": 40, "mINP": 25},
        "difference": {"R1": 3.125, "mAP": 0, "mINP": 0},
        "marks": [],
    }
    assert rows[1]["difference"] == {"R1": -12.5, "mAP": pytest.approx(10), "mINP": 0}


def test_checkpoints_pair_with_their_own_kind():
    first = result(row(checkpoint="last", r1=0.25), row(checkpoint="best", r1=0.5))
    second = result(row(checkpoint="best", r1=0.75), row(checkpoint="last", r1=0.625))
    rows = compare(first, second)
    assert [(made["checkpoint"], made["difference"]["R1"]) for made in rows] == [
        ("last", 37.5),
        ("best", 25),
    ]
    of_features = compare(first, result(row(r1=1.0)))
    assert [(made["checkpoint"], made["difference"]["R1"]) for made in of_features] == [
        ("last", 75),
        ("best", 50),
    ]


def test_rows_without_a_partner_are_shown_alone():
    first = result(row(), row(fingerprint="c" * 12, r1=0.125))
    rows = compare(first, result(row(), row(fingerprint="d" * 12, r1=0.875)))
    message = [(made["fingerprint"][0], made["first"], made["second"]) for made in rows]
    assert [(name, bool(a), bool(b)) for name, a, b in message] == [
        ("a", True, True),
        ("c", True, False),
        ("d", False, True),
    ]
    assert [made["difference"] is None for made in rows] == [False, True, True]


@pytest.mark.fault("F30")
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (row(), row(ONE._replace(shots=10), "b"), r": they differ in shots: 1, 10\."),
        (
            row(),
            row(fingerprint="b", rerank="standard(k1=20,k2=6,lambda=0.3)"),
            r"differ in rerank: none, standard\(k1=20,k2=6,lambda=0.3\)\.",
        ),
        (
            row(),
            row(sysu_mm01(search="indoor", sampling="seeded"), "b"),
            r"differ in search: all, indoor; draw: official, agw; gallery_cameras: \[1, 2, 4, 5\]",
        ),
        (row(regdb(split_number=1)), row(regdb(split_number=2), "b"), r"differ in trial: 1, 2\."),
        (row(), row(regdb(split_number=2), "b"), r"name: sysu_mm01, regdb; .*cmc: identity, image"),
        (row(), row(fingerprint="b"), r": they have the same rule but other images or labels\."),
        (row(checkpoint="last"), row(checkpoint="best"), r"differ in checkpoint: last, best\."),
        (row(images="a" * 64), row(images="b" * 64), r"1-shot .* different images .*aaaaa and"),
    ],
)
def test_results_of_different_experiments_are_refused(first, second, message):
    with pytest.raises(InputError, match=f"cannot be compared.*{message}"):
        compare(result(first), result(second))


def test_the_nearest_rows_say_why_not():
    first = result(row(regdb(split_number=1)), row(ONE))
    second = result(
        row(sysu_mm01(shots=10, distance="euclidean"), "b"), row(ONE._replace(shots=10), "c")
    )
    with pytest.raises(InputError, match=r"they differ in shots: 1, 10\.$"):
        compare(first, second)


def test_images_that_one_file_does_not_know_are_no_difference():
    for unknown in ({"images": ""}, {}):
        (pair,) = compare(result(row(images="a" * 64)), result(row(**unknown)))
        assert pair["difference"]["R1"] == 0 and pair["marks"] == []


def test_the_order_of_files_and_tuples_do_not_count():
    other = row(ONE._replace(shots=10), "b")
    with pytest.raises(InputError, match=r"differ in shots: 10, 1\.$"):
        compare({"rows": [other]}, result(row()))


def test_results_of_evaluate_compare(tmp_path):
    counts = {(camera, identity): 3 for camera in range(1, 7) for identity in (6, 10, 17)}
    table, index = make_table(counts), make_index(counts)
    paths = []
    for seed in range(2):
        features = np.random.default_rng(seed).normal(size=(len(table.name), 4))
        paths.append(tmp_path / f"{seed}.json")
        paths[-1].write_text(json.dumps({"rows": [evaluate(features, table, index, ONE)]}))
    first, second = map(read_result, paths)
    (made,) = compare(first, second)
    assert made["difference"]["mAP"] == 100 * second["rows"][0]["mAP"] - made["first"]["mAP"]
    assert made["difference"]["mAP"] != 0


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"rows": []}',
        '{"rows": "none"}',
        '{"rows": [3]}',
        '{"rows": [{}]}',
        '{"rows": {"a": 1}}',
        json.dumps({"rows": [row(mAP="0.4")]}),
        json.dumps({"rows": [row(mAP=None)]}),
        json.dumps({"rows": [row(cmc={"5": 1.0})]}),
        json.dumps({"rows": [row(protocol=ONE) | {"protocol": "sysu_mm01"}]}),
        json.dumps({"rows": [row(fingerprint=3)]}),
        json.dumps({"rows": [row(mAP=float("nan"))]}),
        json.dumps({"rows": [row(mAP=40)]}).replace("40", "1e999"),
        json.dumps({"rows": [row(mAP=10**400)]}),
        json.dumps({"rows": [row(r1=-0.5)]}),
        json.dumps({"rows": [row(mINP=25)]}),
        json.dumps({"rows": [row(checkpoint=["last"])]}),
        json.dumps({"rows": [row(checkpoint=None)]}),
        json.dumps({"rows": [row(images=7)]}),
        "[" * 100_000,
        "\x00",
    ],
)
def test_files_that_are_no_results(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(
        InputError, match=r"result\.json (is not a result|cannot be read as a result)"
    ) as raised:
        read_result(path)
    assert "\n" not in str(raised.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match=r"a\.json cannot be read"):
        read_result(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"b\.json cannot be read"):
        read_result(tmp_path / "b.json")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe cannot be read as a result"):
        read_result(tmp_path / "pipe")
    with pytest.raises(InputError, match="The second file is not a result"):
        compare(result(row()), {})


def test_comparison_for_the_terminal():
    rows = compare(result(row(checkpoint="last"), row(fingerprint="c")), result(row(r1=0.375)))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(format_comparison(rows, ("ours", "theirs")))
    text = console.export_text()
    for part in ("R1", "mINP", "ours", "theirs", "50.00", "37.50", "-12.50", "+0.00", "all, 1"):
        assert part in text
    assert text.count("aaaaaaaaaaaa") == 1

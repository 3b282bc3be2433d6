import pytest

from jreid.errors import InputError
from jreid.evaluation.ranking.rerank_options import (
    PUBLISHED,
    TUNED,
    Rerank,
    read_rerank,
    read_reranks,
)
from jreid.evaluation.results.marks import marks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("standard", Rerank()),
        ("query_only:k1=5,k2=2,lambda=0", Rerank("query_only", 5, 2, 0.0)),
        ("standard(k1=30,k2=31,lambda=1)", Rerank("standard", 30, 31, 1.0)),
        ("constrained:k1=4,k2=1", Rerank("constrained", 4, 1)),
        ("extended:k3=0", Rerank("extended", k3=0)),
        ("extended(k1=4,k2=4,k3=2,lambda=0)", Rerank("extended", 4, 4, 0.0, 2)),
        ("extended:published=sysu_mm01_ma_lqe", Rerank("extended", 35, 35, 0.1, 4)),
        ("constrained_released:published=regdb", Rerank("constrained_released", 10, 1, 0.1)),
    ],
)
def test_texts(text, expected):
    assert read_rerank(text) == expected
    if expected:
        assert read_rerank(str(expected)) == expected  # as a result file has it


def test_a_list_of_texts():
    asked = [Rerank(k1=10, weight=0.5), None, Rerank("query_only")]
    assert read_reranks(["standard:k1=10,lambda=0.5,none,query_only"]) == asked
    assert read_reranks(["standard:k1=10,lambda=0.5", "none", "query_only"]) == asked
    assert read_reranks([",".join(map(str, asked)).replace("None", "none")]) == asked
    with pytest.raises(InputError, match="standard:k1=20 is given twice"):
        read_reranks(["standard,standard:k1=20"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("standart", "did you mean standard"),
        ("none:k1=3", "none has no k1"),
        ("standard:k=3", "did you mean k"),
        ("standard:weight=0.3", "did you mean"),
        ("standard:k1=2.5", "whole number"),
        ("standard:lambda=much", "a number"),
        ("standard:lambda=nan", "0 to 1"),
        ("standard:lambda=1.5", "0 to 1"),
        ("standard:k1=0", "k1 cannot be used"),
        ("standard:k1=5,k2=7", "1 to k1 .* 6"),
        ("standard:k2=0", "k2 cannot be used"),
        ("standard:k1=20,k2", "k2 has no value"),
        ("divided:k3=2", "k3 cannot be used"),
        ("extended:k2=4,k3=5", "0 to k2 = 4"),
        ("extended:k3=-1", "0 to k2"),
        ("extended:published=market", "sysu_mm01_ma_lqe"),
        ("extended:published=regdb,k1=3", "leave k1 out"),
        ("query_only:published=regdb", "give k1, k2 and lambda"),
        ("constrained:published=regdb", "no published"),
    ],
)
def test_what_cannot_be_asked_for(text, message):
    with pytest.raises(InputError, match=message):
        read_reranks([text])


def test_every_published_re_ranking_can_be_asked_for_and_is_known_as_tuned():
    for kind, presets in PUBLISHED.items():
        for name, expected in presets.items():
            made = read_rerank(f"{kind}:published={name}")
            assert made == expected and read_rerank(str(made)) == made
            dataset = name.removesuffix("_ma_lqe")
            assert marks({"rerank": str(made), "dataset": dataset}) == [TUNED]
            assert marks({"rerank": str(made), "dataset": "mine"}) == []
    assert marks({"rerank": str(Rerank()), "dataset": "sysu_mm01"}) == []

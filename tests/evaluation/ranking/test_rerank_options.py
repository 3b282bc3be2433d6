import pytest

from jreid.errors import InputError
from jreid.evaluation.ranking.rerank_options import Rerank, read_rerank, read_reranks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("standard", Rerank()),
        ("query_only:k1=5,k2=2,lambda=0", Rerank("query_only", 5, 2, 0.0)),
        ("standard(k1=30,k2=31,lambda=1)", Rerank("standard", 30, 31, 1.0)),
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
    ],
)
def test_what_cannot_be_asked_for(text, message):
    with pytest.raises(InputError, match=message):
        read_reranks([text])

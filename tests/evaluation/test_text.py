import pytest

from jreid.errors import InputError
from jreid.evaluation.text import Parsed, convert, parse, split_list


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rule", Parsed("rule", {})),
        ("rule()", Parsed("rule", {})),
        (" rule:a=1, b=x ", Parsed("rule", {"a": "1", "b": "x"})),
        ("rule(a=1,b=x)", Parsed("rule", {"a": "1", "b": "x"})),
        ("lab.part.rule:a=x=y", Parsed("lab.part.rule", {"a": "x=y"})),
        ("lab.part:rule", Parsed("lab.part.rule", {})),
        ("lab:rule(a=1)", Parsed("lab.rule", {"a": "1"})),
        ("lab:rule:a=1", Parsed("lab.rule", {"a": "1"})),
    ],
)
def test_forms(text, expected):
    assert parse(text, "rule", "rule:a=1") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not understood as a rule"),
        ("rule,rule", "separately"),
        ("rule other", "is not understood"),
        (":a=1", "is not understood"),
        ("rule(a=1", "is not understood"),
        ("rule:", "a key is missing"),
        ("rule:a=1,", "a key is missing"),
        ("rule:a", "a has no value"),
        ("rule:a=", "a has no value"),
        ("rule:a=1,b", "b has no value"),
        ("rule:=1", "=1 has no key"),
        ("rule:a=1,a=1", "a is given twice"),
        ("rule:a=1\nb=2,a=1", "a is given twice"),
    ],
)
def test_texts_that_are_not_understood(text, message):
    with pytest.raises(InputError, match=message):
        parse(text, "rule", "rule:a=1")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a,b:k=1,l=2,c:k=1,d", ["a", "b:k=1,l=2", "c:k=1", "d"]),
        ("b(k=1,l=2),c(k=1),d", ["b(k=1,l=2)", "c(k=1)", "d"]),
        ("lab:b(k=1),c", ["lab:b(k=1)", "c"]),
    ],
)
def test_a_comma_before_a_key_separates_no_texts(text, parts):
    assert split_list(text) == parts


def test_types():
    types = {"a": str, "b": int, "c": float, "d": bool}
    values = convert("", parse("rule:a=1,b=-2,c=1e-3,d=True", "rule", ""), types)
    assert values == {"a": "1", "b": -2, "c": 1e-3, "d": True}
    for key, value in (("b", "1.5"), ("b", "1_0"), ("b", "٣"), ("c", "x"), ("d", "1")):
        with pytest.raises(InputError, match=f"{key} is '{value}', but must be"):
            convert("rule", Parsed("rule", {key: value}), types)
    with pytest.raises(InputError, match="did you mean b"):
        convert("rule", Parsed("rule", {"bb": "1"}), types)
    with pytest.raises(InputError, match="rule has no a, and takes no key"):
        convert("rule", Parsed("rule", {"a": "1"}), {})

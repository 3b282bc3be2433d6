"""The options of re-ranking, and their text: `standard:k1=20,k2=6,lambda=0.3`."""

from collections.abc import Iterable
from typing import NamedTuple

from jreid.errors import InputError
from jreid.evaluation.text import convert, parse, split_list
from jreid.find import nearest

KINDS = ("standard", "query_only")
KEYS = {"k1": int, "k2": int, "lambda": float}
NONE = "none"
EXAMPLE = "standard:k1=20,k2=6,lambda=0.3"


class Rerank(NamedTuple):
    """How distances are re-ranked.

    Attributes:
        kind: `standard`, or `query_only`: the neighbors of any image are sought among the queries
            (as in the code of MPANet, CVPR 2021, and IDKL, CVPR 2024, on SYSU-MM01).
        k1: the number of neighbors, besides the image itself, that can be reciprocal.
        k2: the number of nearest images whose codes are averaged; 1: only the image's own code.
        weight: lambda, the share of the original distance.

    >>> str(Rerank("query_only", k1=10))
    'query_only(k1=10,k2=6,lambda=0.3)'
    """

    kind: str = "standard"
    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __str__(self) -> str:
        return f"{self.kind}(k1={self.k1},k2={self.k2},lambda={self.weight:g})"


STANDARD = Rerank()


def read_reranks(texts: Iterable[str]) -> list[Rerank | None]:
    """The re-rankings of the texts, in their order; a text may be a list with commas.

    Raises:
        InputError: as `read_rerank`, or a re-ranking is given twice.

    >>> read_reranks(["none,standard:k1=20,k2=6", "query_only"])
    [None, Rerank(kind='standard', k1=20, k2=6, weight=0.3), \
Rerank(kind='query_only', k1=20, k2=6, weight=0.3)]
    """
    parts = [part.strip() for text in texts for part in split_list(text)]
    result = [read_rerank(part) for part in parts]
    for number, one in enumerate(result):
        if one in result[:number]:
            raise InputError(f"The re-ranking {parts[number]} is given twice; give it once.")
    return result


def read_rerank(text: str) -> Rerank | None:
    """The re-ranking of a text; None for `none`, the original distances.

    Args:
        text: `none`, `standard` or `query_only`; the last two with `k1`, `k2` or `lambda` if they
            differ from 20, 6 and 0.3.

    Raises:
        InputError: the text is not understood, or has an unknown kind, key or value.

    >>> read_rerank("standard:k1=10,lambda=0.5")
    Rerank(kind='standard', k1=10, k2=6, weight=0.5)
    >>> read_rerank("none")
    """
    parsed = parse(text, "re-ranking", EXAMPLE)
    if parsed.name in KEYS:
        raise InputError(f"{text} has no value; write key=value, as in {EXAMPLE}.")
    if parsed.name not in (NONE, *KINDS):
        choices = NONE, *KINDS
        raise InputError(
            f"{parsed.name} is not a re-ranking; did you mean {nearest(parsed.name, choices)}? "
            f"Choices: {', '.join(choices)}; the last two take keys, as in {EXAMPLE}."
        )
    values = convert(text, parsed, {} if parsed.name == NONE else KEYS)
    if parsed.name == NONE:
        return None
    if "lambda" in values:
        values["weight"] = values.pop("lambda")
    rerank = Rerank(parsed.name, **values)
    if fault := _fault(rerank):
        raise InputError(f"{text}: {fault[0]} cannot be used, since {fault[1]}.")
    return rerank


def rerank_fault(rerank: Rerank, Q: int, G: int) -> tuple[str, str] | None:
    """A parameter that cannot be used with Q queries and G gallery images, and its allowed values.

    >>> rerank_fault(Rerank(k1=20), Q=4, G=6)
    ('k1', 'with 10 images among which the neighbors are sought it must be 1 to 9')
    >>> rerank_fault(Rerank(k1=5), Q=4, G=6)
    """
    if rerank.kind not in KINDS:
        return "kind", f"it must be one of {', '.join(KINDS)}"
    candidates = Q if rerank.kind == "query_only" else Q + G
    if candidates == 1:
        return "kind", "it searches for neighbors among 1 image, but needs two or more"
    if not 1 <= rerank.k1 < candidates:
        return "k1", (
            f"with {candidates} images among which the neighbors are sought it must be 1 to "
            f"{candidates - 1}"
        )
    return _fault(rerank)


def _fault(rerank: Rerank) -> tuple[str, str] | None:
    """As `rerank_fault`, for any number of images."""
    if rerank.k1 < 1:
        return "k1", "it must be at least 1"
    if not 1 <= rerank.k2 <= rerank.k1 + 1:
        return "k2", f"it must be 1 to k1 + 1 = {rerank.k1 + 1}"
    if not 0 <= rerank.weight <= 1:
        return "lambda", "it must be 0 to 1"
    return None

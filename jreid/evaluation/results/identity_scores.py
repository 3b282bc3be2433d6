"""What each identity's queries contribute to a result, small enough for the result file."""

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jreid.errors import InputError
from jreid.evaluation.ranking.scores import QueryScores

MAX_ENTRIES = 10_000_000  # trials x identities that a result file may hold
TYPES = "<i8", "<u4", "<u4", "<f4", "<f4"  # of the fields of IdentityScores in a file


class IdentityScores(NamedTuple):
    """Sums over the valid queries of each of P identities, in each of T trials.

    The images of one person are alike, so a bootstrap draws a person with all of its queries, and
    these sums are all that it needs.

    Attributes:
        identity: `[P]` int64, ascending.
        queries: `[T, P]` int64: how many queries are valid, which means that they have a match.
        first_hits: `[T, P]` int64: how many of these have their match at rank 1.
        average_precision: `[T, P]` float64: the sum over the valid queries.
        inverse_negative_penalty: `[T, P]` float64: the sum over the valid queries.
    """

    identity: Int[np.ndarray, " p"]
    queries: Int[np.ndarray, "t p"]
    first_hits: Int[np.ndarray, "t p"]
    average_precision: Float[np.ndarray, "t p"]
    inverse_negative_penalty: Float[np.ndarray, "t p"]


def sum_by_identity(
    rankings: Sequence[QueryScores], identities: Int[np.ndarray, "t q"]
) -> IdentityScores:
    """The sums of each trial's scores over the queries of each identity.

    >>> ranking = QueryScores(*map(np.array, ([1, 3, 0], [1.0, 0.5, 0], [1.0, 0.5, 0], [2, 1, 0])))
    >>> scores = sum_by_identity([ranking], np.array([[7, 7, 9]]))
    >>> scores.identity.tolist(), scores.queries.tolist(), scores.average_precision.tolist()
    ([7, 9], [[2, 0]], [[1.5, 0.0]])
    """
    names = np.unique(identities)
    P = len(names)

    def sums(row: int, values: np.ndarray) -> np.ndarray:
        return np.bincount(np.searchsorted(names, identities[row]), values, P)

    columns = [
        (one.matches > 0, one.rank == 1, one.average_precision, one.inverse_negative_penalty)
        for one in rankings
    ]
    valid, first, precision, penalty = (
        np.array([sums(row, values) for row, values in enumerate(column)])
        for column in zip(*columns, strict=True)
    )
    return IdentityScores(names, valid.astype(int), first.astype(int), precision, penalty)


def pack(scores: IdentityScores) -> dict[str, Any]:
    """The scores as JSON: their size, and the compressed numbers as text."""
    T, P = scores.queries.shape
    parts = [part.astype(kind).tobytes() for part, kind in zip(scores, TYPES, strict=True)]
    text = base64.b64encode(zlib.compress(b"".join(parts), 9)).decode()
    return {"trials": T, "identities": P, "packed": text}


def unpack(packed: Any) -> IdentityScores:
    """The scores of `pack`.

    Raises:
        InputError: it was not made by `pack`.

    >>> scores = IdentityScores(np.array([4]), *np.ones((2, 1, 1), int), *np.ones((2, 1, 1)))
    >>> unpack(pack(scores)) == scores
    True
    >>> unpack({"trials": 1})
    Traceback (most recent call last):
    ...
    jreid.errors.InputError: The scores of the identities cannot be read ...
    """
    try:
        return _unpack(packed)
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise InputError(
            f"The scores of the identities cannot be read ({error}); evaluate again."
        ) from error


def _unpack(packed: Mapping[str, Any]) -> IdentityScores:
    T, P = packed["trials"], packed["identities"]
    if not (type(T) is type(P) is int and min(T, P) > 0 and T * P <= MAX_ENTRIES):
        raise ValueError(f"their size is {T} x {P}")
    counts = [P, *[T * P] * 4]
    sizes = [np.dtype(kind).itemsize * count for kind, count in zip(TYPES, counts, strict=True)]
    decoder = zlib.decompressobj()  # with a limit, since a file may expand to any size
    content = decoder.decompress(base64.b64decode(packed["packed"], validate=True), sum(sizes) + 1)
    if len(content) != sum(sizes):
        raise ValueError("their length is wrong")
    identity, *rest = (
        np.frombuffer(content[end - size : end], kind)
        for size, end, kind in zip(sizes, np.cumsum(sizes).tolist(), TYPES, strict=True)
    )
    queries, first, precision, penalty = (part.reshape(T, P) for part in rest)
    sums = (precision, penalty, first)
    if not all((part >= 0).all() and (part <= queries * (1 + 1e-6)).all() for part in sums):
        raise ValueError("they are no sums of scores")
    return IdentityScores(
        identity.astype(int),
        queries.astype(int),
        first.astype(int),
        precision.astype(float),
        penalty.astype(float),
    )

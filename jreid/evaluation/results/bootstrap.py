"""Is a difference real? A paired bootstrap over people, trials and runs.

Each sample draws identities with replacement, each with all of its queries, because a person's
images are alike; it draws trials, because their galleries were drawn; RegDB's splits, if the runs
have several; and seeds, if a side has several. Both sides have the same identities, trials and
splits in a sample, and seeds of their own.

Of n things a sample draws n - 1 (Rao and Wu, Resampling Inference with Complex Survey Data, 1988):
the variance of the mean of n draws is too small, by the factor (n - 1) / n. That is a half for two
seeds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jreid.errors import InputError
from jreid.evaluation.results.identity_scores import IdentityScores
from jreid.evaluation.results.measures import METRICS

SAMPLES = 2000
LEVEL = 0.95
ONE_PERSON = "all queries with a match show one person, and a bootstrap over people needs two"

Seeds = Sequence[Sequence[IdentityScores]]  # of each seed the splits, mostly one
Weights = Int[np.ndarray, "_ _"]  # how often each sample has each thing


class Interval(NamedTuple):
    """A difference in points, and its 95 % interval.

    Attributes:
        value: of the data as they are.
        low: the 2.5 % quantile of the samples.
        high: the 97.5 % quantile.
    """

    value: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the interval leaves out 0: the difference is more than chance."""
        return self.low > 0 or self.high < 0


def difference_interval(
    first: Sequence[IdentityScores],
    second: Sequence[IdentityScores],
    splits: int = 1,
    samples: int = SAMPLES,
) -> dict[str, Interval]:
    """The differences second less first in R1, mAP and mINP in points, with their intervals.

    With one run on each side the interval says whether these two models differ, not whether other
    seeds would.

    Args:
        first: the scores of the runs of a side by one protocol: of each seed one, or its splits.
        second: of the other side, which may have another number of seeds.
        splits: how many splits, each with its own identities, a seed has, as on RegDB; the same
            ones in the same order on both sides.
        samples: how many the bootstrap draws; the same ones each time.

    Raises:
        InputError: the runs do not have the same identities and trials, or queries have a match for
            one person only.

    >>> bad = IdentityScores(np.array([4, 7]), *np.array([[[2, 2]], [[0, 0]]]), *np.ones((2, 1, 2)))
    >>> difference = difference_interval([bad], [bad._replace(first_hits=bad.queries)])
    >>> difference["R1"], difference["R1"].holds, difference["mAP"].holds
    (Interval(value=100.0, low=100.0, high=100.0), True, False)
    """
    (a, b), (sampled_a, sampled_b) = _sides([first, second], splits, samples)
    return _intervals(b - a, sampled_b - sampled_a)


def _intervals(
    value: Float[np.ndarray, " m"], sampled: Float[np.ndarray, "b m"]
) -> dict[str, Interval]:
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(sampled, [tail, 1 - tail], axis=0)
    columns = zip(METRICS, value, low, high, strict=True)
    return {name: Interval(*(100 * float(number) for number in row)) for name, *row in columns}


def has_one_person(runs: Sequence[IdentityScores]) -> bool:
    """Whether at most one identity has valid queries: then a bootstrap has nobody to draw."""
    people = {who for run in runs for who in run.identity[run.queries.sum(axis=0) > 0].tolist()}
    return len(people) < 2


def _sides(
    sides: Sequence[Sequence[IdentityScores]], splits: int, samples: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each side the metrics `[3]`, and those of each sample `[B, 3]`."""
    by_seed = [[runs[n : n + splits] for n in range(0, len(runs), splits)] for runs in sides]
    _require_same(by_seed)
    if has_one_person(sides[0][:splits]):
        raise InputError(f"There is no 95 % interval, since {ONE_PERSON}.")
    random = np.random.default_rng(0)
    weights = [_draw_both(random, run, samples) for run in by_seed[0][0]]
    of_splits = _draw(random, splits, samples)
    values, sampled = [], []
    for seeds in by_seed:
        of_seeds = _draw(random, len(seeds), samples)
        whole = [[_metrics(run, *map(_once, run.queries.shape)) for run in runs] for runs in seeds]
        drawn = [
            [_metrics(run, *one) for run, one in zip(runs, weights, strict=True)] for runs in seeds
        ]
        values.append(np.mean(whole, axis=(0, 1))[0])
        total = np.einsum("br,bs,rsbm->bm", of_seeds, of_splits, np.array(drawn))
        sampled.append(total / (of_seeds.sum(axis=1) * of_splits.sum(axis=1))[:, None])
    return values, sampled


def _once(n: int) -> Weights:
    return np.ones((1, n), int)


def _draw_both(
    random: np.random.Generator, run: IdentityScores, samples: int
) -> tuple[Weights, Weights]:
    """The weights of trials and of identities."""
    T, P = run.queries.shape
    return _draw(random, T, samples), _draw(random, P, samples)


def _draw(random: np.random.Generator, n: int, samples: int) -> Weights:
    return random.multinomial(max(n - 1, 1), np.full(n, 1 / n), samples)


def _metrics(run: IdentityScores, trials: Weights, identities: Weights) -> np.ndarray:
    """R1, mAP and mINP `[B, 3]`: means over the trials of the means over their valid queries."""
    queries = identities @ run.queries.T  # [B, T]
    valid = queries > 0  # a small sample may have no query with a match in some trial
    trials = trials * valid
    with np.errstate(invalid="ignore"):
        parts = run.first_hits, run.average_precision, run.inverse_negative_penalty
        means = [(identities @ part.T) / np.where(valid, queries, 1) for part in parts]
        return np.stack([(trials * one).sum(axis=1) / trials.sum(axis=1) for one in means], axis=1)


def _require_same(sides: Sequence[Seeds]) -> None:
    """Raises InputError unless every seed of both sides has the same splits."""
    first = sides[0][0]
    for seeds in sides:
        for runs in seeds:
            if len(runs) != len(first) or not all(map(_alike, runs, first)):
                raise InputError(
                    "The runs do not have the scores of the same identities and trials; evaluate "
                    "all of them again on the same data by the same protocol."
                )


def _alike(a: IdentityScores, b: IdentityScores) -> bool:
    return a.queries.shape == b.queries.shape and bool((a.identity == b.identity).all())

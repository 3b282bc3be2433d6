"""How several processes that have the same features divide one ranking among them."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

Arrays = Sequence[np.ndarray]
Scores = TypeVar("Scores", bound=tuple)
Item = TypeVar("Item")


def _alone(compute: Callable[[], Arrays]) -> Arrays:
    return [array[None] for array in compute()]


class Share(NamedTuple):
    """What this process computes of a ranking; by default all of it.

    Every process ranks the same features with the same options.

    Attributes:
        number: of this process, from 0.
        of: the number of processes.
        gather: calls a function in every process, and returns each of its arrays from all
            processes, `[of, ...]`, bit for bit; as `jreid.distributed.processes.gather`.
    """

    number: int = 0
    of: int = 1
    gather: Callable[[Callable[[], Arrays]], Arrays] = _alone

    def own(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's items: every n-th, so that the shares are of nearly equal size."""
        return items[self.number :: self.of]

    def join(self, compute: Callable[[], list[Scores]]) -> list[Scores]:
        """The scores of all queries, from scores that are 0 for the queries of other processes.

        Args:
            compute: makes named tuples of arrays.
        """
        made: list[Any] = []

        def parts() -> list[np.ndarray]:
            made.extend(compute())
            return [part for scores in made for part in scores]

        sums = iter([part.sum(axis=0, dtype=part.dtype) for part in self.gather(parts)])
        return [scores._make(islice(sums, len(scores))) for scores in made]


ALONE = Share()

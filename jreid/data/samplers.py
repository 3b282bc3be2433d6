"""Chooses the rows of batches: three identity samplers and the plan of a run, in pure numpy.

A step takes P identities and, of each, K images per modality: N = P * K rows of each modality. A
sampler gives all steps of one epoch at once, as indices into the training rows, `[steps, 2, N]`:
`[:, 0]` are visible rows, `[:, 1]` infrared ones; row i of both halves shows the same identity, and
the K rows of one identity are neighbors. An epoch is a pure function of `(seed, epoch)`.

`config.batch.sampler` names one of `SAMPLERS`, or by a dotted name, a function outside of jreid.
"""

import functools
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from jreid.data.table import Table
from jreid.datasets import MODALITIES
from jreid.errors import InputError
from jreid.find import call, find_symbol

Identities = Int[np.ndarray, " m"]
Modalities = Shaped[np.ndarray, " m"]
Draws = Int[np.ndarray, "steps p"]
Rows = Int[np.ndarray, "steps 2 n"]


class Epochs(NamedTuple):
    """The epochs that a sampler makes of training rows.

    Attributes:
        rows: from the epoch to the rows of its steps, `[steps, 2, N]` int.
        steps: from the epoch to the number of its steps; None if only `rows` gives it: then all
            epochs of a run are sampled at its start.
    """

    rows: Callable[[int], Rows]
    steps: Callable[[int], int] | None = None


# Called with the training rows, P, K and the run's seed.
Sampler = Callable[[Table, int, int, int], Epochs]


def random_identity(
    identity: Identities, modality: Modalities, P: int, K: int, seed: int, epoch: int
) -> Rows:
    """The random identity sampler (RIS) of MPANet, PFINet and IDKL: no image twice in an epoch.

    Of each identity the larger modality is subsampled to the size of the smaller, both are
    shuffled and cut into chunks of K pairs; what is left over waits for another epoch. A step
    draws P of the identities that have chunks left, uniformly and without replacement, and uses up
    one chunk of each. The epoch ends when fewer than P identities have chunks left, so its length
    varies a little.

    An identity with fewer than K pairs has one chunk, in which the smaller modality is sampled with
    replacement. The released code does so only if both modalities are short; if one is, the
    identity gets no chunk and the code crashes when it samples the identity.

    Args:
        identity: person number of each training row.
        modality: `visible` or `infrared` of each training row.
        P: identities per step.
        K: images per identity and modality.
        seed: the run's seed, not negative.
        epoch: the epoch, from 0.

    Raises:
        InputError: fewer than P identities, or an identity in one modality only.
    """
    people = _group(identity, modality, P, K)
    rng = _generator(seed, epoch, "random_identity")
    drawn, chunk = _draw_chunks(people, P, K, rng)
    return _pick(_shuffle(people, rng), drawn, chunk, K, rng)


def identity_uniform(
    identity: Identities, modality: Modalities, P: int, K: int, seed: int, epoch: int
) -> Rows:
    """AGW's sampler: P identities per step without replacement, K images of each with replacement.

    An epoch has floor(max(visible, infrared) / (P * K)) + 1 steps. The released loop runs these;
    descriptions often omit the last step. Arguments and errors are `random_identity`'s.
    """
    people = _group(identity, modality, P, K)
    rng = _generator(seed, epoch, "agw")  # its original name, which the random numbers depend on
    every = np.arange(people.size.shape[1])
    drawn = rng.permuted(np.tile(every, (_identity_uniform_steps(people, P, K), 1)), axis=1)[:, :P]
    return _pick(people, drawn, None, K, rng)


def uniform(
    identity: Identities, modality: Modalities, P: int, K: int, seed: int, epoch: int
) -> Rows:
    """The uniform sampler of AlignGAN and JSIA: each identity at most once per epoch.

    All identities are permuted and cut in order into steps of P, the rest is dropped. The K images
    of a modality are sampled without replacement, or with it if there are fewer than K. Arguments
    and errors are `random_identity`'s.
    """
    people = _group(identity, modality, P, K)
    rng = _generator(seed, epoch, "uniform")
    count = people.size.shape[1]
    drawn = rng.permutation(count)[: count // P * P].reshape(-1, P)
    return _pick(_shuffle(people, rng), drawn, np.zeros_like(drawn), K, rng)


# The number of steps of an epoch, without sampling its images.


def _random_identity_steps(people: "_People", P: int, K: int, seed: int, epoch: int) -> int:
    # The epoch's generator samples the chunks before the images.
    return len(_draw_chunks(people, P, K, _generator(seed, epoch, "random_identity"))[0])


def _identity_uniform_steps(people: "_People", P: int, K: int, *_: int) -> int:
    return int(people.size.sum(axis=1).max()) // (P * K) + 1


def _uniform_steps(people: "_People", P: int, *_: int) -> int:
    return people.size.shape[1] // P


def _own(sample: Callable[..., Rows], steps: Callable[..., int]) -> Sampler:
    """Makes a sampler from a function that gives rows and one that gives the number of steps."""

    def sampler(table: Table, P: int, K: int, seed: int) -> Epochs:
        columns = table.identity, table.modality
        people = _group(*columns, P, K)
        return Epochs(
            functools.partial(sample, *columns, P, K, seed),
            functools.partial(steps, people, P, K, seed),
        )

    return sampler


SAMPLERS: Mapping[str, Sampler] = {
    "random_identity": _own(random_identity, _random_identity_steps),
    "identity_uniform": _own(identity_uniform, _identity_uniform_steps),
    "uniform": _own(uniform, _uniform_steps),
}


def find_sampler(name: str) -> Sampler:
    """The sampler that `config.batch.sampler` names: `uniform`, or `mylab.samplers.by_camera`.

    Raises:
        InputError: there is no sampler of this name.
    """
    return find_symbol("config.batch.sampler", name, SAMPLERS)


class Plan:
    """The rows of each step of a run, with random access by step.

    Attributes:
        sampler: the name of its sampler.
        epochs: the number of epochs of the run.
        starts: `[epochs + 1]` int64, the first step of each epoch and, last, the number of steps;
            exact, computed at the first use (for `random_identity` about 5 ms per epoch at
            SYSU-MM01's size).
    """

    def __init__(
        self,
        sampler: str,
        table: Table,
        P: int,
        K: int,
        seed: int,
        epochs: int,
        names: Mapping[int, str] = {},
    ):
        """Takes a sampler's name and the rows that it samples from.

        Args:
            names: names of identities, which errors use in place of numbers.

        Raises:
            InputError: no sampler has this name, the rows do not make batches, or a sampler outside
                of jreid does not return Epochs.
        """
        _group(table.identity, table.modality, P, K, names)
        self.sampler, self.epochs = sampler, epochs
        made = call(
            f"config.batch.sampler={sampler}", find_sampler(sampler), Epochs, table, P, K, seed
        )
        source = f"config.batch.sampler={sampler}: {{}} of epoch {{}}".format

        def rows_of(epoch: int) -> Rows:
            rows = call(source("rows", epoch), made.rows, object, epoch)
            return _checked(rows, table, P * K, sampler)

        # Successive steps are in the same epoch, or in the next one while prefetching.
        self._sample = functools.lru_cache(maxsize=2)(rows_of)
        steps = made.steps
        self._length = (
            (lambda epoch: int(call(source("steps", epoch), steps, Integral, epoch)))
            if steps
            else (lambda epoch: len(self._sample(epoch)))
        )

    @functools.cached_property
    def starts(self) -> Int[np.ndarray, " epochs_and_one"]:
        lengths = [self._length(epoch) for epoch in range(self.epochs)]
        return np.cumsum([0, *lengths], dtype=np.int64)

    @property
    def steps(self) -> int:
        """The number of steps of the run."""
        return int(self.starts[-1])

    def epoch_of(self, step: int) -> tuple[int, int]:
        """The step's epoch and its position in it, both from 0; IndexError outside the run."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} is outside the run's {self.steps} steps")
        epoch = int(np.searchsorted(self.starts, step, side="right")) - 1
        return epoch, step - int(self.starts[epoch])

    def rows(self, step: int) -> Int[np.ndarray, "2 n"]:
        """The step's visible and infrared rows; IndexError outside the run."""
        epoch, offset = self.epoch_of(step)
        rows = self._sample(epoch)
        length = int(self.starts[epoch + 1] - self.starts[epoch])
        if len(rows) != length:
            raise InputError(
                f"config.batch.sampler={self.sampler} gives {len(rows)} steps in epoch {epoch}, "
                f"but announced {length}."
            )
        return rows[offset]


def _checked(rows: Any, table: Table, N: int, sampler: str) -> Rows:
    """The rows of an epoch, after checking them: a sampler outside of jreid may return anything."""
    rows = np.asarray(rows)
    fault = ""
    if rows.shape[:1] == (0,):
        fault = "an epoch without a step"
    elif rows.ndim != 3 or rows.shape[1:] != (2, N) or not np.issubdtype(rows.dtype, np.integer):
        fault = f"an array of {rows.dtype} {rows.shape}, not of whole numbers [steps, 2, {N}]"
    elif not (rows.min() >= 0 and rows.max() < len(table.name)):
        fault = f"rows that do not exist: there are {len(table.name)}, from 0"
    elif (table.modality[rows] != np.array(MODALITIES)[:, None]).any():
        fault = "rows of the wrong modality: [:, 0] are visible, [:, 1] infrared"
    elif (table.identity[rows[:, 0]] != table.identity[rows[:, 1]]).any():
        fault = "two halves of a step that show different identities"
    if fault:
        raise InputError(f"config.batch.sampler={sampler} gives {fault}.")
    return rows


class _People(NamedTuple):
    """The training rows by modality and identity: those of (s, i) are
    `rows[s][start[s, i]:][:size[s, i]]`."""

    rows: tuple[np.ndarray, ...]
    start: Int[np.ndarray, "2 identities"]
    size: Int[np.ndarray, "2 identities"]
    label: Int[np.ndarray, " m"]


def _group(
    identity: np.ndarray, modality: np.ndarray, P: int, K: int, names: Mapping[int, str] = {}
) -> _People:
    numbers, label = np.unique(identity, return_inverse=True)
    if P < 1 or K < 1:
        raise InputError(
            f"config.batch.identities is {P} and config.batch.images {K}: both must be at least 1"
        )
    if len(numbers) < P:
        raise InputError(
            f"config.batch.identities is {P} but there are only {len(numbers)} training identities:"
            f" lower it to {len(numbers)} or train on more identities"
        )
    sides = [np.flatnonzero(modality == side) for side in MODALITIES]
    size = np.stack([np.bincount(label[rows], minlength=len(numbers)) for rows in sides])
    for side, count in zip(MODALITIES, size, strict=True):
        if missing := numbers[count == 0].tolist():
            shown = ", ".join(str(names.get(number, number)) for number in missing[:3])
            shown += ", ..." if len(missing) > 3 else ""
            raise InputError(
                f"training identities without {side} images ({len(missing)}): {shown}:"
                " add such images or leave these identities out of the training set"
            )
    rows = tuple(rows[np.argsort(label[rows], kind="stable")] for rows in sides)
    return _People(rows, np.cumsum(size, axis=1) - size, size, label)


def _shuffle(people: _People, rng: np.random.Generator) -> _People:
    """The same people, the rows of each in a random order."""
    shuffled = [rng.permutation(rows) for rows in people.rows]
    rows = tuple(rows[np.argsort(people.label[rows], kind="stable")] for rows in shuffled)
    return people._replace(rows=rows)


def _draw_chunks(people: _People, P: int, K: int, rng: np.random.Generator) -> tuple[Draws, Draws]:
    """Each step's P identities of `random_identity`, and the chunk that it takes of each."""
    chunks = np.maximum(people.size.min(axis=0) // K, 1)
    left = chunks.copy()
    drawn, chunk = [], []
    while len(ready := np.flatnonzero(left)) >= P:
        chosen = rng.choice(ready, P, replace=False)
        drawn.append(chosen)
        chunk.append((chunks - left)[chosen])
        left[chosen] -= 1
    return np.stack(drawn), np.stack(chunk)


def _pick(
    people: _People, drawn: Draws, chunk: Draws | None, K: int, rng: np.random.Generator
) -> Rows:
    """The rows of the sampled identities: chunk n, or K with replacement if there are too few."""
    halves = []
    for rows, start, size in zip(people.rows, people.start, people.size, strict=True):
        place = rng.integers(0, size[drawn][..., None], (*drawn.shape, K))
        if chunk is not None:
            in_order = chunk[..., None] * K + np.arange(K)
            place = np.where(size[drawn][..., None] < K, place, in_order)
        halves.append(rows[start[drawn][..., None] + place].reshape(len(drawn), -1))
    return np.stack(halves, axis=1)


def _generator(seed: int, epoch: int, sampler: str) -> np.random.Generator:
    return np.random.default_rng([seed, epoch, *sampler.encode()])

"""Which rows make a batch: three identity samplers and the plan of a whole run, in pure numpy.

A step takes P identities and, of each, K images a modality: N = P * K rows of either modality. A
sampler gives all steps of one epoch at once, as indices into the training rows, `[steps, 2, N]`:
`[:, 0]` are visible rows, `[:, 1]` infrared ones; row i of both halves shows the same identity,
and the K rows of one identity are neighbors. An epoch is a pure function of `(seed, epoch)`.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from jreid.data.table import MODALITIES
from jreid.errors import InputError

Identities = Int[np.ndarray, " m"]
Modalities = Shaped[np.ndarray, " m"]
Draws = Int[np.ndarray, "steps p"]
Rows = Int[np.ndarray, "steps 2 n"]
Sampler = Callable[[Identities, Modalities, int, int, int, int], Rows]


def random_identity(
    identity: Identities, modality: Modalities, P: int, K: int, seed: int, epoch: int
) -> Rows:
    """The random identity sampler (RIS) of MPANet, PFINet and IDKL: no image twice in an epoch.

    Of each identity the larger modality is subsampled to the size of the smaller, both are
    shuffled and cut into chunks of K pairs; what is left over waits for another epoch. A step
    draws P of the identities that have chunks left, uniformly and without replacement, and uses up
    one chunk of each. The epoch ends when fewer than P identities have chunks left, so its length
    varies a little.

    An identity with fewer than K pairs has one chunk, in which the modality that is short is drawn
    with replacement. The released code does so only where both are short; it gives an identity
    with one short modality no chunk at all and then crashes on drawing it.

    Args:
        identity: person number of each training row.
        modality: `visible` or `infrared` of each training row.
        P: identities a step.
        K: images an identity and modality.
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
    """AGW's identity sampler: P identities a step without replacement, K images of each with it.

    An epoch has floor(max(visible, infrared) / (P * K)) + 1 steps. That is what the released loop
    runs; descriptions of it often leave out the last step. Arguments and errors are
    `random_identity`'s.
    """
    people = _group(identity, modality, P, K)
    rng = _generator(seed, epoch, "agw")  # its first name, which the draws depend on
    every = np.arange(people.size.shape[1])
    drawn = rng.permuted(np.tile(every, (_identity_uniform_steps(people, P, K), 1)), axis=1)[:, :P]
    return _pick(people, drawn, None, K, rng)


def uniform(
    identity: Identities, modality: Modalities, P: int, K: int, seed: int, epoch: int
) -> Rows:
    """The uniform sampler of AlignGAN and JSIA: each identity at most once an epoch.

    All identities are permuted and cut in order into steps of P, the rest is dropped. The K images
    of a modality are drawn without replacement, with it where there are fewer than K. Arguments
    and errors are `random_identity`'s.
    """
    people = _group(identity, modality, P, K)
    rng = _generator(seed, epoch, "uniform")
    count = people.size.shape[1]
    drawn = rng.permutation(count)[: count // P * P].reshape(-1, P)
    return _pick(_shuffle(people, rng), drawn, np.zeros_like(drawn), K, rng)


SAMPLERS: dict[str, Sampler] = {f.__name__: f for f in (random_identity, identity_uniform, uniform)}


class Plan:
    """Which rows make each step of a whole run: random access by step.

    Attributes:
        epochs: how many epochs the run has.
        starts: `[epochs + 1]` int64, the first step of each epoch and, last, the number of steps;
            exact, computed at the first use (for `random_identity` about 5 ms an epoch at
            SYSU-MM01's size).
    """

    def __init__(
        self,
        sampler: str,
        identity: Identities,
        modality: Modalities,
        P: int,
        K: int,
        seed: int,
        epochs: int,
        names: Mapping[int, str] = {},
    ):
        """Takes a sampler's name and arguments; raises its errors, and InputError for no name.

        Args:
            names: what an error calls an identity in place of its number.
        """
        if sampler not in SAMPLERS:
            raise InputError(
                f"the sampler {sampler!r} is unknown: choose one of {', '.join(SAMPLERS)}"
            )
        people = _group(identity, modality, P, K, names)
        self.epochs = epochs
        self._length = functools.partial(_steps, sampler, people, P, K, seed)
        # A step's neighbors are of the same epoch, or of the next while prefetching across it.
        self._sample = functools.lru_cache(maxsize=2)(
            functools.partial(SAMPLERS[sampler], identity, modality, P, K, seed)
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
        """The step's epoch and its place in it, both from 0; IndexError outside the run."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} is outside the run's {self.steps} steps")
        epoch = int(np.searchsorted(self.starts, step, side="right")) - 1
        return epoch, step - int(self.starts[epoch])

    def rows(self, step: int) -> Int[np.ndarray, "2 n"]:
        """The step's visible and infrared rows; IndexError outside the run."""
        epoch, offset = self.epoch_of(step)
        return self._sample(epoch)[offset]


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
    """Each step's P identities of `random_identity`, and which chunk of each it uses up."""
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
    """The drawn identities' rows: their n-th K, or K with replacement if short or without chunk."""
    halves = []
    for rows, start, size in zip(people.rows, people.start, people.size, strict=True):
        place = rng.integers(0, size[drawn][..., None], (*drawn.shape, K))
        if chunk is not None:
            in_order = chunk[..., None] * K + np.arange(K)
            place = np.where(size[drawn][..., None] < K, place, in_order)
        halves.append(rows[start[drawn][..., None] + place].reshape(len(drawn), -1))
    return np.stack(halves, axis=1)


def _steps(sampler: str, people: _People, P: int, K: int, seed: int, epoch: int) -> int:
    """How many steps the sampler gives this epoch, without the work of picking images."""
    if sampler == "identity_uniform":
        return _identity_uniform_steps(people, P, K)
    if sampler == "uniform":
        return people.size.shape[1] // P
    # The chunks are drawn first from the epoch's generator, before any image is.
    return len(_draw_chunks(people, P, K, _generator(seed, epoch, sampler))[0])


def _identity_uniform_steps(people: _People, P: int, K: int) -> int:
    return int(people.size.sum(axis=1).max()) // (P * K) + 1


def _generator(seed: int, epoch: int, sampler: str) -> np.random.Generator:
    return np.random.default_rng([seed, epoch, *sampler.encode()])

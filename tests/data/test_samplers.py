"""The identity samplers: exact counts, who meets whom, and when an epoch ends."""

import re
import sys
import time
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jreid.data.samplers import SAMPLERS, Epochs, Plan, identity_uniform, random_identity, uniform
from jreid.data.table import Table
from jreid.errors import InputError

NAMES = sorted(SAMPLERS)
NAME = "outside.sampler_of_this_test"  # a module outside of jreid
sys.modules[NAME] = sampler_of_this_test = types.ModuleType(NAME)
ODD = np.array([[0, 0, 0, 0], [0, 0, 0, -4]])
FUNCTIONS = {f.__name__: f for f in (random_identity, identity_uniform, uniform)}


def columns(visible, infrared, shuffle=0):
    """Rows in a random order: identity 10 * i + 3 has visible[i] and infrared[i] images."""
    numbers = np.arange(len(visible)) * 10 + 3
    identity = np.concatenate([np.repeat(numbers, visible), np.repeat(numbers, infrared)])
    modality = np.array(["visible"] * sum(visible) + ["infrared"] * sum(infrared))
    order = np.random.default_rng(shuffle).permutation(len(identity))
    return identity[order], modality[order]


def plan_of(sampler, identity, modality, *arguments):
    """A plan of rows of which no more is known."""
    names = np.arange(len(identity)).astype(str)
    blank = np.zeros(len(identity), int)
    table = Table(names, identity, blank + 1, modality, blank, blank)
    return Plan(sampler, table, *arguments)


@st.composite
def problems(draw, least=1):
    """Columns, P, K, seed, epoch; each identity has `least` to 14 images a modality."""
    people = draw(st.integers(1, 9))
    sizes = st.lists(st.integers(least, 14), min_size=people, max_size=people)
    visible, infrared = draw(sizes), draw(sizes)
    P = draw(st.integers(1, people))
    K = draw(st.integers(1, 6))
    seed, epoch = draw(st.integers(0, 2**31)), draw(st.integers(0, 200))
    return visible, infrared, P, K, seed, epoch


def identities_of_steps(rows, identity, K):
    """`[steps, P]`: the identity of each block of K rows."""
    return identity[rows[:, 0]].reshape(len(rows), -1, K)[:, :, 0]


@pytest.mark.fault("F17")
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(problem=problems())
def test_every_step_pairs_p_identities_with_k_images_a_modality(name, problem):
    visible, infrared, P, K, seed, epoch = problem
    identity, modality = columns(visible, infrared)
    rows = FUNCTIONS[name](identity, modality, P, K, seed, epoch)
    assert rows.shape[1:] == (2, P * K) and np.issubdtype(rows.dtype, np.integer)
    assert np.all(modality[rows[:, 0]] == "visible")
    assert np.all(modality[rows[:, 1]] == "infrared")
    np.testing.assert_array_equal(identity[rows[:, 0]], identity[rows[:, 1]])
    blocks = identity[rows[:, 0]].reshape(len(rows), P, K)
    assert np.all(blocks == blocks[:, :, :1])
    for step in blocks[:, :, 0]:
        assert len(set(step)) == P


@settings(deadline=None)
@given(problem=problems())
def test_random_identity_uses_chunks_until_fewer_than_p_identities_have_one(problem):
    visible, infrared, P, K, seed, epoch = problem
    identity, modality = columns(visible, infrared)
    rows = random_identity(identity, modality, P, K, seed, epoch)
    left = {
        10 * i + 3: max(min(pair) // K, 1)
        for i, pair in enumerate(zip(visible, infrared, strict=True))
    }
    for step in identities_of_steps(rows, identity, K):
        assert sum(count > 0 for count in left.values()) >= P
        for person in step:
            left[person] -= 1
    assert min(left.values()) >= 0
    assert sum(count > 0 for count in left.values()) < P


@settings(deadline=None)
@given(problem=problems())
def test_random_identity_repeats_an_image_only_where_a_modality_is_short(problem):
    visible, infrared, P, K, seed, epoch = problem
    identity, modality = columns(visible, infrared)
    rows = random_identity(identity, modality, P, K, seed, epoch)
    for side, sizes in enumerate((visible, infrared)):
        short = [10 * i + 3 for i, size in enumerate(sizes) if size < K]
        used = rows[:, side].ravel()
        long = used[~np.isin(identity[used], short)]
        assert len(np.unique(long)) == len(long)


def test_random_identity_subsamples_the_larger_modality_anew_each_epoch():
    identity, modality = columns([20, 20], [6, 6])
    epochs = [random_identity(identity, modality, 2, 3, 0, epoch) for epoch in range(40)]
    assert all(len(rows) == 2 for rows in epochs)  # 6 pairs make two chunks of 3
    used = np.unique(np.concatenate([rows[:, 0].ravel() for rows in epochs]))
    assert len(used) == 40
    for rows in epochs:
        assert len(np.unique(rows[:, 1])) == 12


def test_random_identity_pairs_images_at_random():
    identity, modality = columns([4], [4])
    pairs = {
        tuple(pair)
        for epoch in range(200)
        for step in random_identity(identity, modality, 1, 2, 0, epoch)
        for pair in step.T
    }
    assert len(pairs) == 16


def test_random_identity_gives_an_identity_with_one_short_modality_one_chunk():
    identity, modality = columns([2, 9], [9, 9])
    rows = random_identity(identity, modality, 1, 3, 0, 0)
    persons = identities_of_steps(rows, identity, 3).ravel()
    assert sorted(persons) == [3, 13, 13, 13]
    (step,) = rows[persons == 3]
    assert len(set(step[0])) <= 2 and len(set(step[1])) == 3


@pytest.mark.parametrize("sampler", [random_identity, identity_uniform, uniform])
def test_draws_are_uniform_over_identities(sampler):
    identity, modality = columns([4] * 8, [4] * 8)
    seen = np.zeros(8)
    for epoch in range(600):
        rows = sampler(identity, modality, 3, 4, 1, epoch)
        np.add.at(seen, (identities_of_steps(rows, identity, 4) - 3) // 10, 1)
    np.testing.assert_allclose(seen / seen.sum(), 1 / 8, atol=0.012)


@settings(deadline=None)
@given(problem=problems())
def test_agw_steps(problem):
    visible, infrared, P, K, seed, epoch = problem
    rows = identity_uniform(*columns(visible, infrared), P, K, seed, epoch)
    assert len(rows) == max(sum(visible), sum(infrared)) // (P * K) + 1


def test_agw_draws_images_with_replacement_and_reaches_all():
    identity, modality = columns([5, 30], [30, 5])
    rows = np.concatenate(
        [identity_uniform(identity, modality, 2, 5, 3, epoch) for epoch in range(60)]
    )
    assert len(np.unique(rows)) == 70
    repeats = [len(set(block)) < 5 for block in rows.reshape(-1, 5)]
    assert 0.5 < np.mean(repeats) < 0.9  # 0.96 of the blocks from 5 images, 0.30 from 30


@settings(deadline=None)
@given(problem=problems(least=3))
def test_uniform_takes_each_identity_at_most_once_and_repeats_only_if_short(problem):
    visible, infrared, P, K, seed, epoch = problem
    identity, modality = columns(visible, infrared)
    rows = uniform(identity, modality, P, K, seed, epoch)
    assert len(rows) == len(visible) // P
    persons = identities_of_steps(rows, identity, K).ravel()
    assert len(set(persons)) == len(persons)
    for side, sizes in enumerate((visible, infrared)):
        for person, block in zip(persons, rows[:, side].reshape(-1, K), strict=True):
            if sizes[(person - 3) // 10] >= K:
                assert len(set(block)) == K


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_is_a_function_of_seed_and_epoch(name):
    arguments = (*columns([9] * 12, [11] * 12), 4, 3)
    rows = FUNCTIONS[name](*arguments, 5, 2)
    np.testing.assert_array_equal(rows, FUNCTIONS[name](*arguments, 5, 2))
    for seed, epoch in [(5, 3), (6, 2), (2, 5)]:
        other = FUNCTIONS[name](*arguments, seed, epoch)
        assert other.shape != rows.shape or np.any(other != rows)


@settings(deadline=None)
@given(problem=problems(), name=st.sampled_from(NAMES), epochs=st.integers(0, 5))
def test_plan_is_the_epochs_one_after_the_other(problem, name, epochs):
    visible, infrared, P, K, seed, _ = problem
    arguments = (*columns(visible, infrared), P, K, seed)
    plan = plan_of(name, *arguments, epochs)
    parts = [FUNCTIONS[name](*arguments, epoch) for epoch in range(epochs)]
    np.testing.assert_array_equal(plan.starts, np.cumsum([0] + [len(part) for part in parts]))
    places = [(epoch, offset) for epoch, part in enumerate(parts) for offset in range(len(part))]
    assert plan.steps == len(places)
    for step in np.random.default_rng(0).permutation(plan.steps):
        epoch, offset = plan.epoch_of(step)
        assert (epoch, offset) == places[step]
        np.testing.assert_array_equal(plan.rows(step), parts[epoch][offset])
    for step in (-1, plan.steps):
        with pytest.raises(IndexError, match="outside the run"):
            plan.rows(step)


def test_plan_knows_that_epochs_of_random_identity_differ_in_length():
    arguments = (*columns([8, 2, 2, 2, 4], [8, 2, 2, 2, 4]), 2, 2, 0)
    lengths = np.diff(plan_of("random_identity", *arguments, 40).starts)
    assert len(set(lengths)) > 1
    expected = [len(random_identity(*arguments, epoch)) for epoch in range(40)]
    np.testing.assert_array_equal(lengths, expected)


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_reported_before_any_sampling(name):
    def error(*arguments):
        with pytest.raises(InputError) as message:
            plan_of(name, *arguments, 0, 1)
        with pytest.raises(InputError, match=re.escape(str(message.value))):
            FUNCTIONS[name](*arguments, 0, 0)
        return str(message.value)

    few = error(*columns([5, 5], [5, 5]), 3, 2)
    assert "config.batch.identities is 3" in few and "only 2 training identities" in few
    assert "lower it to 2" in few
    assert "13" in (one := error(*columns([5, 5], [5, 0]), 2, 2)) and "without infrared" in one
    many = error(*columns([0, 0, 1, 0, 0, 0], [5] * 6), 2, 2)
    assert "without visible images (5): 3, 13, 33, ..." in many
    with pytest.raises(InputError, match=r"without infrared images \(1\): anna"):
        plan_of("uniform", *columns([5, 5], [5, 0]), 2, 2, 0, 1, {13: "anna"})
    assert "at least 1" in error(*columns([5, 5], [5, 5]), 0, 2)
    assert "at least 1" in error(*columns([5, 5], [5, 5]), 2, 0)


def sysu_like_columns():
    """Counts as in SYSU-MM01: 296 training and 99 validation identities, 22k and 12k images."""
    rng = np.random.default_rng(0)
    visible = np.clip(rng.normal(68.5, 25, 296), 10, 144).astype(int).tolist() + [20] * 99
    infrared = [40] * 200 + [20] * 195
    return columns(visible, infrared)


def test_epochs_at_the_size_of_sysu_mm01():
    identity, modality = sysu_like_columns()
    assert 20000 < np.sum(modality == "visible") < 24000
    assert 11000 < np.sum(modality == "infrared") < 13000
    plan = plan_of("random_identity", identity, modality, 12, 5, 0, 3)
    assert all(180 <= length <= 205 for length in np.diff(plan.starts))
    for sampler in FUNCTIONS.values():
        start = time.perf_counter()
        sampler(identity, modality, 12, 5, 0, 0)
        assert time.perf_counter() - start < 1  # 10 ms on a quiet machine


def test_a_sampler_outside_of_jreid_has_epochs_of_its_own_length(monkeypatch):
    """It may see the cameras, and need not know its steps before it has made them."""

    def cycling(table, P, K, seed):
        sides = [np.flatnonzero(table.modality == side) for side in ("visible", "infrared")]
        pairs = np.stack([side[np.argsort(table.identity[side], kind="stable")] for side in sides])
        return Epochs(lambda epoch: np.stack([pairs[:, : P * K]] * (epoch + 2)))

    monkeypatch.setattr(sampler_of_this_test, "cycling", cycling, raising=False)
    plan = plan_of(f"{NAME}.cycling", *columns([4, 4], [4, 4]), 2, 2, 0, 3)
    assert plan.starts.tolist() == [0, 2, 5, 9]
    assert plan.rows(8).shape == (2, 4)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda rows: rows, "returns a ndarray, not a jreid.data.samplers.Epochs"),
        (lambda rows: Epochs(lambda epoch: rows[0]), r"not of whole numbers \[steps, 2, 4\]"),
        (lambda rows: Epochs(lambda epoch: rows[:, :, :2]), r"\(3, 2, 2\)"),
        (lambda rows: Epochs(lambda epoch: rows / 1), "array of float64"),
        (lambda rows: Epochs(lambda epoch: 3), r"array of int64 \(\)"),
        (lambda rows: Epochs(lambda epoch: rows + 20), "rows that do not exist: there are 20"),
        (lambda rows: Epochs(lambda epoch: rows[:, ::-1]), "rows of the wrong modality"),
        (lambda rows: Epochs(lambda epoch: rows + ODD), "halves of a step that show different"),
        (lambda rows: Epochs(lambda epoch: rows[:0]), "an epoch without a step"),
        (lambda rows: Epochs(lambda epoch: rows, lambda epoch: 4), "gives 3 steps in epoch 0"),
        (lambda rows: Epochs(lambda epoch: {}[epoch]), "rows of epoch 0 raises KeyError"),
        (lambda rows: Epochs(lambda epoch: rows, lambda epoch: 0.5), "steps of epoch 0 returns"),
    ],
)
def test_a_sampler_outside_of_jreid_is_checked(made, message, monkeypatch):
    identity = np.tile(np.repeat([1, 2], 5), 2)
    modality = np.repeat(["visible", "infrared"], 10)
    rows = np.tile(np.array([[0, 1, 5, 6], [10, 11, 15, 16]]), (3, 1, 1))
    monkeypatch.setattr(sampler_of_this_test, "wrong", lambda *_: made(rows), raising=False)
    with pytest.raises(InputError, match=message):
        plan_of(f"{NAME}.wrong", identity, modality, 2, 2, 0, 1).rows(0)

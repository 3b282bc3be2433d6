"""Phases and players: who is updated when, by which loss and at which rate."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from jreid.distributed.mesh import make_mesh
from jreid.engine import optimizers
from jreid.engine.state import check_owners, create
from jreid.engine.step import make_train_step
from jreid.methods import Method, Phase, Player

SGD = {
    "kind": "sgd",
    "learning_rate": 0.5,
    "weight_decay": 0.0,
    "momentum": 0.0,
    "nesterov": False,
    "warmup_epochs": 0,
    "warmup_initial": 0.0,
    "milestones": (),
    "lr_decay": 0.1,
    "lr_multipliers": (),
}
BATCH: Any = {"identity": jnp.zeros(4)}


def player(name, owns, factor, **options):
    """Pulls `factor` down on the parameters `a` and `b`, and counts its turns."""

    def loss(params, model_state, batch, rng, progress):
        turns = {"turns": model_state["turns"] + 1}
        return factor * (params["a"] + params["b"]), ({"factor": jnp.asarray(factor)}, turns)

    return Player(name, lambda path: path in owns, loss, options_of(options))


def options_of(options) -> Any:
    return ConfigDict(SGD | options)


def method_of(players, warm_ups=()) -> Any:
    phases = (*warm_ups, Phase("main", players))
    return Method(lambda key, batch: {}, phases, lambda *_: None)


def play(method, phase, epoch=0.0) -> Any:
    variables = {"params": {"a": jnp.zeros(()), "b": jnp.zeros(())}, "turns": jnp.zeros(())}
    options = {
        name: optimizers.build(one.optimizer) for name, one in method.players_by_name.items()
    }
    state = create(variables, method.players_by_name.values(), options)
    step = make_train_step(method, options, lambda step: jnp.float32(epoch), 0, make_mesh(), phase)
    return step(state, BATCH)


def test_each_player_updates_its_own_in_its_order_by_its_own_rate():
    first = player("first", ("a",), 1.0)
    second = player("second", ("b",), 10.0, learning_rate=0.25)
    state, message = play(method_of((first, second)), None)
    assert (float(state.params["a"]), float(state.params["b"])) == (-0.5, -2.5)
    assert float(message["second/loss"]) == 10.0 * -0.5  # it sees what the first has done
    assert float(message["second/gradient_norm"]) == 10.0
    assert float(state.model_state["turns"]) == 2


def test_phases_have_their_own_players_and_losses():
    warm, late = player("one", ("a",), 2.0), player("one", ("a",), 3.0)
    other = player("other", ("b",), 1.0)
    method = method_of((late, other), (Phase("warm", (warm,), 2), Phase("more", (other,), 5)))
    assert [method.phase_at(epoch).name for epoch in (0, 1, 2, 4, 5, 99)] == [
        "warm", "warm", "more", "more", "main", "main"
    ]  # fmt: skip
    assert [*method.players_by_name] == ["one", "other"]
    assert method.players_by_name["one"] is late
    moved = {phase.name: play(method, phase)[0].params for phase in method.phases}
    assert {name: (float(p["a"]), float(p["b"])) for name, p in moved.items()} == {
        "warm": (-1.0, 0.0), "more": (0.0, -0.5), "main": (-1.5, -0.5)
    }  # fmt: skip


@jax.numpy_dtype_promotion("standard")  # for Adam, see conftest.py
@pytest.mark.parametrize(("restarted", "moved"), [((), 8.0), (("one",), 1.0)])
def test_a_restarted_player_forgets_the_steps_without_a_gradient(restarted, moved):
    """Adam, betas 0.5 and 0.999: after 300 steps without a gradient, a step is 8 rates long."""
    options = {"kind": "adam", "betas": (0.5, 0.999), "learning_rate": 1.0}
    warm, late = (
        player("one", ("a", "b"), 0.0, **options),
        player("one", ("a", "b"), 1.0, **options),
    )
    phases = Phase("warm", (warm,), 10), Phase("main", (late,), restarted=restarted)
    method: Any = Method(lambda key, batch: {}, phases, lambda *_: None)
    built = {"one": optimizers.build(late.optimizer)}
    variables = {"params": {"a": jnp.zeros(()), "b": jnp.zeros(())}, "turns": jnp.zeros(())}
    state = create(variables, [late], built)
    steps = [
        make_train_step(
            method, built, lambda step: step.astype(jnp.float32) / 30, 0, make_mesh(), phase
        )
        for phase in phases
    ]
    for _ in range(300):
        state, _ = steps[0](state, BATCH)
    assert float(state.params["a"]) == 0.0
    before, moves = 0.0, []
    for _ in range(2):
        state, _ = steps[1](state, BATCH)
        moves.append(before - float(state.params["a"]))
        before = float(state.params["a"])
    assert moves[0] == pytest.approx(moved, rel=0.02)
    if restarted:  # only in the first step of the phase
        assert int(optax.tree.get(state.opt_state["one"], "count")) == 2


def test_the_rate_follows_the_epoch_and_not_the_turns_of_the_player():
    late = player("late", ("a", "b"), 1.0, milestones=(3,), lr_decay=0.5)
    state, _ = play(method_of((late,), (Phase("warm", (), 4),)), None, epoch=4.0)
    np.testing.assert_allclose(state.params["a"], -0.25)


def test_a_parameter_may_have_several_owners_but_must_have_one():
    one, two = player("one", ("a", "b"), 1.0), player("two", ("b",), 1.0)
    check_owners({"a": 1, "b": 1}, method_of((one, two)))
    with pytest.raises(ValueError, match="a is owned by none"):
        check_owners({"a": 1, "b": 1}, method_of((two,)))
    state, _ = play(method_of((one, two)), None)
    assert float(state.params["b"]) == -1.0


def test_a_phase_that_is_not_of_the_method_has_a_step_too():
    one = player("one", ("a",), 1.0)
    state, _ = play(method_of((one,)), Phase("alone", (one,)))
    assert float(state.params["a"]) == -0.5


def test_a_player_that_is_restarted_must_exist():
    one = player("one", ("a",), 1.0)
    method: Any = Method(
        lambda key, batch: {}, (Phase("main", (one,), restarted=("other",)),), lambda *_: None
    )
    with pytest.raises(ValueError, match="main restarts other, which is none of its players"):
        check_owners({"a": 1}, method)


def test_a_player_owns_the_same_in_all_of_its_phases():
    warm, late = player("one", ("a",), 1.0), player("one", ("a", "b"), 1.0)
    with pytest.raises(ValueError, match="one owns parameter b in some of its phases only"):
        check_owners({"a": 1, "b": 1}, method_of((late,), (Phase("warm", (warm,), 1),)))

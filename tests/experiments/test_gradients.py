"""The shares of a loss's terms in its gradient, for terms whose gradients are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.gradients import Gradients, main, measure, table
from jreid.errors import InputError
from jreid.methods import Player


def terms(params, model_state, batch, key, epoch):
    """Gradients (0, 6, 0), (scale, 0, 0) and (-3, 0, 4) of a and b together, in epoch 2."""
    a, b = params["a"], params["b"]
    losses = {
        "second": (2.0, 1.5 * epoch * a[1]),
        "first": (1.0, batch["scale"] * a[0]),
        "against": (0.5, -6 * a[0] + 8 * b.sum()),
        "zero": (0.0, a.sum()),
    }
    return losses, ({}, model_state)


PLAYER = Player.of_terms("model", lambda path: True, terms, None)
VARIABLES = {"params": {"a": jnp.array([1.0, 2.0]), "b": jnp.ones(1)}}
BATCH = {"scale": jnp.float32(8)}


def test_each_term_has_the_gradient_of_its_weighted_value():
    (one,) = measure(PLAYER, VARIABLES, [BATCH], 2.0)
    assert one.values == {"against": 1.0, "first": 8.0, "second": 12.0, "zero": 0.0}
    expected = [[25, -24, 0, 0], [-24, 64, 0, 0], [0, 0, 36, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(one.products, expected)


def test_the_table_has_shares_and_cosines_and_the_largest_first():
    batches = [BATCH, {"scale": jnp.float32(10)}]
    lines = table(measure(PLAYER, VARIABLES, batches, 2.0)).splitlines()[2:]
    names = [line.split(" | ")[0].strip("| ") for line in lines]
    assert names == ["first", "second", "against", "zero"]
    # The others of `first` add up to (-3, 6, 4). The norms are 9, 6 and 5 in the mean.
    assert lines[0] == f"| first | 9 | 9 | 45 % | {-3 / 61**0.5:.2f} |"
    assert lines[3] == "| zero | 0 | 0 | 0 % | 0.00 |"


def test_only_the_chosen_parameters_are_measured():
    (one,) = measure(PLAYER, VARIABLES, [BATCH], 2.0, "b")
    np.testing.assert_allclose(np.diag(one.products), [16, 0, 0, 0])
    with pytest.raises(InputError, match=r"--parameters=c .* begin with a, b\.$"):
        measure(PLAYER, VARIABLES, [BATCH], 2.0, "c")


def test_terms_that_move_nothing_have_no_share():
    assert "| 0 % | 0.00 |" in table([Gradients({"one": 1.0}, np.zeros((1, 1)))])


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["nowhere"], "nowhere holds no run"), (["nowhere", "--batches=0"], "--batches=0")],
)
def test_bad_input_ends_it_with_one_sentence(flags, message, capsys):
    assert main(flags) == 2
    assert message in capsys.readouterr().err

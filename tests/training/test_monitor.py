import jax.numpy as jnp
import pytest
from helpers.states import state_of

from jreid.errors import InputError
from jreid.methods import MetricWarning
from jreid.training.monitor import FiniteCheck, MetricWarnings, check_state
from jreid.training.observer import Step


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_quantity_and_step_are_named(bad):
    check = FiniteCheck()
    check.on_metrics(4, {"loss": 1.0})
    with pytest.raises(InputError, match=f"step 5 because loss is {bad}"):
        check.on_metrics(5, {"accuracy": 0.5, "loss": bad})


def test_the_array_of_a_state_is_named():
    check_state(state_of(4))
    state = state_of(4).replace(params={"kernel": jnp.array([1.0, jnp.nan])})
    with pytest.raises(InputError, match="step 4 because params/kernel is not finite"):
        check_state(state)


def test_a_metric_is_warned_of_once_until_it_is_as_expected_again(caplog):
    warnings = MetricWarnings([MetricWarning("*/loss", lambda value: value > 2, "it is high")])
    for number, loss in enumerate((1, 3, None, 4, 1, 5), 1):
        means = None if loss is None else {"a/loss": loss, "b/other": 9}
        warnings.on_step(Step(number, 0, False, False, None, means))
    assert caplog.messages == [
        "step 2: a/loss is 3: it is high.",
        "step 6: a/loss is 5: it is high.",
    ]

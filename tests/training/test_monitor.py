import jax.numpy as jnp
import pytest
from helpers.planted_curves import feed, planted
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


def test_an_epoch_is_judged_by_all_its_steps_and_warned_of_once(caplog):
    high = MetricWarning("*/loss", lambda losses: losses.mean() > 2, "it is high", range(1, 9))
    curves = {"a/loss": planted([3, 1, 2.5, 2.6]), "b/other": planted([9] * 4)}
    feed([high], curves)
    assert caplog.messages == [
        "epoch 3, step 60: the mean of a/loss over this epoch is 2.5: it is high."
    ]


def test_the_rest_of_an_epoch_is_not_judged(caplog):
    """A run that was stopped within an epoch goes on in the middle of it."""
    high = MetricWarning("a/loss", lambda losses: losses.mean() > 2, "it is high", range(9))
    feed([high], {"a/loss": planted([3, 1])}, skipped=5)
    assert not caplog.messages


def test_each_warning_has_one_observer(caplog):
    logged = MetricWarning("a/loss", lambda value: value > 2, "it is high")
    feed([logged], {"a/loss": planted([3])})
    assert not caplog.messages
    assert not MetricWarnings([logged._replace(epochs=range(9))]).messages({"a/loss": 3})

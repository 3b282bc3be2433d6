import jax.numpy as jnp
import pytest
from helpers.states import state_of

from jreid.errors import InputError
from jreid.runs.checkpoints import Checkpoints
from jreid.training.monitor import FiniteCheck
from jreid.training.spikes import SpikeDetector


def watch_of(checkpoints, unlogged=()):
    return FiniteCheck(
        checkpoints, SpikeDetector(checkpoints.folder.parent / "spikes", lambda _: {}), unlogged
    )


@pytest.fixture
def checkpoints(tmp_path):
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(state_of(3))
        yield checkpoints


def test_quantity_step_and_last_good_checkpoint_are_named(checkpoints):
    watch = watch_of(checkpoints)
    watch.add(4, {"loss": jnp.float32(1)})
    watch.add(5, {"loss": jnp.float32(jnp.nan)})
    with pytest.raises(InputError, match=r"step 5 because loss is nan.*checkpoint is step 3"):
        watch.add(6, {"loss": jnp.float32(1)})


def test_the_newest_step_is_checked_before_its_state_is_saved(checkpoints):
    watch = watch_of(checkpoints)
    watch.add(4, {"loss": jnp.float32(jnp.inf)})
    with pytest.raises(InputError, match="loss is inf"):
        watch.check_state(state_of(4))


def test_a_state_that_is_not_finite_is_not_saved(checkpoints):
    state = state_of(4).replace(params={"kernel": jnp.array([1.0, jnp.nan])})
    with pytest.raises(InputError, match="params/kernel is not finite"):
        watch_of(checkpoints).check_state(state)


def test_means_are_of_the_steps_since_the_last_call(checkpoints):
    watch = watch_of(checkpoints)
    for step, loss in enumerate((1.0, 3.0)):
        watch.add(step, {"loss": jnp.float32(loss)})
    assert watch.means() == {"loss": 2.0}
    watch.add(2, {"loss": jnp.float32(7)})
    assert watch.means() == {"loss": 7.0}


def test_a_run_that_goes_on_logs_what_was_not_logged(checkpoints):
    watch = watch_of(checkpoints)
    watch.add(4, {"loss": jnp.float32(1)})
    watch.means()
    for step, loss in enumerate((0.1, 0.7), 5):
        watch.add(step, {"loss": jnp.float32(loss)})
    checkpoints.save(state_of(6), unlogged=watch.unlogged())
    checkpoints.finish()
    again = watch_of(checkpoints, checkpoints.unlogged(6))
    for one in (watch, again):
        one.add(7, {"loss": jnp.float32(0.3)})
    assert watch.means() == again.means()

import jax.numpy as jnp
import pytest
from test_checkpoints import state_of

from jreid.errors import InputError
from jreid.training.checkpoints import Checkpoints
from jreid.training.watch import FiniteWatch


@pytest.fixture
def checkpoints(tmp_path):
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(state_of(3))
        yield checkpoints


def test_quantity_step_and_last_good_checkpoint_are_named(checkpoints):
    watch = FiniteWatch(checkpoints)
    watch.add(4, {"loss": jnp.float32(1)})
    watch.add(5, {"loss": jnp.float32(jnp.nan)})
    with pytest.raises(InputError, match=r"step 5 because loss is nan.*checkpoint is step 3"):
        watch.add(6, {"loss": jnp.float32(1)})


def test_the_newest_step_is_checked_before_its_state_is_saved(checkpoints):
    watch = FiniteWatch(checkpoints)
    watch.add(4, {"loss": jnp.float32(jnp.inf)})
    with pytest.raises(InputError, match="loss is inf"):
        watch.check_state(state_of(4))


def test_a_state_that_is_not_finite_is_not_saved(checkpoints):
    state = state_of(4).replace(params={"kernel": jnp.array([1.0, jnp.nan])})
    with pytest.raises(InputError, match="params/kernel is not finite"):
        FiniteWatch(checkpoints).check_state(state)


def test_means_are_of_the_steps_since_the_last_call(checkpoints):
    watch = FiniteWatch(checkpoints)
    for step, loss in enumerate((1.0, 3.0)):
        watch.add(step, {"loss": jnp.float32(loss)})
    assert watch.means() == {"loss": 2.0}
    watch.add(2, {"loss": jnp.float32(7)})
    assert watch.means() == {"loss": 7.0}

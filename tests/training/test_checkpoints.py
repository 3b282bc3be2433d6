import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.errors import InputError
from jreid.training.checkpoints import Checkpoints
from jreid.training.sharding import make_mesh, replicated
from jreid.training.state import TrainState


def state_of(step, width=3):
    return jax.device_put(
        TrainState(
            jnp.asarray(step, jnp.int32),
            {"kernel": jnp.full(width, step + 0.1)},
            {"batch_stats": {"mean": jnp.full(2, step + 0.2)}},
            {"model": {"kernel": jnp.full(width, step + 0.3)}},
        ),
        replicated(make_mesh()),
    )


def equal(left, right):
    return jax.tree.all(
        jax.tree.map(lambda a, b: (np.asarray(a) == np.asarray(b)).all(), left, right)
    )


def test_latest_and_best_are_kept_and_known_after_a_restart(tmp_path):
    scores = {2: 0.3, 4: 0.9, 6: 0.5, 8: 0.4}
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        assert checkpoints.latest is checkpoints.best is None
        checkpoints.save(state_of(0))
        for step, score in scores.items():
            checkpoints.save(state_of(step), score)
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        assert (checkpoints.step("last"), checkpoints.step("best")) == (8, 4)
        kept = sorted(path.name for path in (tmp_path / "c").iterdir() if path.is_dir())
        assert kept == ["4", "6", "8"]
        checkpoints.save(state_of(10))
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        assert (checkpoints.latest, checkpoints.best) == (10, 4)


def test_what_comes_back_is_what_was_saved(tmp_path):
    everywhere = replicated(make_mesh())
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(state_of(5))
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        shapes = jax.eval_shape(lambda: state_of(0))
        state = checkpoints.restore(5, shapes, everywhere)
        assert equal(state, state_of(5))
        assert state.params["kernel"].sharding.is_equivalent_to(everywhere, 1)
        variables = checkpoints.restore_variables(5, shapes, everywhere)
        assert equal(variables, state_of(5).variables)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    everywhere = replicated(make_mesh())
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(state_of(5))
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        for other in (state_of(0, width=4), state_of(0).replace(params={"other": jnp.ones(3)})):
            with pytest.raises(InputError, match="step 5"):
                checkpoints.restore(5, other, everywhere)


def test_a_damaged_checkpoint_is_named(tmp_path):
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(state_of(5))
    for path in (tmp_path / "c" / "5" / "model").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with (
        Checkpoints(tmp_path / "c", writes=True) as checkpoints,
        pytest.raises(InputError, match="step 5"),
    ):
        checkpoints.restore(5, state_of(0), replicated(make_mesh()))

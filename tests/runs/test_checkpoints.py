import errno
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.states import state_of

from jreid.distributed.mesh import make_mesh, replicated
from jreid.errors import InputError
from jreid.runs import checkpoint_folder
from jreid.runs.checkpoints import Checkpoints

# What Orbax writes of when and where, and the sums of that.
WITH_TIME_OR_PLACE = {"_CHECKPOINT_METADATA", "commit_success.txt", "SHA256SUMS"}


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
            checkpoints.save(state_of(step), score=score)
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


def test_a_checkpoint_of_another_network_is_refused_with_what_differs(tmp_path):
    everywhere = replicated(make_mesh())
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(state_of(5))
        checkpoints.finish()
        wider = r"2 arrays.*params/kernel: float32\[4\], float32\[3\]"
        renamed = r"2 arrays.*params/kernel: none, float32\[3\]; .*params/other: float32\[3\], none"
        narrow = state_of(0).replace(opt_state={"model": {"kernel": jnp.ones(3, jnp.bfloat16)}})
        for other, message in (
            (state_of(0, width=4), wider),
            (state_of(0).replace(params={"other": jnp.ones(3)}), renamed),
            (narrow, r"optimizer/model/kernel: bfloat16\[3\], float32\[3\]"),
        ):
            with pytest.raises(InputError, match=message):
                checkpoints.restore(5, other, everywhere)


def damage(folder):
    (folder / "notes.json").write_text("{}")


def test_the_step_before_a_damaged_one_is_used_and_the_damage_reported(tmp_path, caplog):
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        for step, score in ((5, 0.5), (6, 0.4), (7, 0.6)):
            checkpoints.save(state_of(step), score=score)
    damage(tmp_path / "c" / "7")
    with Checkpoints(tmp_path / "c") as checkpoints:
        assert (checkpoints.latest, checkpoints.best, checkpoints.newest()) == (6, 6, 6)
        with pytest.raises(InputError, match="7 is damaged"):
            checkpoints.restore(7, state_of(0), replicated(make_mesh()))
    (message,) = [r.message for r in caplog.records if r.name.startswith("jreid")]
    assert (
        "c/7 is damaged (notes.json has changed since it was written); an earlier one is used"
        in message
    )
    assert (tmp_path / "c" / "7").exists()
    damage(tmp_path / "c" / "6")
    with (
        Checkpoints(tmp_path / "c", writes=True) as checkpoints,
        pytest.raises(InputError, match="no undamaged checkpoint"),
    ):
        checkpoints.newest()


def test_a_damaged_step_is_made_anew(tmp_path):
    everywhere = replicated(make_mesh())
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        for step in (5, 6):
            checkpoints.save(state_of(step))
    damage(tmp_path / "c" / "6")
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        assert checkpoints.newest() == 5
        checkpoints.save(state_of(6))
    with Checkpoints(tmp_path / "c") as checkpoints:
        assert equal(checkpoints.restore(6, state_of(0), everywhere), state_of(6))


def test_no_step_is_removed_while_it_is_read(tmp_path):
    folder = tmp_path / "c"
    with Checkpoints(folder, writes=True) as writing:
        writing.save(state_of(1))
        writing.finish()
        with Checkpoints(folder) as reading:
            step = reading.newest()
            for later in (2, 3, 4):
                writing.save(state_of(later))
            writing.finish()
            assert equal(reading.restore(step, state_of(0), replicated(make_mesh())), state_of(1))
        writing.save(state_of(5))
    assert sorted(path.name for path in folder.iterdir()) == ["4", "5"]


def test_a_step_is_not_replaced_while_it_is_read(tmp_path, monkeypatch):
    """A validation saves a step again with its score."""
    folder = tmp_path / "c"
    with Checkpoints(folder, writes=True) as writing:
        writing.save(state_of(1))
        writing.finish()
        before = (folder / "1").stat().st_ino
        with Checkpoints(folder) as reading:
            reading.newest()
            writing.save(state_of(1), score=0.5)
            time.sleep(1)
            assert (folder / "1").stat().st_ino == before
        writing.finish()
        assert writing.best == 1
    monkeypatch.setattr(checkpoint_folder, "PATIENCE", 0.0)  # the reader may have been suspended
    with Checkpoints(folder, writes=True) as writing, Checkpoints(folder):
        writing.save(state_of(1), score=0.7)
        writing.finish()
    assert [path.name for path in folder.iterdir()] == ["1"]


def test_a_kill_while_a_step_is_replaced_loses_no_step(tmp_path, monkeypatch):
    folder = tmp_path / "c"
    rename, everywhere = checkpoint_folder.rename, replicated(make_mesh())

    def killed(old, new):
        if new.name == "2" and (folder / "2.old.unfinished").exists():
            raise KeyboardInterrupt
        rename(old, new)

    with Checkpoints(folder, writes=True) as checkpoints:
        for step in (1, 2):
            checkpoints.save(state_of(step))
    monkeypatch.setattr(checkpoint_folder, "rename", killed)
    folders = checkpoint_folder.StepFolders(folder)
    shutil.copytree(folder / "2", folders.unfinished(2))
    with pytest.raises(KeyboardInterrupt):
        folders.finish(2, {"score": 0.5})
    assert not (folder / "2").exists()
    monkeypatch.setattr(checkpoint_folder, "rename", rename)
    with Checkpoints(folder, writes=True) as checkpoints:
        assert equal(checkpoints.restore(2, state_of(0), everywhere), state_of(2))
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_what_a_killed_save_has_left_is_removed(tmp_path):
    folder = tmp_path / "c"
    with Checkpoints(folder, writes=True) as checkpoints:
        checkpoints.save(state_of(5))
    for name in ("6.unfinished", "6.unfinished.orbax-checkpoint-tmp", "3.old.unfinished"):
        (folder / name).mkdir()
        (folder / name / "part").write_text("half")
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.latest == 5
    assert len([*folder.iterdir()]) == 4
    with Checkpoints(folder, writes=True) as checkpoints:
        assert checkpoints.latest == 5
    assert [path.name for path in folder.iterdir()] == ["5"]


def test_a_full_disk_keeps_the_steps_before_and_says_so(tmp_path, monkeypatch):
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(state_of(5))
        checkpoints.finish()

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("jreid.runs.manifest.seal", full)
        checkpoints.save(state_of(6))
        with pytest.raises(InputError, match=r"step 6 cannot.*No space left.*free disk space"):
            checkpoints.finish()
        assert checkpoints.last_good == checkpoints.latest == 5
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["5"]


@pytest.mark.fault("B10")
def test_a_first_checkpoint_that_cannot_be_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("jreid.runs.manifest.seal", full)
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(state_of(0))
        with pytest.raises(InputError, match=r"step 0 cannot.*No space left"):
            checkpoints.finish()
        assert checkpoints.last_good is None


def test_equal_states_make_equal_files_but_for_time_stamps(tmp_path):
    found = []
    for name in ("a", "b"):
        with Checkpoints(tmp_path / name / "c", writes=True) as checkpoints:
            checkpoints.save(state_of(5), score=0.5)
        step = tmp_path / name / "c" / "5"
        found.append(
            {
                path.relative_to(step): path.read_bytes()
                for path in step.rglob("*")
                if path.is_file() and path.name not in WITH_TIME_OR_PLACE
            }
        )
    assert len(found[0]) > 10
    assert found[0] == found[1]

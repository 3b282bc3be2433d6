"""Runs that are killed or asked to stop, and go on as if they had not been."""

import random
import signal
import time

import pytest
from helpers.command_line import outcome, run, started, step_of, steps_in, tiny_flags

EPOCHS, EPOCH = 10, 6  # and the steps of one, which are the save interval
# Twenty moments: in an epoch, while its end is saved, and once that is done, which is what gets on.
KILLS = ["step", "save", "step", "step", "saved"] * 4
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def flags(tiny_folder, prepared):
    batch = ["--config.batch.identities=8", f"--config.epochs={EPOCHS}"]
    often = ["--config.log_every_steps=1", "--config.evaluation.every_epochs=5"]
    return ["train", *tiny_flags(tiny_folder, prepared), *batch, *often]


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
    """What comes of a run that nothing happens to."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    done = run(*flags, f"--workdir={workdir}")
    assert done.status == 0, done.err
    found = outcome(workdir)
    assert steps_in(workdir)[-1] == EPOCHS * EPOCH
    return found


class Output:
    """The output of a run that trains: the step that it resumes at, and its last finished step."""

    def __init__(self, process):
        self._lines, self.start, self.done, self.last = process.stderr, 0, 0, ""

    def read(self, steps=10**9):
        """Waits for a number of steps, or for the end."""
        for line in self._lines:
            self.last = line.strip()
            if line.startswith("resuming at step "):
                self.start = self.done = int(line.split()[3])
            self.done = step_of(line) or self.done
            if self.done >= self.start + steps:
                break
        return self


def is_saving(workdir):
    return bool([*workdir.glob("checkpoints/*.unfinished*")])


def has_saved(workdir, start):
    return max(steps_in(workdir)) > start


def wait_until(process, holds, *arguments):
    while process.poll() is None and not holds(*arguments):
        time.sleep(0.001)


@pytest.mark.fault("F01")
def test_twenty_kills_change_nothing_of_a_run(flags, whole, tmp_path):
    moments, workdir = random.Random(0), tmp_path / "run"
    done, was_saving = 0, False
    for moment in KILLS:
        committed = max(steps_in(workdir), default=0)
        with started(*flags, f"--workdir={workdir}") as process:
            output = Output(process)
            output.read(moments.randint(1, EPOCH - 1))
            if moment == "save":
                wait_until(process, is_saving, workdir)
            if moment == "saved":
                wait_until(process, has_saved, workdir, output.start)
            time.sleep(moments.uniform(0, 0.2))
            process.kill()
            assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
            output.read()
        assert output.start == committed
        assert done - output.start <= EPOCH * (2 if was_saving else 1)
        done, was_saving = output.done, is_saving(workdir)
    assert run(*flags, f"--workdir={workdir}").status == 0
    assert outcome(workdir) == whole


# SIGTERM, Ctrl-C, and Ctrl-C twice so many seconds apart; the status to leave with.
REQUESTS = [
    *[(signal.SIGTERM, None, 143)] * 5,
    (signal.SIGINT, None, 130),
    (signal.SIGINT, 0.01, 130),
    (signal.SIGINT, 0.1, 130),
]


@pytest.mark.fault("F02", "F04")
def test_requests_to_stop_are_answered_with_a_save(flags, whole, tmp_path):
    moments, workdir = random.Random(1), tmp_path / "run"
    for number, again, status in REQUESTS:
        with started(*flags, f"--workdir={workdir}") as process:
            output = Output(process).read(moments.randint(1, EPOCH + 2))
            asked = time.monotonic()
            process.send_signal(number)
            if again:
                time.sleep(again)
                process.send_signal(number)
            output.read()
            assert process.wait() == status
            assert time.monotonic() - asked < 60
        assert output.last.endswith(("to resume.", "last checkpoint."))
        if not again:
            saved = f"jreid: stopped and saved at step {output.done}; give the same command again"
            assert output.last == f"{saved} to resume."
            assert steps_in(workdir)[-1] == output.done
    done = run(*flags, f"--workdir={workdir}")
    assert done.status == 0
    assert "is damaged" not in done.err
    assert outcome(workdir) == whole

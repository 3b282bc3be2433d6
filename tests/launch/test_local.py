"""Jobs run side by side on cores of their own; what is stopped has been asked to save."""

import os
import signal
import sys
import threading
import time

import pytest

from jreid.errors import InputError, Stopped
from jreid.launch import local
from jreid.launch.jobs import Failure, Job, cause_of, last_line, received_signals
from jreid.launch.local import run_jobs
from jreid.process import cores

CORES = len(cores())
needs_two = pytest.mark.skipif(CORES < 2, reason="two workers need two cores")
# Says when it is ready, saves when it is asked to, and ends by itself after a minute.
SAVES = """
import signal, sys, time, pathlib
def save(number, _):
    print("saved", flush=True)
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, save); signal.signal(signal.SIGINT, save)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


def job(tmp_path, name, code, *arguments):
    command = [sys.executable, "-S", "-c", code, *map(str, arguments)]
    return Job(name, tuple(command), tmp_path / "logs" / f"{name}.log")


def test_every_job_runs_and_those_that_fail_are_returned(tmp_path):
    codes = ("print(1)", "print('the disk is full\\n'); raise SystemExit(3)", "print(3)")
    jobs = [job(tmp_path, f"job{number}", code) for number, code in enumerate(codes)]
    assert run_jobs(jobs, 1) == [Failure(jobs[1], "the disk is full")]
    assert [last_line(one.output) for one in jobs] == ["1", "the disk is full", "3"]
    assert last_line(jobs[0].output.with_name("job0.log")) == "1"
    assert not run_jobs(jobs[:1], 1)  # what another command writes at the same time is not removed
    assert jobs[0].output.read_text() == "1\n1\n"
    jobs[0].output.write_text("")
    assert last_line(jobs[0].output) == "no output"


def test_a_job_that_was_killed_names_the_signal(tmp_path):
    code = "import os; print('step 5', flush=True); os.kill(os.getpid(), 9)"
    (failure,) = run_jobs([job(tmp_path, "killed", code)], 1)
    assert failure.cause == "step 5 (killed by SIGKILL)"
    nameless = next(n for n in range(35, 64) if n not in {*signal.Signals})
    assert cause_of(failure.job, -nameless) == f"step 5 (killed by signal {nameless})"


def test_the_cause_is_not_of_an_earlier_attempt(tmp_path):
    code = "import os; os.kill(os.getpid(), 9)"
    one = job(tmp_path, "killed", code)
    one.output.parent.mkdir()
    one.output.write_text("the disk is full\n")
    (failure,) = run_jobs([one], 1)
    assert failure.cause == "no output (killed by SIGKILL)"


@needs_two
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="macOS cannot choose cores")
def test_jobs_run_side_by_side_each_on_its_own_cores(tmp_path):
    # Each waits for the other one, so both fail if they run one after the other.
    code = """
import os, pathlib, sys, time
own, other = map(pathlib.Path, sys.argv[1:])
own.touch()
for _ in range(200):
    time.sleep(0.05)
    if other.exists(): break
else: sys.exit("alone")
print(sorted(os.sched_getaffinity(0)))
"""
    first, second = tmp_path / "first", tmp_path / "second"
    jobs = [job(tmp_path, "a", code, first, second), job(tmp_path, "b", code, second, first)]
    before = os.sched_getaffinity(0)
    assert run_jobs(jobs, 2) == []
    assert os.sched_getaffinity(0) == before
    own = [{*map(int, last_line(one.output).strip("[]").split(","))} for one in jobs]
    assert own[0] | own[1] == before and not own[0] & own[1]


@needs_two
def test_jobs_run_side_by_side_where_cores_cannot_be_chosen_as_on_macos(tmp_path, monkeypatch):
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    assert run_jobs([job(tmp_path, name, "print(1)") for name in "ab"], 2) == []


def test_a_job_that_cannot_be_started_has_failed_and_the_others_run(tmp_path):
    (tmp_path / "file").touch()
    bad = job(tmp_path, "bad", "")._replace(output=tmp_path / "file" / "bad.log")
    good = job(tmp_path, "good", "print(1)")
    (failure,) = run_jobs([bad, good], 1)
    assert failure.job == bad and str(tmp_path / "file") in failure.cause
    assert last_line(good.output) == "1"


@pytest.fixture
def login():
    """SIGHUP as in a login, also where the tests are run by `nohup`, which ignores it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("login")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_running_job_after_it_saved_and_starts_no_other(
    tmp_path, number, caplog
):
    ready = tmp_path / "ready"

    def stop():
        while not ready.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    jobs = [job(tmp_path, name, SAVES, ready) for name in ("first", "second")]
    fails = job(tmp_path, "fails", "raise SystemExit('the disk is full')")
    threading.Thread(target=stop).start()
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped) as stopped:
        run_jobs([fails, *jobs], 1)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "fails failed: the disk is full"
    ]
    assert stopped.value.status == 128 + number
    assert last_line(jobs[0].output) == "saved"
    assert not jobs[1].output.exists()
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.parametrize("count", [0, -1, CORES + 1])
def test_workers_need_cores(count):
    with pytest.raises(InputError, match=f"--workers={count} does not fit"):
        run_jobs([], count)


@pytest.mark.parametrize(
    ("workers", "cards", "fractions"),
    [
        (2, ["0,2", "1,3"], [None, None]),
        (4, ["0", "1", "2", "3"], [None] * 4),
        (5, ["0", "1", "2", "3", "0"], ["0.375", "0.750", "0.750", "0.750", "0.375"]),
        (8, ["0", "1", "2", "3"] * 2, ["0.375"] * 8),
    ],
)
def test_workers_share_the_gpus_and_the_memory_of_a_card(workers, cards, fractions, monkeypatch):
    monkeypatch.setattr(local, "cores", lambda: frozenset(range(8)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    found = [share.variables for share in local.shares(workers)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == cards
    assert [one.get("XLA_CLIENT_MEM_FRACTION") for one in found] == fractions
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    assert local.shares(8)[7].variables["XLA_CLIENT_MEM_FRACTION"] == "0.450"
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert local.shares(2)[0].variables == {}


def test_nohup_is_obeyed():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with received_signals() as received:
            os.kill(os.getpid(), signal.SIGHUP)
            assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_fraction_of_memory_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setattr(local, "cores", lambda: frozenset(range(2)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "90%")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with pytest.raises(InputError, match="XLA_CLIENT_MEM_FRACTION=90%"):
        local.shares(2)


def test_jobs_have_the_given_environment(tmp_path):
    code = "import os; print(os.environ.get('ONE'), os.environ.get('TWO'))"
    os.environ["TWO"] = "2"
    try:
        assert run_jobs([job(tmp_path, "a", code)], 1, {"ONE": "1"}) == []
    finally:
        del os.environ["TWO"]
    assert last_line(tmp_path / "logs" / "a.log") == "1 None"

"""Jobs in SLURM: submitted once, waited for, and listed with the cause if they failed."""

import logging
import os
import signal
import sys
import threading
import time

import pytest
from helpers.stub_slurm import StubSlurm

from jreid.errors import InputError, Stopped
from jreid.launch import slurm
from jreid.launch.jobs import Job, last_line
from jreid.launch.slurm import read_settings, run_jobs
from jreid.launch.slurm_job import Training

pytest.importorskip("submitit")
SETTINGS = {"time": "240", "partition": "gpu", "gpus-per-node": "1"}
COUNTS = "import pathlib, sys; open(sys.argv[1], 'a').write('started\\n'); "
WAITS = f"""
{COUNTS}import time
while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.02)
"""
SAVES = """
import pathlib, signal, sys, time
def save(number, _):
    print("saved", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


def job(tmp_path, name, code, *arguments):
    command = (sys.executable, "-S", "-c", code, *map(str, arguments))
    return Job(name, command, tmp_path / f"{name}.log")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """SLURM's commands on PATH, which run the jobs on this machine."""
    stub = StubSlurm(tmp_path / "cluster")
    monkeypatch.setenv("PATH", f"{stub.commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "POLL", 0.2)
    return stub


def test_jobs_are_submitted_once_and_failures_have_their_cause(
    cluster, tmp_path, monkeypatch, caplog
):
    folder = tmp_path / "slurm"
    caplog.set_level(logging.INFO, "jreid")
    started, go = tmp_path / "started", tmp_path / "go"
    kills = "import os, signal; print('step 5', flush=True); os.kill(os.getppid(), signal.SIGKILL)"
    jobs = [
        job(tmp_path, "waits", WAITS, started, go),
        job(tmp_path, "fails", "print('the disk is full\\n'); raise SystemExit(3)"),
        job(tmp_path, "killed", kills),
    ]
    with monkeypatch.context() as patch:  # the command is killed while it waits
        patch.setattr(slurm, "_wait", lambda ids: (_ for _ in ()).throw(Stopped(130, "stopped")))
        with pytest.raises(Stopped):
            run_jobs(jobs[:1], folder, SETTINGS)
    other = jobs[0]._replace(command=("other",))
    with pytest.raises(InputError, match=r"waits.log is in SLURM's queue as job .* other flags"):
        run_jobs([other], folder, SETTINGS)
    threading.Timer(1, go.touch).start()
    failures = run_jobs(jobs, folder, SETTINGS, workers=1)
    assert "in the queue: 1; submitted now: 2" in caplog.text
    assert started.read_text() == "started\n"
    assert [failure.job for failure in failures] == jobs[1:]
    assert failures[0].cause == "the disk is full"
    assert failures[1].cause.startswith("step 5; see ")
    assert run_jobs([], folder, SETTINGS) == []
    single, array = cluster.scripts
    for script in (single, array):
        for option in ("time=240", "partition=gpu", "gpus-per-node=1", "job-name=jreid"):
            assert f"#SBATCH --{option}\n" in script
        assert script.index(f"\n{slurm.ALL_CPUS}\n") < script.index("\nsrun ")
    assert "--array" not in single and "#SBATCH --array=0-1%1\n" in array


def test_what_slurm_refuses_is_said_in_its_words(cluster, tmp_path):
    jobs = [job(tmp_path, name, "print(1)") for name in ("one", "two")]
    words = ("sbatch: error: invalid partition specified: gpu", "sbatch: error: submission failed")
    cluster.refusal.write_text("\n".join(words))
    with pytest.raises(InputError) as refused:
        run_jobs(jobs, tmp_path / "slurm", SETTINGS)
    assert str(refused.value) == f"SLURM refuses the jobs ({'; '.join(words)}); correct --slurm."
    cluster.refusal.unlink()
    cluster.silence.write_text("slurm_load_jobs error: Unable to contact slurm controller")
    with pytest.raises(InputError, match=r"squeue does not answer \(.* Unable to contact"):
        run_jobs(jobs, tmp_path / "slurm", SETTINGS)
    assert cluster.scripts == []
    cluster.silence.unlink()
    assert run_jobs(jobs, tmp_path / "slurm", SETTINGS) == []
    assert [last_line(one.output) for one in jobs] == ["1", "1"]


def test_what_slurm_says_of_a_job_that_it_ended_is_in_the_cause(tmp_path):
    one = job(tmp_path, "one", "")
    one.output.write_text("step 7\n")
    ended = "slurmstepd-n1: error: *** JOB 3 ON n1 CANCELLED DUE TO TIME LIMIT ***"
    (tmp_path / "3_0_log.err").write_text(f"{ended}\nsrun: Job step aborted\n")
    assert slurm._cause("3", one, tmp_path) == f"step 7; {ended}"


def test_the_cause_is_not_of_an_earlier_attempt(tmp_path):
    one = job(tmp_path, "killed", "import os; os.kill(os.getpid(), 9)")
    one.output.write_text("the disk is full\n")
    with pytest.raises(RuntimeError, match=r"^no output \(killed by SIGKILL\)$"):
        Training()(one)


def test_ctrl_c_leaves_the_jobs_in_the_queue(monkeypatch):
    monkeypatch.setattr(slurm, "_queue", lambda: {"7_0": "PENDING"})
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(Stopped, match="stay in SLURM") as stopped:
        slurm._wait(["7_0"])
    assert stopped.value.status == 130


def test_waiting_survives_a_restart_of_slurm(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "jreid")
    answers = iter([{"7_0": "RUNNING"}, None, {"7_0": "RUNNING", "8": "PENDING"}, {}, {}])

    def queue():
        answer = next(answers)
        if answer is None:
            raise InputError("squeue does not answer (down; up soon); give the same command again.")
        return answer

    monkeypatch.setattr(slurm, "_queue", queue)
    monkeypatch.setattr(slurm, "POLL", 0)
    slurm._wait(["7_0", "7_1"])
    assert "SLURM: 1 ended, 1 running" in caplog.text and "(down; up soon)" in caplog.text
    assert next(answers, "all asked") == "all asked"


def test_waiting_ends_where_slurm_stays_silent(monkeypatch):
    def silent():
        raise InputError("squeue does not answer (down); give the same command again later.")

    monkeypatch.setattr(slurm, "_queue", silent)
    monkeypatch.setattr(slurm, "POLL", 0)
    monkeypatch.setattr(slurm, "PATIENCE", 0.05)
    with pytest.raises(
        InputError, match=r"answer \(down\) for an hour; the jobs were not ended: they"
    ):
        slurm._wait(["7_0"])


def test_a_run_saves_before_its_time_ends_and_is_submitted_again(tmp_path):
    training, ready, again = Training(), tmp_path / "ready", []
    one = job(tmp_path, "saves", SAVES, ready)

    def before_the_end(*_):
        again.append(training.checkpoint(one))
        raise SystemExit

    def interrupt():
        while not ready.exists():
            time.sleep(0.02)
        training.process.send_signal(signal.SIGUSR2)  # SLURM sends it to all processes of a job
        os.kill(os.getpid(), signal.SIGUSR2)

    handler = signal.signal(signal.SIGUSR2, before_the_end)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(SystemExit):
            training(one)
    finally:
        signal.signal(signal.SIGUSR2, handler)
    assert last_line(one.output) == "saved"
    assert again[0].args == (one,)


def test_options_of_sbatch():
    text = "partition=gpu,exclude=n1,n2,time=240,gpus-per-node=1"
    assert read_settings(text) == {
        "partition": "gpu",
        "exclude": "n1,n2",
        "time": "240",
        "gpus-per-node": "1",
    }


@pytest.mark.parametrize("text", ["", "partition=gpu", "time=4:00:00", "time=0", "time=5,account="])
def test_options_that_cannot_be_used_are_refused(text):
    with pytest.raises(InputError, match=f"--slurm={text}"):
        read_settings(text)


def test_a_machine_without_slurm_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="sbatch"):
        run_jobs([job(tmp_path, "one", "")], tmp_path / "slurm", {"time": "5"})

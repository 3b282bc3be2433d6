"""How a process finds the others of its run."""

import subprocess
import sys
import time

import pytest
from helpers.paths import ROOT
from helpers.together import environment, free_port

from jreid.__main__ import main
from jreid.distributed import cluster
from jreid.distributed.cluster import ProcessAddress, find_address
from jreid.errors import InputError

ALLOCATION = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_JOB_NODELIST": "node[1-2]"}
STEP = {"SLURM_STEP_NODELIST": "node[1-2]", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"}
SHELL = STEP | {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}
MPIRUN = {"OMPI_COMM_WORLD_SIZE": "2"}
JAX = {
    "JAX_COORDINATOR_ADDRESS": "host:1234",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "2",
}


@pytest.mark.fault("B3")
@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, None),
        (ALLOCATION, None),  # a script of sbatch
        (ALLOCATION | {"SLURM_PROCID": "0"}, None),
        (ALLOCATION | SHELL, None),  # a shell of salloc or of srun --pty
        (ALLOCATION | STEP, ProcessAddress(cluster="slurm")),
        (ALLOCATION | SHELL | MPIRUN, ProcessAddress(cluster="ompi")),
        (MPIRUN, ProcessAddress(cluster="ompi")),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, ProcessAddress()),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        (JAX, ProcessAddress("host:1234", 4, 2)),
        (JAX | ALLOCATION | STEP, ProcessAddress("host:1234", 4, 2)),
        (ALLOCATION | STEP | {"JAX_NUM_PROCESSES": "1"}, None),
    ],
)
def test_without_flags_the_environment_decides(environment, address):
    assert find_address(None, None, None, environment) == address


def test_flags_come_before_the_environment():
    environment = ALLOCATION | STEP | JAX
    assert find_address("host:1", "2", "1", environment) == ProcessAddress("host:1", 2, 1)
    assert find_address(None, "auto", None, environment) == ProcessAddress()


@pytest.mark.fault("B3")
def test_one_process_is_alone_whatever_the_environment_says():
    environment = ALLOCATION | STEP | MPIRUN | JAX
    assert find_address(None, "1", None, environment) is None
    assert find_address(None, "1", "0", environment) is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((None, "2", "0"), "--coordinator is missing"),
        (("host", "2", "0"), "--coordinator=host is not a host and a port"),
        (("host:1", None, "0"), "--processes is missing"),
        (("host:1", "0", "0"), "--processes=0 is not a number of processes"),
        (("host:1", "two", "0"), "--processes=two is not a number of processes"),
        (("host:1", "auto", "0"), "--processes=auto is not a number of processes"),
        (("host:1", "2", None), "--process-id is missing"),
        (("host:1", "2", "2"), "--process-id=2 is not one of 0 to 1"),
        (("host:1", "2", "-1"), "--process-id=-1 is not one of 0 to 1"),
    ],
)
def test_flags_that_cannot_be_meant(flags, message):
    with pytest.raises(InputError, match=f"^{message}; give --coordinator=HOST:PORT "):
        find_address(*flags, {})


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JAX_NUM_PROCESSES": "2"}, "JAX_PROCESS_ID is missing"),
        ({"JAX_NUM_PROCESSES": "x"}, "JAX_NUM_PROCESSES=x is not a number of processes"),
    ],
)
def test_variables_that_cannot_be_meant(environment, message):
    with pytest.raises(InputError, match=f"^{message}; give --coordinator=HOST:PORT "):
        find_address(None, None, None, environment)


@pytest.mark.parametrize("process", [0, 1])
def test_processes_that_do_not_come_are_not_waited_for_long(process, tmp_path):
    code = (
        "import sys\nfrom jreid.__main__ import main\nfrom jreid.distributed import cluster\n"
        "cluster.WAIT = 2\nsys.exit(main(sys.argv[1:]))"
    )
    command = ["train", "--config=configs/agw.py:tiny", f"--workdir={tmp_path}/run"]
    address = f"localhost:{free_port()}"
    flags = [f"--coordinator={address}", "--processes=2", f"--process-id={process}"]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *command, *flags],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert time.monotonic() - start < 60
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("jreid: ")]
    assert f"cannot connect to each other at {address}" in message
    assert "Traceback" not in done.stderr


@pytest.mark.fault("B3")
@pytest.mark.parametrize("flag", ["--features", "--compare"])
def test_what_needs_no_config_runs_on_several_processes(flag, monkeypatch, tmp_path, capsys):
    joined = []
    monkeypatch.setattr(cluster, "join", lambda address, saves_on_sigterm: joined.append(address))
    for name, value in (ALLOCATION | STEP).items():
        monkeypatch.setenv(name, value)
    files = [f"{tmp_path}/a", f"{tmp_path}/b"] if flag == "--compare" else [f"{tmp_path}/a"]
    protocol = ["--protocol=folder"] if flag == "--features" else []
    assert main(["evaluate", flag, *files, *protocol]) == 2
    assert f"{tmp_path}/a" in capsys.readouterr().err
    assert joined == [ProcessAddress(cluster="slurm")]

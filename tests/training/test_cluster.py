"""How a process finds the others of its run."""

import subprocess
import sys
import time

import pytest
from conftest import ROOT
from together import environment

from jreid.errors import InputError
from jreid.training.cluster import Place, find_place

SLURM = {"SLURM_NTASKS": "8", "SLURM_PROCID": "3"}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        (SLURM, None),  # inside sbatch, not started by srun
        (SLURM | {"SLURM_STEP_NODELIST": "node[1-2]"}, Place()),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "node1"}, None),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, Place()),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, Place()),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "host:1234",
                "JAX_NUM_PROCESSES": "4",
                "JAX_PROCESS_ID": "2",
            },
            Place("host:1234", 4, 2),
        ),
    ],
)
def test_without_flags_the_environment_tells(environment, place):
    assert find_place(None, None, None, environment) == place


def test_flags_come_before_the_environment():
    environment = SLURM | {"SLURM_STEP_NODELIST": "node[1-2]"}
    assert find_place("host:1", "2", "1", environment) == Place("host:1", 2, 1)
    assert find_place(None, "auto", None, {}) == Place()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((None, "2", "0"), "--coordinator=None is no host and port"),
        (("host", "2", "0"), "--coordinator=host is no host and port"),
        (("host:1", None, "0"), "--processes=None is not how many there are"),
        (("host:1", "0", "0"), "--processes=0 is not how many there are"),
        (("host:1", "two", "0"), "--processes=two is not how many there are"),
        (("host:1", "auto", "0"), "--processes=auto is not how many there are"),
        (("host:1", "2", None), "--process-id=None is none of 0 to 1"),
        (("host:1", "2", "2"), "--process-id=2 is none of 0 to 1"),
        (("host:1", "2", "-1"), "--process-id=-1 is none of 0 to 1"),
    ],
)
def test_flags_that_cannot_be_meant(flags, told):
    with pytest.raises(InputError, match=f"^{told}; give --coordinator=HOST:PORT "):
        find_place(*flags, {})


@pytest.mark.parametrize("process", [0, 1])
def test_processes_that_do_not_come_are_not_waited_for_long(process, tmp_path):
    code = (
        "import sys\nfrom jreid.__main__ import main\nfrom jreid.training import cluster\n"
        "cluster.WAIT = 2\nsys.exit(main(sys.argv[1:]))"
    )
    command = ["train", "--config=configs/agw.py:tiny", f"--workdir={tmp_path}/run"]
    flags = ["--coordinator=localhost:9", "--processes=2", f"--process-id={process}"]
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
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("jreid: ")]
    assert "do not find each other at localhost:9" in told
    assert "Traceback" not in done.stderr

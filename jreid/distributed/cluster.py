"""Joins the processes of a run, before JAX computes anything."""

import logging
import os
import re
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jreid.distributed.mesh import make_mesh, replicated, split
from jreid.distributed.processes import wait_for_all
from jreid.errors import InputError

log = logging.getLogger(__name__)
WAIT = 120  # seconds for all processes to start
HEARTBEAT, SHUTDOWN = 30, 30  # seconds after which the others exit if one process is gone
START = "give --coordinator=HOST:PORT --processes=N --process-id=I to each of N processes"


class ProcessAddress(NamedTuple):
    """This process among those of the run; a field is None if JAX finds it by itself.

    Attributes:
        coordinator: host and port of the first process.
        processes: the number of processes.
        process: the rank of this process, from 0.
        cluster: JAX's name of the launcher; None for any that it finds.
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None
    cluster: str | None = None


def find_address(
    coordinator: str | None,
    processes: str | None,
    process: str | None,
    environment: Mapping[str, str],
) -> ProcessAddress | None:
    """The address of this process; None if it is alone.

    The first of these that is set counts: the flags; JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
    JAX_PROCESS_ID; a step of several tasks by srun; several processes by mpirun; the hosts of a TPU
    pod. A shell inside an allocation is a single process, whatever the allocation's number of
    tasks. `processes` is `auto` to have JAX look for any cluster that it knows, and 1, by itself,
    to be alone whatever the environment says.

    Raises:
        InputError: a part of it is missing or cannot be used.
    """
    names = ("--coordinator", "--processes", "--process-id")
    if (coordinator, processes, process) == (None, None, None):
        if "JAX_NUM_PROCESSES" not in environment:
            return _started_by_cluster(environment)
        names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
        coordinator, processes, process = (environment.get(name) for name in names)
    if processes == "auto" and coordinator is process is None:
        return ProcessAddress()
    count, number = _number(processes), _number(process)
    if count == 1 and not coordinator and not number:
        return None
    if not count:
        raise InputError(_fault(names[1], processes, "a number of processes"))
    if number is None or number >= count:
        raise InputError(_fault(names[2], process, f"one of 0 to {count - 1}"))
    if not re.fullmatch(r".+:\d+", coordinator or ""):
        raise InputError(_fault(names[0], coordinator, "a host and a port"))
    return ProcessAddress(coordinator, count, number)


def _fault(name: str, value: str | None, wanted: str) -> str:
    fault = f"{name} is missing" if value is None else f"{name}={value} is not {wanted}"
    return f"{fault}; {START}."


def _started_by_cluster(environment: Mapping[str, str]) -> ProcessAddress | None:
    """The cluster that started this process as one of several."""
    # The tasks of the step, since SLURM_NTASKS in a shell of salloc is the allocation's.
    counts = {"slurm": "SLURM_STEP_NUM_TASKS", "ompi": "OMPI_COMM_WORLD_SIZE"}
    for cluster, variable in counts.items():
        if (_number(environment.get(variable)) or 1) > 1:
            return ProcessAddress(cluster=cluster)
    hosts = environment.get("TPU_WORKER_HOSTNAMES", "").split(",")
    return ProcessAddress() if len(hosts) > 1 else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def join(address: ProcessAddress, saves_on_sigterm: bool) -> None:
    """Joins the other processes; waits for all of them, and raises an error if some do not start.

    Args:
        saves_on_sigterm: whether SIGTERM is a request that `StopSignals` handles; else it ends the
            process.

    Raises:
        InputError: the port is taken, no cluster is found, or devices differ in number.
    """
    jax.config.update("jax_enable_preemption_service", saves_on_sigterm)
    where = f"at {address.coordinator}" if address.coordinator else "by the cluster's variables"
    message = (
        f"the processes of this run cannot connect to each other {where} (%s); start all of them "
        "at the same time, with the same --coordinator: the host of process 0, and a port that is "
        "free there and open to the others. For a single process give --processes=1."
    )
    # JAX aborts if the others do not start; this message gives the reason before that.
    late = threading.Timer(WAIT, _leave, [message % f"some have not started within {WAIT} s"])
    late.daemon = True
    late.start()
    try:
        jax.distributed.initialize(
            *address[:3],
            cluster_detection_method="deactivate" if address.coordinator else address.cluster,
            initialization_timeout=2 * WAIT,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=SHUTDOWN,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(message % str(error).strip().splitlines()[0]) from error
    finally:
        late.cancel()
    _check_devices()
    _connect()


def _leave(message: str) -> None:
    log.error(message)
    os._exit(2)


def _connect() -> None:
    """Opens the connections between devices.

    For a connection gloo waits at most 30 s; later one process may compile or read for longer than
    that before it connects.
    """
    wait_for_all("the start")
    mesh = make_mesh()
    ones = np.ones(jax.local_device_count(), np.float32)
    shared = jax.make_array_from_process_local_data(split(mesh), ones)
    jax.block_until_ready(jax.jit(jnp.sum, out_shardings=replicated(mesh))(shared))


def _check_devices() -> None:
    """Raises InputError unless each process has as many devices as the others."""
    by_process: dict[int, Any] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device.id)
    counts = [len(by_process.get(process, [])) for process in range(jax.process_count())]
    if len({*counts}) > 1:
        raise InputError(
            f"the processes have {counts} devices, but a batch is divided equally; give each "
            "process the same number of devices."
        )

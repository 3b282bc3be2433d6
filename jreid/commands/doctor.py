"""`jreid doctor`: checks whether this machine can train a config, and what a step costs."""

import argparse
import logging
import sys
from collections.abc import Iterator
from typing import Any

from jreid.commands.common import CONFIG_FILE, config_of, dataset_of, verb
from jreid.errors import InputError, describe
from jreid.process import cores, machine_memory

log = logging.getLogger(__name__)


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "check the installation and the devices, and whether they meet the needs of a config"
    doctor = verb(verbs, "doctor", _doctor, help, config=True)
    doctor.add_argument("--config", help=f"{CONFIG_FILE}; without it jreid checks only the machine")


def _doctor(options: argparse.Namespace) -> int:
    """Runs every check, even after one fails; returns status 1 if any failed."""
    if options.overrides and not options.config:
        raise InputError(f"{options.overrides[0]} needs --config, such as --config=agw:regdb.")
    config, fault = None, None
    try:  # before JAX creates devices, since it sets the number of threads
        config = config_of(options) if options.config else None
    except Exception as error:
        fault = error
    checks = [("installation", _installation()), ("devices", _devices())]
    if options.config:
        checks += [("config", _config(config, fault))]
    if config:
        checks += [
            ("dataset", _dataset(config)),
            ("step", _step(config)),
            ("numbers", _numbers(config)),
        ]
    found = []
    for name, check in checks:
        lines, fault = [], None
        try:
            for line in check:
                lines.append(line)
                print(f"{name:<12}  {line}", flush=True)
        except Exception as error:  # an exception is reported as a fault, and the next check runs
            fault = describe(error)
            print(f"{name:<12}  FAULT: {fault}", flush=True)
        found.append({"check": name, "lines": lines, "fault": fault})
    failed = sum(one["fault"] is not None for one in found)
    options.document = {"ok": not failed, "checks": found}
    if failed:
        log.error("%d of %d checks found a fault.", failed, len(checks))
    return 1 if failed else 0


def _installation() -> Iterator[str]:
    from jreid.optional_parts import has_part
    from jreid.versions import PACKAGES, TENSORFLOW, installed

    found = installed((*PACKAGES, *TENSORFLOW))
    yield ", ".join([f"Python {sys.version.split()[0]}", *map(" ".join, found.items())])
    if not has_part("data"):
        yield 'without TensorFlow: no training; `pip install "jreid[data]"` installs it'
    if missing := [package for package in PACKAGES if package not in found]:
        raise InputError(
            f"{' and '.join(missing)} cannot be found; install them by `pip install -r "
            "requirements.txt`."
        )


def _devices() -> Iterator[str]:
    import jax

    from jreid.distributed.mesh import devices

    devices()  # raises if there are none
    for device in jax.local_devices():
        yield f"{device.device_kind} {device.id}: {_bytes(_memory(device))} of memory"


def _config(config: Any, fault: Exception | None) -> Iterator[str]:
    import jax

    if fault:
        raise fault
    yield f"{config.method} on {config.data.name}"
    if jax.default_backend() == "cpu":
        yield f"config.cpu_threads={config.cpu_threads} compute, on {len(cores())} cores"


def _dataset(config: Any) -> Iterator[str]:
    from jreid.runs.protocols import draw_protocols
    from jreid.training.plan import count_identities, plan_training

    dataset = dataset_of(config)
    config.data = count_identities(config, dataset).data  # the next check needs the number
    table, plan = plan_training(config, dataset)
    yield f"{config.data.name}: {len(dataset.table.name):,} images, {len(table.name):,} to train on"
    yield from draw_protocols(config, dataset).sentences()
    yield f"{config.epochs} epochs are {plan.steps:,} steps"


def _step(config: Any) -> Iterator[str]:
    import jax

    from jreid.engine.out_of_memory import SMALLER_STEP
    from jreid.engine.step_cost import measure

    if config.data.identities < 1:
        raise InputError(
            f"config.data.identities={config.data.identities} has jreid count the identities of "
            "the dataset, which cannot be used; correct the dataset, or set a number to measure a "
            "step with."
        )
    (costs,) = measure([config], rounds=1)
    rows = 2 * config.batch.identities * config.batch.images
    yield (
        f"{1e3 * costs.seconds:.0f} ms for {rows} images, data loading not included; "
        f"{costs.parameters:,} parameters"
    )
    there = min(_memory(device) for device in jax.local_devices())
    yield f"{_bytes(costs.memory)} on each device, as the compiler estimates"
    if costs.memory > there:
        raise InputError(
            f"a step needs {_bytes(costs.memory)} of memory and the device has {_bytes(there)}; "
            f"{SMALLER_STEP}."
        )


def _numbers(config: Any) -> Iterator[str]:
    import jax

    from jreid.engine.device_check import check_device

    device = jax.local_devices()[0]
    if device.platform == "cpu":
        yield "skipped: the CPU is the only device, and the check compares a GPU with it"
    else:
        yield check_device(config, device)


def _memory(device: Any) -> int:
    """Bytes of a device's memory; for a CPU device its share of the machine's memory."""
    import jax

    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    return machine_memory() // jax.local_device_count()


def _bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"

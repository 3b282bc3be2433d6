"""`jreid doctor`: whether this machine can do what a config asks, and at what cost."""

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any

from jreid.commands.common import config_of, dataset_of, verb
from jreid.errors import InputError


def add(verbs: Any) -> None:
    """Adds the verb."""
    told = "check the installation, the devices, and what a config needs of both"
    doctor = verb(verbs, "doctor", _doctor, told, config=True)
    doctor.add_argument(
        "--config", help="config file and argument: configs/agw.py:synthetic; none: no dataset"
    )


def _doctor(options: argparse.Namespace) -> int:
    """Makes every check, also after one that fails; the status is 1 where one did."""
    config = config_of(options) if options.config else None
    checks = [("installation", _installation()), ("devices", _devices(config))]
    if config:
        checks += [("dataset", _dataset(config)), ("step", _step(config))]
    failed = 0
    for name, check in checks:
        try:
            for line in check:
                print(f"{name:<12}  {line}", flush=True)
        except InputError as error:
            failed += 1
            print(f"{name:<12}  FAULT: {error}", flush=True)
    if failed:
        print(f"jreid: {failed} of {len(checks)} checks found a fault.", file=sys.stderr)
    return 1 if failed else 0


def _installation() -> Iterator[str]:
    from importlib.metadata import PackageNotFoundError, version

    from jreid.training.run import PACKAGES

    found, missing = [f"Python {sys.version.split()[0]}"], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    yield ", ".join(found)
    if missing:
        raise InputError(
            f"{' and '.join(missing)} cannot be found; install them by `pip install -r "
            "requirements.txt`."
        )


def _devices(config: Any) -> Iterator[str]:
    import jax

    from jreid.training.sharding import devices

    devices()  # says so if there are none
    for device in jax.local_devices():
        yield f"{device.device_kind} {device.id}: {_bytes(_memory(device))} of memory"
    if config and jax.default_backend() == "cpu":
        yield f"config.cpu_threads={config.cpu_threads} compute, on {os.cpu_count()} cores"


def _dataset(config: Any) -> Iterator[str]:
    from jreid.training.schedule import plan_training
    from jreid.training.scoring import check_protocols

    dataset = dataset_of(config)
    table, plan = plan_training(config, dataset)
    yield f"{config.data.name}: {len(dataset.table.name):,} images, {len(table.name):,} to train on"
    yield from check_protocols(config, dataset)
    yield f"{config.epochs} epochs are {plan.steps:,} steps"


def _step(config: Any) -> Iterator[str]:
    import jax

    from jreid.training.costs import measure

    (costs,) = measure([config], rounds=1)
    rows = 2 * config.batch.identities * config.batch.images
    yield (
        f"{1e3 * costs.seconds:.0f} ms for {rows} images, which are given: reading them comes on "
        f"top where it is slower; {costs.parameters:,} parameters"
    )
    there = min(_memory(device) for device in jax.local_devices())
    yield f"{_bytes(costs.memory)} of each device's memory, by the compiler's account"
    if costs.memory > there:
        raise InputError(
            f"a step needs {_bytes(costs.memory)} where {_bytes(there)} are; lower "
            "config.batch.identities or config.batch.images, set --config.dtype=bfloat16, or use "
            "more devices."
        )


def _memory(device: Any) -> int:
    """Bytes of a device's memory; of a CPU's its share of the machine's."""
    import jax

    told = device.memory_stats()
    if told and "bytes_limit" in told:
        return told["bytes_limit"]
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return whole // jax.local_device_count()


def _bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"

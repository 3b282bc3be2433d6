"""A run: a working directory with its config, checkpoints, metrics and result."""

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from jreid import config as configs
from jreid.errors import InputError
from jreid.methods import Config

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-cpu", "numpy")


class Run:
    """The places in a working directory."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.config_file = workdir / "config.json"
        self.checkpoints = workdir / "checkpoints"
        self.metrics = workdir / "metrics"
        self.result = workdir / "result.json"

    def config(self) -> Config:
        """The config of the run that is here.

        Raises:
            InputError: no run is here.
        """
        if not self.config_file.is_file():
            raise InputError(
                f"{self.workdir} holds no run (no config.json); give the --workdir of one that "
                "`jreid train` or `jreid import` made."
            )
        return configs.read(self.config_file)

    def check(self, config: Config) -> None:
        """Whether a run of this config may be here.

        Raises:
            InputError: the folder holds a run of another config, or files that are no run.
        """
        if self.config_file.is_file():
            changed = configs.differences(config, self.config())
            if changed:
                raise InputError(
                    f"{self.workdir} holds a run of another config ({len(changed)} fields differ, "
                    f"asked and there: {'; '.join(changed[:5])}); choose another --workdir."
                )
        elif self.workdir.exists() and (self.workdir.is_file() or any(self.workdir.iterdir())):
            raise InputError(
                f"{self.workdir} holds files that are no run; choose an empty --workdir."
            )

    def claim(self, config: Config) -> None:
        """Makes the folder this config's run, if it is not already; InputError as `check`."""
        self.check(config)
        try:
            self.workdir.mkdir(parents=True, exist_ok=True)
            configs.write(config, self.config_file)
        except OSError as error:
            raise InputError(
                f"{self.workdir} cannot be written ({error.strerror}); choose another --workdir."
            ) from error


def provenance(config: Config) -> dict[str, Any]:
    """What a result must say of where it comes from."""
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {
        "method": config.method,
        "dataset": config.data.name,
        "seed": config.seed,
        "revision": _revision(),
        "versions": {"python": platform.python_version(), **versions},
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "command": " ".join(sys.argv),
    }


def _revision() -> str | None:
    """The git revision of the code, marked where it was changed since; None outside a clone."""
    folder = Path(__file__).resolve().parent
    command = [
        "git",
        "-C",
        str(folder),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()

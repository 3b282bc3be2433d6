"""A run: a working directory with its config, checkpoints, metrics and result."""

import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jreid import config as configs
from jreid.errors import InputError
from jreid.evaluation import read_result, write_result
from jreid.files import write_text
from jreid.methods import Config

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-cpu", "numpy")


class Run:
    """The places in a working directory."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.config_file = workdir / "config.json"
        self.provenance_file = workdir / "run.json"
        self.checkpoints = workdir / "checkpoints"
        self.metrics = workdir / "metrics"
        self.pictures = workdir / "pictures"
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

    def has_checkpoint(self) -> bool:
        """Whether training or an import left a model here."""
        return any(path.name.isdecimal() for path in self.checkpoints.glob("*"))

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Writes `result.json`, all of it or nothing."""
        write_result(self.result, result)

    def read_result(self) -> dict[str, Any]:
        """The content of `result.json`; InputError where it is none."""
        return read_result(self.result)

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

    def claim(self, config: Config, data_fingerprint: str | None) -> None:
        """Makes the folder this config's run on this data, or finds that it is already.

        An imported run has no data yet.

        Raises:
            InputError: as `check`; or the run is on other data.
        """
        self.check(config)
        if self.provenance_file.is_file():
            there = json.loads(self.provenance_file.read_text())["data_fingerprint"]
            if there == data_fingerprint:
                return
            if there is not None:
                raise InputError(
                    f"{self.workdir} holds a run on other images than those that are now in "
                    f"{config.data.folder}; give its own by --config.data.folder, or choose "
                    "another --workdir."
                )
        told = {**provenance(config), "data_fingerprint": data_fingerprint}
        write_text(self.config_file, configs.to_text(config))
        write_text(self.provenance_file, json.dumps(told, indent=2) + "\n")


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
    """The git revision of this code, marked where it was changed since; None outside its clone."""
    file = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(file.parent), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)  # else it is the clone of something else
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None

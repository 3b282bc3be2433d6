"""A run: a working directory with its config, checkpoints, metrics and result."""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jreid import config as configs
from jreid.data.dataset import Dataset, Source
from jreid.data.layouts.layout import find_layout
from jreid.distributed.processes import on_main_process
from jreid.errors import InputError, differing
from jreid.evaluation import read_result, write_result
from jreid.files import UNFINISHED, write_text
from jreid.find import Trust
from jreid.methods import Config
from jreid.runs.bundle import is_bundle, portable, require_sound
from jreid.runs.checkpoint_folder import UNFINISHED as UNFINISHED_STEP
from jreid.runs.checkpoint_folder import StepFolders
from jreid.runs.lock import LOCK_FILE
from jreid.runs.record import (
    describe_start,
    drawn_split,
    machine_changes,
    provenance,
    read_record,
)
from jreid.versions import revision

log = logging.getLogger(__name__)


class Run:
    """The files and folders in a working directory, which may be a bundle."""

    def __init__(self, workdir: Path, allow_drift: bool = False) -> None:
        """`allow_drift`: allows resuming with another config or on other data."""
        self.workdir, self.allow_drift = workdir, allow_drift
        self.config_file = workdir / "config.json"
        self.provenance_file = workdir / "run.json"
        self.checkpoints = workdir / "checkpoints"
        self.metrics = workdir / "metrics"
        self.pictures = workdir / "pictures"
        self.spikes = workdir / "spikes"
        self.profile = workdir / "profile"
        self.result = workdir / "result.json"
        self.is_bundle = is_bundle(workdir)
        self.report = workdir / "report.html"

    def config(self) -> Config:
        """The config of the existing run.

        Raises:
            InputError: there is no run; its config differs from the one in `run.json`, unless drift
                is allowed; or it names code outside of jreid, unless that is trusted.
        """
        config = self._config()
        for field, name in configs.outside_names(config).items():
            if not Trust.given and name not in Trust.names:
                raise InputError(
                    f"{self.config_file} names code outside of jreid, config.{field}={name}, which "
                    "would run with your rights; if you trust it, add --trust-code, or in Python "
                    "trust_code=True."
                )
        return config

    def _config(self) -> Config:
        """The config of the existing run, which may name any code."""
        if not self.config_file.is_file():
            raise InputError(
                f"{self.workdir} holds no run (no config.json); give the --workdir of a run that "
                "`jreid train` or `jreid import` made."
            )
        if self.is_bundle:
            require_sound(self.workdir)
        with self.explain_revision():
            config = configs.read(self.config_file)
        if self.is_bundle:  # it may come from anybody, who must not choose where files are written
            config = portable(config)
        edited = configs.differences(config, self._trained_by(config))
        if edited and not self.allow_drift:
            raise InputError(
                f"{self.config_file} differs from the config that the run was trained with, as "
                f"{self.provenance_file.name} records it ({_listed(edited, 'here and recorded')}); "
                "restore these values, or resume with the new ones by `train "
                "--allow-config-drift`."
            )
        return config

    def record(self) -> dict[str, Any]:
        """The content of `run.json`; empty if there is none.

        Raises:
            InputError: it cannot be read.
        """
        return read_record(self.provenance_file)

    def other_revision(self) -> str:
        """The end of a sentence that names the other revision that made the run, if any."""
        try:
            made = self.record().get("revision")
        except InputError:
            return ""
        if made is None or made == (now := revision()):
            return ""
        now = f"revision {now}" if now else "an installed jreid"
        commit = made.removesuffix("-dirty")
        other = "" if self.is_bundle else ", or train into another --workdir"
        return (
            f"; this run was made by revision {made} of jreid, and this is {now}: use that "
            f"revision (git checkout {commit}){other}"
        )

    @contextlib.contextmanager
    def explain_revision(self) -> Iterator[None]:
        """Adds the other revision of jreid that made the run, if any, to each InputError.

        For code that reads the run's config or checkpoints.
        """
        try:
            yield
        except InputError as error:
            if not (clause := self.other_revision()):
                raise
            raise InputError(f"{str(error).removesuffix('.')}{clause}.") from error

    def _trained_by(self, own: Config) -> Config:
        recorded = self.record().get("config", {})
        try:
            return configs.of_record(recorded, own)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self.provenance_file} has a config that cannot be read ({error}); restore the "
                "file that `jreid train` wrote."
            ) from error

    def has_checkpoint(self) -> bool:
        """Whether training or an import saved a checkpoint here."""
        return on_main_process(
            lambda: self.config_file.is_file() and bool(StepFolders(self.checkpoints).steps())
        )

    def check_start(self, start: Mapping[str, Any]) -> None:
        """Checks that the existing run, if any, started from these weights.

        Args:
            start: the weights, as `Start.record`; without `sha256` the paths are compared.

        Raises:
            InputError: it started from others, which the error names.
        """
        there = self.record().get("start") if self.config_file.is_file() else None
        names = ("kind", "sha256") if "sha256" in start else ("kind", "path", "checkpoint")
        if there and any(start.get(name) != there.get(name) for name in names):
            raise InputError(
                f"the run in {self.workdir} started from {describe_start(there)}, not from "
                f"{describe_start(start)}; start from the same weights, or choose another "
                "--workdir."
            )

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Writes `result.json` completely or not at all."""
        on_main_process(lambda: write_result(self.result, result))

    def read_result(self) -> dict[str, Any]:
        """The content of `result.json`; InputError if it is not a result."""
        return read_result(self.result)

    def changes(self, config: Config) -> list[configs.Difference]:
        """The fields that differ between the config and the existing run, if any."""
        if not self.config_file.is_file():
            return []
        there = self._trained_by(self._config())
        return configs.differences(self.with_identities(config), there)

    def with_identities(self, config: Config) -> Config:
        """A config that counts its identities, with the number of the existing run, if any.

        Raises:
            InputError: as `config`.
        """
        if config.data.identities:
            return config
        return configs.with_identities(config, self.identities())

    def identities(self) -> int:
        """The number of training identities of the existing run; 0 if there is none.

        Raises:
            InputError: as `config`.
        """
        return self._config().data.identities if self.config_file.is_file() else 0

    def check(self, config: Config) -> None:
        """Checks that this config may be trained here.

        Raises:
            InputError: the folder has a run with another config, a bundle, or files that are not
                a run.
        """
        if self.is_bundle:
            raise InputError(
                f"{self.workdir} is a bundle, which is not trained further; train in another "
                f"--workdir with --init-from={self.workdir}."
            )
        changed = self.changes(config)
        if changed and not self.allow_drift:
            raise InputError(
                f"{self.workdir} holds a run of another config "
                f"({_listed(changed, 'asked and recorded')}); choose another --workdir, or resume "
                f"with the new config by --allow-config-drift{self.other_revision()}."
            )
        if not self.config_file.is_file() and self._holds_something():
            raise InputError(
                f"{self.workdir} has files that do not belong to a run; choose an empty --workdir."
            )

    def claim(
        self,
        config: Config,
        dataset: Dataset | None,
        steps: int | None = None,
        start: Mapping[str, Any] | None = None,
        protocols: Sequence[str] = (),
    ) -> None:
        """Records the run with its config and data in the folder, or checks the existing record.

        Call this after the first checkpoint is complete: until then there is no run, and the same
        command trains from the start. Changes of an existing run are recorded in `run.json` with
        the step. Other software or another device is logged as a warning and allowed.

        Args:
            dataset: None for an imported run, which has no data yet.
            steps: the number of steps after which the run is finished; None for an imported run.
            start: of a new run, the weights that it starts from, as `Start.record`.
            protocols: descriptions of the protocols that will evaluate the run.

        Raises:
            InputError: as `check`; or the run has other data.
        """
        on_main_process(lambda: self._claim(config, dataset, steps, start, protocols))

    def _claim(
        self,
        config: Config,
        dataset: Dataset | None,
        steps: int | None,
        start: Mapping[str, Any] | None,
        protocols: Sequence[str],
    ) -> None:
        self.check(config)
        data_fingerprint = dataset.fingerprint if dataset else None
        before = self.record()
        lost = not before and self.config_file.is_file()  # somebody removed the record
        if lost:
            log.warning(
                "%s is missing: jreid cannot check what this run was trained on, and marks its "
                "results.",
                self.provenance_file,
            )
        now = provenance(config)
        other_machine = machine_changes(now, before)
        changed = [*map(str, self.changes(config)), *other_machine]
        if before:
            changed += self._data_changes(before["data_fingerprint"], data_fingerprint, config)
            if not changed and self._is_claimed(before, data_fingerprint, steps, config):
                return
        record = {
            **now,
            "config": config.to_dict(),
            "start": before.get("start") or start,
            "data_fingerprint": data_fingerprint,
            "steps": steps,
            "table": dataset.table.fingerprint() if dataset else None,
            "protocols": [*protocols],
            "drawn_split": drawn_split(dataset) if dataset else None,
        }
        if lost or before.get("trained_on_unknown"):
            record["trained_on_unknown"] = True
        drifts = before.get("drifts", [])
        if changed:
            step = max(StepFolders(self.checkpoints).steps(), default=0)
            drifts.append({"step": step, "changed": changed})
        # In this order, since a folder with a config counts as a run.
        write_text(self.provenance_file, json.dumps({**record, "drifts": drifts}, indent=2) + "\n")
        write_text(self.config_file, configs.to_text(config))
        if other_machine:
            log.warning(
                "%s is resumed with other software or on another device (now, before: %s); its "
                "numbers may differ from those of a run without this change.",
                self.workdir,
                "; ".join(other_machine),
            )

    def keep_folder(self, config: Config) -> None:
        """Records where the images of a finished run are now, so that other verbs find them."""
        written = json.loads(self.config_file.read_text(encoding="utf-8"))
        if written["data"].get("folder") not in (None, config.data.folder):
            written["data"]["folder"] = config.data.folder
            write_text(self.config_file, json.dumps(written, indent=2) + "\n")

    def _data_changes(self, there: str | None, now: str | None, config: Config) -> list[str]:
        """The change of the images since the run began, if any; InputError if it is not allowed."""
        if there in (None, now):
            return []
        if not self.allow_drift:
            raise InputError(
                f"the run in {self.workdir} was trained on other images than those that are now in "
                f"{config.data.folder}; give its own folder by --config.data.folder, choose "
                "another --workdir, or resume with these images by --allow-config-drift."
            )
        return [f"data: {now}, {there}"]

    def _is_claimed(
        self, before: Mapping[str, Any], fingerprint: str | None, steps: int | None, config: Config
    ) -> bool:
        """Whether the record has these images, this number of steps and the whole config."""
        same = (before["data_fingerprint"], before.get("steps")) == (fingerprint, steps)
        if not same or not self.config_file.is_file():
            return False
        # Later verbs also read the fields that are no drift, such as the data's folder.
        return config.to_dict() == configs.read(self.config_file).to_dict()

    def _holds_something(self) -> bool:
        """Whether there are more files than a run without a checkpoint leaves."""
        if not self.workdir.is_dir():
            return self.workdir.exists()
        unclaimed = (LOCK_FILE, self.provenance_file.name, self.checkpoints.name)
        steps = [*self.checkpoints.iterdir()] if self.checkpoints.is_dir() else []
        return any(
            path.name not in unclaimed and not UNFINISHED.fullmatch(path.name)
            for path in self.workdir.iterdir()
        ) or any(path.name != "0" and UNFINISHED_STEP not in path.name for path in steps)


def _listed(differences: Sequence[configs.Difference], sides: str) -> str:
    """The number of fields that differ, and both values of the first ten."""
    shown = [*map(str, differences[:10]), *(["..."] if differences[10:] else [])]
    count = differing(len(differences), "fields")
    return f"{count}, {sides}: {'; '.join(shown)}"


def source_of(config: Config) -> Source:
    """The folder of the config's dataset, and the faults of it that are accepted."""
    data = config.data
    setting = next(iter(find_layout(data.layout).values(data).values()), 0)
    return Source(
        data.name,
        data.layout,
        Path(data.folder),
        setting,
        data.allow_partial,
        data.on_bad_image,
        data.depth_range,
        data.test_fraction,
        data.split_seed,
    )

"""Whether a run is finished, which decides whether it is trained or evaluated again."""

from jreid import config as configs
from jreid.data.dataset import files_fingerprint
from jreid.distributed.processes import on_main_process
from jreid.errors import InputError
from jreid.methods import Config
from jreid.runs.checkpoint_folder import StepFolders
from jreid.runs.chosen import checkpoint_fields
from jreid.runs.protocols import protocols, rerankings
from jreid.runs.run import Run, source_of

IDENTITY = ("checkpoint", "step", "weights")  # fields that identify the checkpoint of a row


def is_finished(run: Run, config: Config) -> bool:
    """Whether the newest undamaged checkpoint is of the last step, and the result belongs to it.

    The result must belong to this config, these checkpoints and the images that are in the config's
    folder now: their files are read, but not decoded.

    Raises:
        InputError: the run cannot be read, or its result fits but the images are missing.
    """
    return on_main_process(lambda: _is_finished(run, config))


def _is_finished(run: Run, config: Config) -> bool:
    if not run.result.is_file():
        return False
    try:
        result = run.read_result()
    except InputError:  # the evaluation writes it again
        return False
    record, folders = run.record(), StepFolders(run.checkpoints)
    if result.get("config_hash") not in _digests(run, run.with_identities(config)):
        return False
    if record.get("steps") is None or folders.chosen("last").step != record["steps"]:
        return False
    asked = checkpoint_fields(folders, record)
    found = [[row.get(name) for name in IDENTITY] for row in result["rows"]]
    wanted = [[fields[name] for name in IDENTITY] for fields in asked]
    if len(found) != len(wanted) * len(protocols(config, "test")) * len(rerankings(config)):
        return False  # re-ranking was stopped or has failed
    if any(one not in found for one in wanted) or any(one not in wanted for one in found):
        return False
    data = record.get("data_fingerprint")
    if data is None or result.get("data_fingerprint") != data:
        return False
    return result.get("files_fingerprint") == files_fingerprint(source_of(config))


def _digests(run: Run, config: Config) -> set[str]:
    """The config's digest, and the digest of the same config by an earlier version."""
    digests = {configs.digest(config)}
    if run.config_file.is_file() and not configs.differences(config, run.config()):
        digests.add(configs.digest_as_written(run.config_file))
    return digests

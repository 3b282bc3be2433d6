"""What the verbs share: flags, and how they find the config and its dataset."""

import argparse
import contextlib
import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jreid.commands.output import add_json_flag
from jreid.datasets import SETTINGS
from jreid.errors import InputError
from jreid.find import Trust
from jreid.progress import TerminalBar
from jreid.runs.checkpoint_folder import CHECKPOINTS

log = logging.getLogger(__name__)
Verb = Callable[[argparse.Namespace], int | None]
PROCESSES = (
    "without these flags, jreid reads JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
    "JAX_PROCESS_ID, else the variables of srun (a step of several tasks), mpirun or a TPU pod; a "
    "shell inside an allocation (salloc, sbatch) is a single process"
)
CONFIG_FILE = (
    "name of one of jreid's configs and its argument, such as agw:synthetic; or the path of your "
    "own config file, which is Python code that runs with your rights"
)
OWN_FOLDER = "give the run's data by --config.data.folder"
FIELDS = "set config fields by --config.field=value, for example --config.batch.images=8"


def verb(
    verbs: Any, name: str, run: Verb, help: str, config: bool, prints: bool = True
) -> argparse.ArgumentParser:
    """Adds a verb that runs a function, which returns the exit status where that is not 0.

    Args:
        config: whether the verb takes `--config.field=value`.
        prints: whether the function sets `options.document` to what `--json` prints: plain values.
    """
    sentence = f"{help[0].upper()}{help[1:]}."
    epilog = FIELDS if config else None
    # No abbreviations: `--trial` of an earlier version would be taken for `--trials`.
    parser = verbs.add_parser(
        name, help=help, description=sentence, epilog=epilog, allow_abbrev=False
    )
    parser.register("type", Path, _path)
    parser.set_defaults(run=run, takes_config=config, may_lose_output=False)
    if prints:
        add_json_flag(parser)
    return parser


def _path(text: str) -> Path:
    """The path of a flag: `Path("")` would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; give a path, or . for this folder")
    return Path(text)


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a verb that uses the model of a run."""
    parser.add_argument("--workdir", type=Path, required=True, help="run folder")
    parser.add_argument(
        "--checkpoint",
        choices=CHECKPOINTS,
        default="last",
        help="which checkpoint (default: last)",
    )
    add_trust_flag(parser)


def add_trust_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--trust-code` to a verb that reads a run's config."""
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="allow the config.json of a run to name code outside of jreid, which runs with your "
        "rights",
    )


def check_index_suffix(index: Path | None) -> None:
    """Raises InputError for an `--index` that is in none of the formats of embeddings."""
    if index is None:
        return
    from jreid.evaluation.results.feature_formats import SUFFIXES

    if index.suffix not in SUFFIXES:
        ends = ", ".join(SUFFIXES)
        raise InputError(f"--index={index} does not end in one of {ends}; choose such a file.")


def on_several_processes(parser: argparse.ArgumentParser, saves_on_sigterm: bool = False) -> None:
    """Lets a verb run as one of several processes, by flags or by the cluster's variables.

    Args:
        saves_on_sigterm: as in `jreid.distributed.cluster.join`.
    """
    run = functools.partial(_among_others, parser.get_default("run"), saves_on_sigterm)
    parser.set_defaults(run=run)
    flags = parser.add_argument_group("several processes", PROCESSES)
    flags.add_argument("--coordinator", metavar="HOST:PORT", help="host and port of process 0")
    flags.add_argument(
        "--processes",
        metavar="N",
        help="number of processes; 1: a single process, the environment is ignored; auto: JAX "
        "detects the cluster",
    )
    flags.add_argument(
        "--process-id",
        metavar="I",
        help="rank of this process, from 0; rank 0 prints and writes files",
    )


def _among_others(run: Verb, saves_on_sigterm: bool, options: argparse.Namespace) -> int | None:
    """Runs a verb. Of several processes only the first one prints; the others log warnings."""
    from jreid.distributed import cluster
    from jreid.distributed.processes import is_main_process, wait_for_all

    address = cluster.find_address(
        options.coordinator, options.processes, options.process_id, os.environ
    )
    if address is None:
        return run(options)
    if options.workdir or getattr(options, "config", None):  # else nothing reads a config
        _set_threads(_load(options))
    cluster.join(address, saves_on_sigterm)
    if is_main_process():
        status = run(options)
    else:
        logging.getLogger("jreid").setLevel(logging.WARNING)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            status = run(options)
    wait_for_all("the end")
    return status


def config_of(options: argparse.Namespace) -> Any:
    """The config that the flags name, else the run's own; its values are checked."""
    from jreid import config as configs
    from jreid.distributed.mesh import devices
    from jreid.distributed.processes import require_same

    config = _load(options)
    _set_threads(config)
    devices()  # reports devices that do not exist, before JAX starts several processes
    require_same("the config", configs.to_text(config))
    return config


def _load(options: argparse.Namespace) -> Any:
    from jreid import config as configs
    from jreid.runs.check_config import check_config
    from jreid.runs.run import Run

    if getattr(options, "config", None):
        config = configs.load(options.config, options.overrides)
        Trust.names = frozenset(configs.outside_names(config).values())
        check_config(config)
    else:
        run = Run(options.workdir, getattr(options, "allow_config_drift", False))
        config = run.config()
        if getattr(options, "data", None):
            config = configs.with_data(config, options.data, options.data_folder)
            _name_default(config.data, options.data)
        elif getattr(options, "data_folder", None):
            raise InputError("--data-folder needs --data, such as --data=llcm.")
        config = configs.override(config, options.overrides)
        with run.explain_revision():
            check_config(config)
    return config


def _name_default(data: Any, argument: str) -> None:
    """Says which of a dataset's lists is used, if the user has chosen none."""
    setting = SETTINGS.get(data.layout)
    if setting and f"{setting.option}=" not in argument:
        log.info(
            "--data=%s: %s=%s is used; choose another by --data=%s,%s=...",
            *(argument, setting.option, getattr(data, setting.field), argument, setting.option),
        )


def _set_threads(config: Any) -> None:
    """Call this before JAX creates its devices, since XLA for CPUs then starts its threads."""
    os.environ["NPROC"] = str(config.cpu_threads)  # for XLA; overrides the number of cores


def config_of_run(options: argparse.Namespace) -> Any:
    """The run's own config; flags may change only how and on which data it is evaluated."""
    from jreid import config as configs
    from jreid.runs.run import Run

    config = config_of(options)
    free = ["evaluation.", "protocols", "cpu_threads"]
    if getattr(options, "other_data", False) or getattr(options, "data", None):
        free.append("data.")
    for changed in configs.differences(config, Run(options.workdir).config()):
        if not changed.field.startswith(tuple(free)):
            raise InputError(
                f"config.{changed.field} cannot be changed after training; this verb accepts "
                "config.protocols, config.evaluation, config.cpu_threads, config.data.folder and "
                "config.data.prepared."
            )
    return config


def dataset_of(config: Any) -> Any:
    """The config's dataset; logs a warning if images are missing, skipped or left out."""
    from jreid.data.dataset import load
    from jreid.distributed.processes import is_main_process, main_process_first, require_same
    from jreid.runs.run import source_of

    data, source = config.data, source_of(config)
    # The first process packs the images; the others then read the packed ones.
    with TerminalBar() as bar:
        dataset = main_process_first(lambda: load(source, Path(data.prepared), bar))
    require_same("the dataset", dataset.fingerprint)
    if dataset.partial:
        log.warning(
            "%s lacks images or lists: every result is marked as a result on a partial dataset.",
            data.folder,
        )
    if dataset.drawn_split:
        log.info("%s: %s", data.folder, dataset.drawn_split)
    for name in dataset.skipped:
        log.warning("%s cannot be decoded and is skipped.", name)
    if is_main_process():
        log_warnings(dataset, data.folder)
    return dataset


def log_warnings(dataset: Any, folder: Path) -> None:
    """Logs a dataset's warnings, each once for a command that loads the dataset several times."""
    for warning in dataset.warnings:
        _log_once(f"{folder}: {warning}")


@functools.cache
def _log_once(warning: str) -> None:
    log.warning("%s", warning)


def own_dataset(config: Any, run: Any, remedy: str = OWN_FOLDER) -> Any:
    """The dataset that a run was trained on, as `dataset_of`; InputError as `require_own`."""
    dataset = dataset_of(config)
    require_own(dataset, config, run, remedy)
    return dataset


def require_own(dataset: Any, config: Any, run: Any, remedy: str = OWN_FOLDER) -> None:
    """Checks that a config's dataset is the one that a run was trained on.

    An imported run has no data of its own: its config says which data it is of.

    Args:
        remedy: the end of the error.

    Raises:
        InputError: it is another one.
    """
    record = run.record()
    own = record.get("data_fingerprint")
    if own == dataset.fingerprint or (record and own is None):
        return
    raise InputError(
        f"{config.data.folder} holds other data than the run in {run.workdir} was trained on "
        f"(fingerprint {dataset.fingerprint[:12]} here, {own[:12] if own else 'none recorded'} in "
        f"the run); {remedy}."
    )

"""`jreid train` and `jreid import`: the verbs that make runs."""

import argparse
import logging
import threading
from functools import partial
from pathlib import Path
from typing import Any

from jreid.commands.common import (
    CONFIG_FILE,
    add_trust_flag,
    config_of,
    dataset_of,
    on_several_processes,
    verb,
)
from jreid.commands.results import document, print_rows
from jreid.commands.several_runs import train_several
from jreid.commands.trained_on import fields_of_start, refuse_drift
from jreid.errors import InputError
from jreid.launch.flags import add_launcher_flags, is_launched
from jreid.optional_parts import require_part
from jreid.progress import TerminalBar
from jreid.runs.checkpoint_folder import CHECKPOINTS

log = logging.getLogger(__name__)


def add(verbs: Any) -> None:
    """Adds both verbs."""
    train = verb(verbs, "train", _train, "train a method, then evaluate it", config=True)
    train.set_defaults(may_lose_output=True)  # its files have all that it prints
    train.add_argument(
        "--config",
        help=f"{CONFIG_FILE}; may be left out to resume",
    )
    train.add_argument(
        "--workdir",
        type=Path,
        required=True,
        help="run folder; an existing run is resumed",
    )
    train.add_argument(
        "--trials",
        help="splits of RegDB, such as 1-10 or 1,4: train one run for each, in subfolders of "
        "--workdir, and print their mean",
    )
    train.add_argument(
        "--seeds",
        help="seeds, such as 0,1,2: train one run for each, in subfolders of --workdir, and print "
        "their mean",
    )
    train.add_argument(
        "--init-from",
        type=Path,
        metavar="WORKDIR",
        help="start from the weights of the run in WORKDIR, not from config.weights; jreid logs "
        "which arrays are loaded and which are not",
    )
    train.add_argument(
        "--init-checkpoint",
        choices=CHECKPOINTS,
        default="last",
        help="which checkpoint of --init-from (default: last)",
    )
    train.add_argument(
        "--allow-config-drift",
        action="store_true",
        help="resume the run in --workdir although the config or the data changed; run.json "
        "records the changes",
    )
    train.add_argument(
        "--profile",
        type=int,
        default=0,
        metavar="STEPS",
        help="profile STEPS steps with jax.profiler after 10 warm-up steps, write the trace to "
        "--workdir and report the device idle time",
    )
    train.add_argument(
        "--grace",
        type=float,
        metavar="SECONDS",
        help="how long to wait for the current step after SIGTERM or Ctrl-C; then the run exits, "
        "and the last checkpoint is the one that resumes (default: three times the slowest of "
        "the last 20 steps, at least 8; ignored with several processes)",
    )
    train.add_argument(
        "--no-report", action="store_true", help="do not write report.html at the end"
    )
    add_trust_flag(train)
    add_launcher_flags(train.add_argument_group("several runs at once", "for --trials and --seeds"))
    on_several_processes(train, saves_on_sigterm=True)

    import_ = verb(verbs, "import", _import, "convert a PyTorch checkpoint into a run", config=True)
    import_.add_argument("--config", required=True, help=CONFIG_FILE)
    import_.add_argument(
        "--checkpoint", type=Path, required=True, help="the .pth or .safetensors file"
    )
    import_.add_argument(
        "--workdir", type=Path, required=True, help="the folder of the run to make"
    )


def _train(options: argparse.Namespace) -> None:
    from jreid.runs.run import Run

    require_part("data", "training")
    if options.grace is not None and not 0 <= options.grace <= threading.TIMEOUT_MAX:
        raise InputError(
            f"--grace={options.grace} is not a number of seconds that a process can wait; give 0 "
            "or more, such as 60."
        )
    if options.trials is not None or options.seeds is not None:
        train_several(options, _train_one)
        return
    if is_launched(options):
        raise InputError(
            "--launcher, --workers and --slurm are for several runs; give --seeds or --trials."
        )
    _train_one(config_of(options), Run(options.workdir, options.allow_config_drift), options)


def _train_one(config: Any, run: Any, options: argparse.Namespace) -> None:
    """Trains and evaluates one run."""
    import jax

    from jreid.commands.evaluate import evaluate_and_print
    from jreid.commands.report import report_training
    from jreid.distributed.mesh import devices
    from jreid.distributed.processes import on_main_process
    from jreid.engine.device_check import check_device_once
    from jreid.runs.evaluate import embed_test_split
    from jreid.runs.finished import is_finished
    from jreid.runs.init_from import place_of_run
    from jreid.runs.lock import locked
    from jreid.runs.protocols import draw_protocols
    from jreid.training.plan import count_identities
    from jreid.training.tracking import Tracker, require_tracker
    from jreid.training.train import train

    config = run.with_identities(config)
    require_tracker(config.tracker)
    run.check(config)
    _log_changes(run, config)
    if options.init_from:
        run.check_start(place_of_run(options.init_from, options.init_checkpoint))
    if not options.profile and is_finished(run, config):
        log.info("%s is finished: it was trained and evaluated before", run.workdir)
        on_main_process(lambda: run.keep_folder(config))
        result = on_main_process(run.read_result)
        options.document = document(result, run.result)
        print_rows(config, result["rows"])
        print(f"result       {run.result}")
        if run.report.is_file():
            print(f"report       {run.report}")
        return
    log.info("on %s", devices())
    if message := on_main_process(lambda: check_device_once(config, jax.local_devices()[0])):
        log.info(message)
    with locked(run.workdir):
        start = _start(config, run, options)
        dataset = dataset_of(config)
        start = _unseen(start, config, run, dataset, options)
        config = count_identities(config, dataset)
        draws = draw_protocols(config, dataset)
        for line in draws.sentences():
            log.info(line)
        with Tracker(config, run) as tracker:
            train(
                *(config, run, dataset, draws, start, options.profile, options.grace),
                loggers=[tracker],
            )
            with TerminalBar() as bar:
                embedded = embed_test_split(config, run, dataset, bar=bar)
            evaluate_and_print(options, config, run, dataset, draws, embedded=embedded)
            tracker.on_result(options.document["rows"])
        if not options.no_report:
            report_training(config, run, dataset, draws, embedded)


def _log_changes(run: Any, config: Any) -> None:
    """Logs every field that changes in an existing run."""
    for change in run.changes(config):
        values = change.field, change.theirs, change.ours
        log.info("%s: config.%s changes from %s to %s", run.workdir, *values)


def _import(options: argparse.Namespace) -> None:
    from jreid.engine.model import Model
    from jreid.runs.checkpoints import Checkpoints
    from jreid.runs.init_from import RANDOM, start_of_file
    from jreid.runs.lock import locked
    from jreid.runs.protocols import described
    from jreid.runs.run import Run
    from jreid.weights.checkpoint_file import read_checkpoint
    from jreid.weights.sources import describe
    from jreid.weights.torch import convert

    # The run starts from the imported checkpoint, also if it is trained further: no other weights.
    options.overrides.append("--config.weights=none")
    config, run = config_of(options), Run(options.workdir)
    run.check(config)
    if run.has_checkpoint():
        raise InputError(f"{run.workdir} holds checkpoints; import into another --workdir.")
    if not config.data.identities:
        raise InputError(
            "config.data.identities=0 is counted from the training images, which an import does "
            "not read; give the number of training identities of the checkpoint by "
            "--config.data.identities=N."
        )
    entries = read_checkpoint(options.checkpoint)
    start = start_of_file(options.checkpoint, RANDOM.fill, "import")
    known = describe("import", str(options.checkpoint), start.record["sha256"])
    start = start.with_fields(known)
    run.check_start(start.record)
    model = Model(config)
    if model.method.torch_layout is None:
        raise InputError(f"config.method={config.method} has no published checkpoint to import.")
    layout, source = model.method.torch_layout, str(options.checkpoint)
    state = model.state(convert(entries, model.variables(), layout, source))
    with locked(run.workdir), Checkpoints(run.checkpoints, writes=True) as checkpoints:
        checkpoints.save(state)
        checkpoints.finish()
        run.claim(config, None, start=start.record, protocols=described(config))
    options.document = {"workdir": run.workdir, "entries": len(entries)}
    print(f"{run.workdir}: a new run with the {len(entries)} entries of {options.checkpoint}")


def _start(config: Any, run: Any, options: argparse.Namespace) -> Any:
    """The weights that a run starts from; a resumed run has them already.

    Raises:
        InputError: they cannot be found, or the existing run started from others.
    """
    from jreid.runs.init_from import RANDOM, start_of_file, start_of_run

    if run.has_checkpoint():
        return RANDOM
    if options.init_from:
        start = start_of_run(options.init_from, options.init_checkpoint)
    elif config.weights == "none":
        start = RANDOM
    else:
        from jreid.weights.sources import describe, locate

        path = locate(config.weights)
        start = start_of_file(Path(path), partial(_fill_backbone, path))
        start = start.with_fields(describe(config.weights, path, start.record["sha256"]))
    run.check_start(start.record)
    return start


def _unseen(start: Any, config: Any, run: Any, dataset: Any, options: argparse.Namespace) -> Any:
    """The start, with fields on the data of the run that it comes from.

    Raises:
        InputError: that run, or this one before its data changed, was trained on test images.
    """
    from jreid.runs.run import Run

    if start.record["kind"] == "run":
        other = Run(options.init_from)
        return start.with_fields(fields_of_start(other, config, dataset))
    if run.allow_drift:
        refuse_drift(run, config, dataset)
    return start


def _fill_backbone(path: str, variables: Any) -> Any:
    """Variables with a file's weights loaded into the backbone."""
    from jreid.weights.backbone import load_backbone

    variables, kept = load_backbone(variables, path)
    log.info(
        "%s: loaded into the backbone; %d arrays of the backbone are not in it", path, len(kept)
    )
    return variables

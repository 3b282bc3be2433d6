"""`train --trials` and `train --seeds`: several runs, each in its own folder, and their mean."""

import argparse
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jreid.commands.common import config_of
from jreid.commands.results import document, print_rows, write_fault
from jreid.errors import InputError
from jreid.launch.flags import is_launched, launch_of
from jreid.launch.jobs import Job, Launch, require_success, training_job

log = logging.getLogger(__name__)
TRIAL_FOLDER = "trial_{:02d}"  # of a run, in the folder of all trials

TrainOne = Callable[[Any, Any, argparse.Namespace], None]


class Several(NamedTuple):
    """Several runs whose configs differ in one field.

    Attributes:
        flag: the flag that asks for them, such as `--seeds`.
        field: the config field that differs: `seed`.
        values: of the field, one for each run.
        folder: the name of a run's folder in the working directory: `seed_{}`.
        fields: additional fields of the mean's result.
        mean: computes the mean's rows from the runs' results.
    """

    flag: str
    field: str
    values: Sequence[int]
    folder: str
    fields: Mapping[str, Any]
    mean: Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]


def train_several(options: argparse.Namespace, train_one: TrainOne) -> None:
    """Trains and evaluates the runs that are not finished, then writes and prints the mean.

    Raises:
        InputError: flags that cannot be combined, or a run that fails.
    """
    import jax

    from jreid.distributed.processes import on_main_process
    from jreid.runs.finished import is_finished
    from jreid.runs.init_from import place_of_run
    from jreid.runs.record import provenance
    from jreid.runs.run import Run

    several, launch = _asked(options), _launcher(options)
    given, runs = [*options.overrides], []
    for value in several.values:
        options.overrides = [*given, f"--config.{several.field}={value}"]
        config = _config_of(options, several)
        folder = options.workdir / several.folder.format(value)
        run = Run(folder, options.allow_config_drift)
        run.check(config)
        if options.init_from:
            run.check_start(place_of_run(options.init_from, options.init_checkpoint))
        runs.append((config, run))
    _check_starts([run for _, run in runs])
    whole, config = Run(options.workdir), runs[0][0]
    on_main_process(lambda: _check_folder(whole, config, several, options.allow_config_drift))
    missing = [number for number, (config, run) in enumerate(runs) if not is_finished(run, config)]
    for number in {*range(len(runs))} - {*missing}:
        config, run = runs[number]
        on_main_process(partial(run.keep_folder, config))
    if launch:
        jobs = [
            _job(several.field, several.values[n], runs[n][1].workdir, given, options)
            for n in missing
        ]
        require_success(launch(jobs), jobs)
    else:
        for number in missing:
            config, run = runs[number]
            log.info("run %d of %d: %s", number + 1, len(runs), run.workdir)
            train_one(config, run, options)
            # The next run uses none of the compiled programs, which would stay in memory.
            jax.clear_caches()
    results = on_main_process(lambda: [run.read_result() for _, run in runs])
    rows = on_main_process(lambda: several.mean(results))
    extraction = results[0].get("extraction", {})
    _check_starts([run for _, run in runs])
    origin = {**provenance(config), **_origin([run.record() for _, run in runs])}
    result = {**origin, **several.fields, "extraction": extraction, "rows": rows}
    unwritten = write_fault(lambda: whole.write_result(result))
    options.document = document(result, None if unwritten else whole.result)
    print_rows(config, rows)
    if unwritten:
        raise unwritten
    print(f"result       {whole.result}")


def _check_starts(runs: Sequence[Any]) -> None:
    """Checks that the runs that exist started from the same weights.

    Raises:
        InputError: they did not.
    """
    from jreid.runs.record import describe_start

    starts = {}
    for run in runs:
        if run.config_file.is_file():
            start = run.record().get("start") or {}
            starts.setdefault((start.get("kind"), start.get("sha256")), (run.workdir, start))
    if len(starts) > 1:
        (one, its_start), (other, others_start) = [*starts.values()][:2]
        raise InputError(
            f"{one} started from {describe_start(its_start)}, and {other} from "
            f"{describe_start(others_start)}, so they have no mean; train all runs from the same "
            "weights in another --workdir."
        )


def _origin(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The code, the software and the devices of the runs; joined by `and` where they differ."""

    def all_of(values: Iterable[Any]) -> str | None:
        return " and ".join(dict.fromkeys(str(value) for value in values if value)) or None

    versions = [record.get("versions", {}) for record in records]
    packages = dict.fromkeys(package for some in versions for package in some)
    return {
        **{name: all_of(one.get(name) for one in records) for name in ("revision", "device")},
        "versions": {name: all_of(one.get(name) for one in versions) for name in packages},
    }


def _check_folder(whole: Any, config: Any, several: Several, allow_drift: bool) -> None:
    """Checks that no result of others is in the folder where the mean is written.

    Raises:
        InputError: the folder holds a single run, or runs or a mean of another config.
    """
    from jreid.runs.run import Run

    if whole.config_file.is_file() or whole.is_bundle:
        raise InputError(
            f"{whole.workdir} holds a single run; choose another --workdir for {several.flag}."
        )
    prefix = several.folder.partition("{")[0]
    for file in () if allow_drift else sorted(whole.workdir.glob(f"{prefix}*/config.json")):
        changes = Run(file.parent).changes(config)
        others = [str(change) for change in changes if change.field != several.field]
        if others:
            raise InputError(
                f"{whole.workdir} holds runs of another config ({file.parent.name}, asked and "
                f"recorded: {'; '.join(others[:3])}); choose another --workdir, or write the mean "
                "there by --allow-config-drift."
            )
    if whole.result.exists():
        kind, there = several.flag.removeprefix("--"), whole.read_result()
        of = {"method": config.method, "dataset": config.data.name}
        if not there.get(kind) or any(there.get(name) != of[name] for name in of):
            raise InputError(
                f"{whole.result} is no mean over {kind} of {config.method} on {config.data.name}; "
                "choose another --workdir."
            )


def _launcher(options: argparse.Namespace) -> Launch | None:
    """What trains the runs in processes of their own; None to train them in this process."""
    if not is_launched(options):
        return None
    import jax

    launch = launch_of(options, options.workdir)
    if jax.process_count() > 1:
        raise InputError(
            "--launcher, --workers and --slurm start the processes of the runs themselves; leave "
            "--processes out, or give --processes=1."
        )
    return launch


def _job(
    field: str, value: int, folder: Path, overrides: Sequence[str], options: argparse.Namespace
) -> Job:
    """The training of one run by a command of its own."""
    flags = [*_other_flags(options), *overrides, f"--config.{field}={value}"]
    return training_job(f"{folder}", options.config, folder, flags)


def _other_flags(options: argparse.Namespace) -> list[str]:
    """The flags of `train` that each run takes over."""
    flags = [f"--init-checkpoint={options.init_checkpoint}", f"--profile={options.profile}"]
    flags += [f"--init-from={options.init_from}"] if options.init_from else []
    flags += [f"--grace={options.grace}"] if options.grace is not None else []
    # With it each run, too, ignores a cluster's variables.
    flags += [f"--processes={options.processes}"] if options.processes is not None else []
    for name in ("allow_config_drift", "no_report", "trust_code"):
        flags += [f"--{name.replace('_', '-')}"] if getattr(options, name) else []
    return flags


def _config_of(options: argparse.Namespace, several: Several) -> Any:
    """The config of a run; an error about the field that differs names the flag, too."""
    try:
        return config_of(options)
    except InputError as error:
        named = f"{several.flag}: " if f"config.{several.field}" in str(error) else ""
        raise InputError(f"{named}{error}") from error


def _asked(options: argparse.Namespace) -> Several:
    """The runs that the flags ask for; InputError if the flags cannot be combined."""
    from jreid.evaluation.results.split_means import mean_over_seeds, mean_over_splits

    if None not in (options.seeds, options.trials):
        raise InputError(
            "--seeds and --trials cannot be combined; give --trials and one --config.seed, in a "
            "--workdir for each seed."
        )
    if options.trials is not None:
        trials = read_trials(options.trials)
        fields = {"trials": trials}
        several = Several(
            "--trials", "data.split_number", trials, TRIAL_FOLDER, fields, mean_over_splits
        )
    else:
        seeds = read_seeds(options.seeds)
        fields = {"seed": None, "seeds": seeds}
        several = Several("--seeds", "seed", seeds, "seed_{}", fields, mean_over_seeds)
    if not options.config:
        raise InputError(f"{several.flag} also needs --config, such as --config=agw:regdb.")
    for flag in options.overrides:
        if flag.partition("=")[0] == f"--config.{several.field}":
            raise InputError(f"{several.flag} sets config.{several.field}; leave {flag} out.")
    return several


def read_seeds(text: str) -> list[int]:
    """`0,1,2` as numbers.

    Raises:
        InputError: it is not a list of different seeds.
    """
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", text):
        raise InputError(
            f"--seeds={text} is not a list of seeds; give integers of 0 or more, such as 0,1,2."
        )
    seeds = [int(seed) for seed in text.split(",")]
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise InputError(f"--seeds={text} has the seed {seed} twice; give each seed once.")
    return seeds


def read_trials(text: str) -> list[int]:
    """`1-10` or `1,4` as numbers.

    Raises:
        InputError: it is not a list of trials.
    """
    if not re.fullmatch(r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*", text):
        raise InputError(
            f"--trials={text} is not a list of trials; give numbers such as 1-10 or 1,4."
        )
    trials: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise InputError(f"--trials={text} has the range {part}; give it as {last}-{first}.")
        trials |= {*range(int(first), int(last or first) + 1)}
    return sorted(trials)

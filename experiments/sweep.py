"""Runs the rows of a paper's tables by `jreid train`, and prints our numbers and the paper's.

Each row and seed is a run in its own folder. So a sweep that was stopped continues, finished runs
are not run again, and rows that several tables share are run once. With `--workers=N`, N runs train
side by side, each on cores and GPUs of its own; with `--launcher=slurm` they are a job array of
SLURM.
"""

import functools
import itertools
import logging
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import revisions
from experiments.accuracy import training_accuracy
from experiments.tables import Row, Setting, Table, find, format_table, measured_by
from jreid import config as configs
from jreid.commands.several_runs import TRIAL_FOLDER
from jreid.data.layouts.synthetic_label import synthesize_command
from jreid.errors import InputError
from jreid.files import write_text
from jreid.find import Trust
from jreid.launch.jobs import Failure, Job, Launch, require_success, training_job

log = logging.getLogger(__name__)


class Sweep(NamedTuple):
    """The settings that all runs of a sweep share.

    Attributes:
        config: its name, or the path of a file: `pfinet`.
        data: its argument: `synthetic`, `regdb,trial=1`, ...
        flags: `--config.field=value` flags for every row.
        seeds: each row is run once for each seed.
        trials: RegDB's trials, a run for each; empty for a single run.
        folder: the folder of the runs.
    """

    config: str
    data: str
    flags: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: tuple[int, ...]
    folder: Path


def load_config(sweep: Sweep) -> Any:
    """The config of a row without flags."""
    return configs.load(f"{sweep.config}:{sweep.data}", sweep.flags)


def print_tables(sweep: Sweep, tables: Sequence[Table], launch: Launch) -> None:
    """Runs what is not finished, then writes and prints each table that has all its runs.

    Raises:
        InputError: runs failed, after all others were run; a folder has a run of another config; or
            the data lacks what a table shows.
        Stopped: after Ctrl-C or SIGTERM.
    """
    layout = load_config(sweep).data.layout
    tables = [without_repeats(sweep, table) for table in tables]
    for table in tables:
        require_evaluated(sweep, table, measured_by(table, layout))
    jobs = missing_jobs([(sweep, table) for table in tables])
    failures = launch([*jobs.values()])
    for table in tables:
        if lacking := _lacking(sweep, table, jobs, failures):
            log.error("%s is not made: it lacks %s", table.title, "; ".join(lacking))
            continue
        results = _results(sweep, table)
        revisions.warn_of_several(table.title, {row.name: results[row] for row in results})
        text = format_table(table, title_of(sweep), layout, results, sweep.seeds)
        file = sweep.folder / f"{re.sub(r'[^a-z0-9]+', '_', table.title.split(':')[0].lower())}.md"
        write_text(file, text)
        print(f"\n{text}\n{file}")
    require_success(failures, [*jobs.values()])


def title_of(sweep: Sweep) -> str:
    """The data of a sweep's numbers, with the flags that change what is trained or measured.

    `synthetic,long with epochs=3`.
    """
    flags = [flag.removeprefix("--config.") for flag in sweep.flags]
    given = [flag for flag in flags if flag.partition("=")[0] not in configs.NEUTRAL]
    return f"{sweep.data} with {', '.join(given)}" if given else sweep.data


def without_repeats(sweep: Sweep, table: Table) -> Table:
    """The table without rows that have the runs of another row, since their flags change nothing.

    Of rows with the same runs, the one with the fewest flags stays.
    """
    kept: dict[Any, Row] = {}
    for row in sorted(_own_rows(table), key=lambda row: len(row.flags or ())):
        first = kept.setdefault((workdir(sweep, row, 0), row.rerank), row)
        if first is not row:
            log.warning(
                '%s: the row "%s" is left out, since with this config it is "%s".',
                *(table.title.split(":")[0], row.name, first.name),
            )
    rows = [row for row in table.rows if row.flags is None or row in kept.values()]
    return table._replace(rows=tuple(rows))


def require_evaluated(sweep: Sweep, table: Table, settings: Sequence[Setting]) -> None:
    """Checks before anything is trained that the config evaluates what the table shows.

    Raises:
        InputError: it lacks the protocol of a setting, or the re-ranking of a row.
    """
    from jreid.runs.protocols import protocols, rerankings

    config = load_config(sweep)
    rows = [
        {"checkpoint": "last", "protocol": protocol.stored(), "rerank": str(kind or "none")}
        for protocol in protocols(config, "test")
        for kind in rerankings(config)
    ]
    for setting, row in itertools.product(settings, _own_rows(table)):
        try:
            find({"rows": rows}, setting, row.rerank)
        except InputError as error:
            raise InputError(
                f"{table.title} shows {setting.title}, re-ranking {row.rerank}, by which the "
                "config does not evaluate; add it to config.protocols or config.evaluation.rerank."
            ) from error


def run_tables(
    tables: Sequence[tuple[Sweep, Table]], launch: Launch
) -> list[dict[Row, list[dict[str, Any]]]]:
    """For each table the results of its rows, one for each seed; runs what is not finished.

    All sweeps have the same seeds.

    Raises:
        InputError: runs failed, after all others were run; or a folder has a run of another config.
        Stopped: after Ctrl-C or SIGTERM.
    """
    jobs = missing_jobs(tables)
    require_success(launch([*jobs.values()]), [*jobs.values()])
    return [_results(sweep, table) for sweep, table in tables]


def missing_jobs(tables: Iterable[tuple[Sweep, Table]]) -> dict[Path, Job]:
    """The trainings of all runs that are not finished, by the runs' folders.

    Raises:
        InputError: a folder has a run of another config, or a row's config cannot be trained.
    """
    tables, jobs = [*tables], {}
    for sweep, _ in tables:
        render(sweep)
    # Each row's first seed compiles what the others then find in the cache.
    for seed, (sweep, table) in itertools.product(tables[0][0].seeds, tables):
        for row in _own_rows(table):
            for folder, flags in _runs(sweep, row, seed):
                label = f"{table.title.split(':')[0]}: {row.name}, seed {seed} ({folder})"
                if folder not in jobs and (job := _job(sweep, label, folder, flags)):
                    jobs[folder] = job
    return jobs


def _runs(sweep: Sweep, row: Row, seed: int) -> Iterator[tuple[Path, list[str]]]:
    """The folder and the flags of each run of a row and a seed: one for each trial."""
    folder = workdir(sweep, row, seed)
    flags = [*sweep.flags, *_changing(sweep, row), f"--config.seed={seed}"]
    if not sweep.trials:
        yield folder, flags
    for trial in sweep.trials:
        split = f"--config.data.split_number={trial}"
        yield folder / TRIAL_FOLDER.format(trial), [*flags, split]


def _job(sweep: Sweep, label: str, folder: Path, flags: Sequence[str]) -> Job | None:
    """The training of a run; None if it is finished.

    Raises:
        InputError: the folder has a run of another config, or this one cannot be trained.
    """
    from jreid.methods import load
    from jreid.runs.check_config import check_config
    from jreid.runs.finished import is_finished
    from jreid.runs.run import Run

    source = f"{sweep.config}:{sweep.data}"
    run, config = Run(folder), configs.load(source, flags)
    Trust.names = frozenset(configs.outside_names(config).values())
    run.check(config)
    if is_finished(run, config):
        return None
    try:
        check_config(config)
        load(config)
    except InputError as error:
        raise InputError(f"{label}: {error}") from error
    return training_job(label, source, folder, ["--no-report", *flags])


def _lacking(
    sweep: Sweep, table: Table, jobs: Mapping[Path, Job], failures: Sequence[Failure]
) -> list[str]:
    """The runs that a table lacks, as its rows name them."""
    failed = {failure.job for failure in failures}
    return [
        f"{row.name}, seed {seed}"
        for row in _own_rows(table)
        for seed in sweep.seeds
        if any(jobs.get(folder) in failed for folder, _ in _runs(sweep, row, seed))
    ]


def _own_rows(table: Table) -> list[Row]:
    return [row for row in table.rows if row.flags is not None]


def _results(sweep: Sweep, table: Table) -> dict[Row, list[dict[str, Any]]]:
    return {row: [_result(sweep, row, seed) for seed in sweep.seeds] for row in _own_rows(table)}


def _result(sweep: Sweep, row: Row, seed: int) -> dict[str, Any]:
    """A row's result, the mean over its trials if it has any, with two more fields.

    `training_accuracy` is in percent; None if it is not known, as of several trials. `trained_by`
    is the revision and the device.
    """
    from jreid.evaluation.results.split_means import mean_over_splits
    from jreid.runs.run import Run

    runs = [Run(folder) for folder, _ in _runs(sweep, row, seed)]
    results = [run.read_result() for run in runs]
    by = dict.fromkeys(revisions.trained_by(run.record()) for run in runs)
    more = {"trained_by": " and ".join(filter(None, by))}
    if sweep.trials:
        return {"rows": mean_over_splits(results), "training_accuracy": None, **more}
    accuracy = training_accuracy(runs[0].metrics / "metrics.jsonl")
    return {**results[0], "training_accuracy": accuracy, **more}


def workdir(sweep: Sweep, row: Row, seed: int) -> Path:
    """The folder of a row's run, named after the flags that change the sweep's config.

    Rows with the same changes share it.
    """
    flags = ",".join(flag.removeprefix("--config.") for flag in _changing(sweep, row))
    return sweep.folder / (re.sub(r"[^\w.=,-]+", "-", flags) or "default") / f"seed_{seed}"


def _changing(sweep: Sweep, row: Row) -> list[str]:
    """The flags of a row that change the sweep's config."""
    return [flag for flag in row.flags or () if _changes(*sweep[:3], flag)]


@functools.cache
def _changes(config: str, data: str, flags: tuple[str, ...], flag: str) -> bool:
    """Whether a flag changes a config that already has other flags."""
    source = f"{config}:{data}"
    return configs.load(source, flags).to_dict() != configs.load(source, [*flags, flag]).to_dict()


def render(sweep: Sweep) -> None:
    """Renders the sweep's dataset, if it is a synthetic one and its folder is missing.

    Raises:
        InputError: it cannot be rendered; the command has said why.
    """
    data = load_config(sweep).data
    command = synthesize_command(data.name, data.folder, data.layout)
    if not command or Path(data.folder).exists():
        return
    jreid = [sys.executable, "-m", *shlex.split(command)]
    if subprocess.run(jreid, check=False).returncode:
        raise InputError(
            f"{data.folder} was not rendered, as `{command}` says above; correct that and give the "
            "same command again."
        )

"""`jreid evaluate`: a run's checkpoints, features of any model, or two results side by side."""

import argparse
import logging
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jreid.commands import features
from jreid.commands.common import (
    add_trust_flag,
    config_of_run,
    dataset_of,
    on_several_processes,
    verb,
)
from jreid.commands.other_data import add_flags, marks_of_data, refuse_flags
from jreid.commands.results import (
    document,
    keep_each,
    print_rows,
    raise_incomplete,
    read_runs,
    require_result_output,
)
from jreid.errors import InputError
from jreid.progress import TerminalBar

log = logging.getLogger(__name__)


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "evaluate a run's checkpoints, or features, or compare two results"
    evaluate = verb(verbs, "evaluate", _evaluate, help, config=True)
    what = evaluate.add_mutually_exclusive_group(required=True)
    what.add_argument("--workdir", type=Path, help="run folder")
    what.add_argument(
        "--features",
        type=Path,
        help="an .npz file with the arrays features, identities, cameras, modalities and names; or "
        "a .parquet folder of `jreid embed`, or another format of `jreid.load_features`",
    )
    what.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("A", "B"),
        help="two results or runs, whose rows of equal fingerprint are printed side by side, with "
        "intervals of their differences; for several seeds: A1.json,A2.json B1.json,B2.json (a "
        "file or folder with a comma in its name is not split)",
    )
    evaluate.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the result file to write, .json (default: result.json of the run, or on other data "
        "result-FINGERPRINT.json; with --features no file is written without it)",
    )
    add_flags(evaluate.add_argument_group("with --workdir"))
    features.add_flags(evaluate.add_argument_group("with --features"))
    add_trust_flag(evaluate)
    on_several_processes(evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    if not options.workdir:
        refuse_flags(options, "--workdir")
    if options.features:
        features.evaluate_features(options)
        return
    for name in features.FLAGS:
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} goes only with --features; set a run's evaluation by "
                "--config.protocols and --config.evaluation fields."
            )
    if options.compare and options.output:
        raise InputError("--output does not go with --compare; leave it out.")
    if options.compare:
        _compare(options, *options.compare)
    else:
        _evaluate_run(options)


def _evaluate_run(options: argparse.Namespace) -> None:
    from jreid.runs.protocols import draw_protocols
    from jreid.runs.run import Run

    run = Run(options.workdir)
    require_result_output(options.output)
    config = config_of_run(options)
    dataset = dataset_of(config)
    marks = marks_of_data(options, run, config, dataset, "test")
    evaluate_and_print(options, config, run, dataset, draw_protocols(config, dataset), marks)


def evaluate_and_print(
    options: argparse.Namespace,
    config: Any,
    run: Any,
    dataset: Any,
    draws: Any,
    marks: Mapping[str, Any] | None = None,
    embedded: Any = None,
) -> None:
    """Scores the run's last and best checkpoints on the test split, writes and prints the rows.

    Args:
        options: of the verb; `document` is set to the result.
        draws: the queries and galleries that the config's protocols sample.
        marks: fields for every row, if the data are not the run's own.
        embedded: the test split, if it is embedded already.

    Raises:
        InputError: the result cannot be written, or a re-ranking has failed; the rows that are
            complete are printed first.
    """
    from jreid.config import outside_names
    from jreid.distributed.processes import on_main_process
    from jreid.evaluation import write_result
    from jreid.runs.evaluate import evaluate_run

    # With --data the run's own result stays, also if the dataset turns out to be its own.
    other = marks or getattr(options, "data", None)
    own = run.workdir / (f"result-{dataset.fingerprint[:12]}.json" if other else run.result.name)
    file = getattr(options, "output", None) or (None if run.is_bundle else own)

    def write(result: Mapping[str, Any]) -> None:
        if file:
            on_main_process(partial(write_result, file, result))

    with TerminalBar() as bar:
        results = evaluate_run(config, run, dataset, draws, bar, marks, embedded)
        result, unwritten = keep_each(results, write)
    options.document = document(result, None if unwritten else file)
    print_rows(config, result["rows"])
    if not file:
        log.info(
            "%s is a bundle, which stays as it is: this result is not written; write it by "
            "--output=FILE",
            run.workdir,
        )
    elif not unwritten:
        print(f"result       {file}")
    if run.metrics.is_dir():  # an imported run has none
        print(f"metrics      {run.metrics / 'metrics.jsonl'}")
        print(f"TensorBoard  tensorboard --logdir={shlex.quote(str(run.metrics))}")
    output = "test.npz" if run.is_bundle else shlex.quote(f"{run.workdir / 'test.npz'}")
    embed = f"embed --workdir={shlex.quote(str(run.workdir))} --split=test --output={output}"
    trust = " --trust-code" if outside_names(config) else ""
    print(f"embeddings   python -m jreid {embed}{trust}")
    raise_incomplete(result, unwritten)


def _compare(options: argparse.Namespace, first: Path, second: Path) -> None:
    from jreid.console import Console
    from jreid.evaluation.results.compare import compare, extraction_differences
    from jreid.evaluation.results.intervals import compare_intervals, lines
    from jreid.evaluation.results.tables import WIDTH, format_comparison

    results, names = (read_runs(first), read_runs(second)), (f"{first}", f"{second}")
    rows = compare(*results)
    intervals = compare_intervals(*results, names)
    extraction = extraction_differences(*results, names)
    options.document = {
        **dict(zip(("first", "second"), names, strict=True)),
        "rows": rows,
        "intervals": [_plain(row) for row in intervals],
        "extraction_differences": extraction,
    }
    for number, name, result in zip(("first", "second"), names, results, strict=True):
        print(f"{number:6}  {name}{_about(result)}")
    Console(width=WIDTH).print(format_comparison(rows))
    for message in (*lines(intervals), *extraction):
        print(message)


def _about(result: Mapping[str, Any]) -> str:
    """The method, dataset, and seeds or splits of a result, if it says them."""
    known = [
        f"{word}{result[name]}"
        for name, word in {"method": "", "dataset": "on "}.items()
        if result.get(name)
    ]
    for name, word in {"seeds": "seeds ", "trials": "splits "}.items():
        if result.get(name):
            known.append(f"{word}{', '.join(map(str, result[name]))}")
    if result.get("seed") is not None:
        known.append(f"seed {result['seed']}")
    return f" ({', '.join(known)})" if known else ""


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of intervals with these as objects, for JSON."""
    difference = row["difference"] or {}
    return {**row, "difference": {name: one._asdict() for name, one in difference.items()}}

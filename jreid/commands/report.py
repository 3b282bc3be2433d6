"""`jreid report`: a page about a run, or about several runs side by side."""

import argparse
import logging
from pathlib import Path
from typing import Any

from jreid.commands.common import (
    add_trust_flag,
    config_of_run,
    dataset_of,
    verb,
)
from jreid.commands.results import read_runs, require_suffix
from jreid.errors import InputError
from jreid.progress import TerminalBar, explained

COMPARISON = "comparison.html"
WRITING = "writing the report"
log = logging.getLogger(__name__)


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "write a page about a run: its result, what it finds, and how to make it again"
    report = verb(verbs, "report", _report, help, config=True)
    report.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN", help="folders of runs; several are compared"
    )
    report.add_argument("--workdir", type=Path, help="folder of a run, in place of RUN")
    report.add_argument(
        "--rows",
        metavar="latex|markdown",
        help="in place of the page, print the results as a table for a paper; a RUN may also be a "
        "result.json, or several seeds: A1,A2 (what exists is not split at its commas)",
    )
    report.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the page (default: report.html in the run's folder; of several runs, "
        f"{COMPARISON} here)",
    )
    add_trust_flag(report)


def _report(options: argparse.Namespace) -> None:
    runs = [*options.runs, *([options.workdir] if options.workdir else [])]
    if not runs:
        raise InputError("report needs a run; give its folder by --workdir=RUN.")
    if options.rows is not None:
        _print_rows(runs, options)
        return
    require_suffix(options.output, ".html")
    if len(runs) == 1:
        options.workdir = runs[0]
        _report_run(options)
        return
    if options.overrides:
        raise InputError(f"{options.overrides[0]} goes only with one run; leave it out.")
    output = options.output or Path(COMPARISON)
    _compare(runs, output)
    options.document = {"report": output}


def _print_rows(runs: list[Path], options: argparse.Namespace) -> None:
    from jreid.evaluation.results.paper import paper_table
    from jreid.files import write_text

    if options.overrides:
        raise InputError(f"{options.overrides[0]} does not go with --rows; leave it out.")
    require_suffix(options.output, ".tex", ".md", ".txt")
    text = paper_table([*map(read_runs, runs)], options.rows, [*map(str, runs)])
    options.document = {"table": text, "output": None}
    if options.output:
        write_text(options.output, text)
        options.document["output"] = options.output
        print(f"rows         {options.output}")
    else:
        print(text, end="")


def _compare(workdirs: list[Path], output: Path) -> None:
    from jreid.report.comparison import write_comparison
    from jreid.runs.run import Run

    with explained(WRITING):
        write_comparison(output, [*map(Run, workdirs)])
    print(f"report       {output}")


def _report_run(options: argparse.Namespace) -> None:
    from jreid.report.run_report import write_run_report
    from jreid.runs.run import Run

    run = Run(options.workdir)
    config = config_of_run(options)
    if not run.result.is_file():
        raise InputError(
            f"{run.workdir} has no result.json to report; evaluate the run first by `jreid "
            f"evaluate --workdir={run.workdir}`."
        )
    if run.is_bundle and not options.output:
        raise InputError(f"{run.workdir} is a bundle, which stays as it is; add --output=FILE.")
    result = run.read_result()
    output = options.output or run.report
    seen = _seen(config, run, result)
    with explained(WRITING):
        write_run_report(output, run, config, result, seen)
    missing = seen if isinstance(seen, str) else None
    options.document = {"report": output, "missing": missing}
    print(f"report       {output}")


def _seen(config: Any, run: Any, result: Any) -> Any:
    """The images of the result and their embeddings; or why they cannot be shown."""
    from jreid.report.belonging import drawn_of, require_same_extraction, require_same_weights
    from jreid.report.image_sections import Seen
    from jreid.runs.evaluate import embed_test_split
    from jreid.runs.protocols import draw_protocols

    try:
        require_same_extraction(config, run, result)
        dataset = dataset_of(config)
        if result.get("data_fingerprint") not in (None, dataset.fingerprint):
            return (
                f"{config.data.folder} has other images than those of the result; give their "
                "folder by --config.data.folder."
            )
        drawn = drawn_of(result, draw_protocols(config, dataset).test, run)
        with TerminalBar() as bar:
            embedded = embed_test_split(config, run, dataset, every=False, bar=bar)
        require_same_weights(embedded.checkpoints[0], run, result)
        return Seen(dataset, drawn, embedded)
    except InputError as error:
        return str(error)


def report_training(config: Any, run: Any, dataset: Any, draws: Any, embedded: Any) -> None:
    """Writes the report of a run that has just been trained and evaluated.

    Training must not fail for its report: any error is one warning.

    Args:
        draws: the queries and galleries that the config's protocols sample.
        embedded: the test split by the run's checkpoints.
    """
    from jreid.distributed.processes import on_main_process
    from jreid.errors import describe
    from jreid.report.image_sections import Seen
    from jreid.report.run_report import write_run_report

    def write() -> str:
        seen = Seen(dataset, draws.test[0], embedded)
        try:
            with explained(WRITING):
                write_run_report(run.report, run, config, run.read_result(), seen)
        except Exception as error:
            return describe(error)
        return ""

    if error := on_main_process(write):
        log.warning(
            "the run is complete, but its report is not written (%s); try again by `jreid report "
            "--workdir=%s`.",
            error,
            run.workdir,
        )
    else:
        print(f"report       {run.report}")

"""The report of a run: one page with its result, what it finds, and how to make it again."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jreid import config as configs
from jreid.defaults import defaults
from jreid.evaluation.results.marks import marks, without_repeated
from jreid.evaluation.results.measures import cmc_curve, labels_of_rows, metrics_of
from jreid.files import write_text
from jreid.methods import Config
from jreid.report.charts import Chart, line_chart
from jreid.report.image_sections import Seen, image_sections
from jreid.report.page import render
from jreid.report.training_curves import read_metrics, training_charts
from jreid.report.words import protocol_in_words
from jreid.runs.run import Run


def write_run_report(
    output: Path, run: Run, config: Config, result: Mapping[str, Any], seen: Seen | str
) -> None:
    """Writes the page.

    Args:
        result: the content of the run's `result.json`.
        seen: the images; or why they are not there: the page then says so, and has the rest.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(output, run_page(run, config, result, seen))


def run_page(run: Run, config: Config, result: Mapping[str, Any], seen: Seen | str) -> str:
    """The page as HTML; arguments as `write_run_report`."""
    rows = without_repeated(result["rows"])
    content: dict[str, Any] = {
        "run": run.workdir.name or str(run.workdir),
        "config": config,
        "result": result,
        "rows": rows,
        "headline": rows[0],
        "metrics": metrics_of(rows[0]),
        "marks": {number: marks(row) for number, row in enumerate(rows)},
        "words": {row["fingerprint"]: protocol_in_words(row) for row in rows},
        "cmc": cmc_chart(rows),
        "training": training_charts(read_metrics(run.metrics / "metrics.jsonl")),
        "differences": configs.differences(config, defaults()),
        "record": run.record(),
        "command": command_of(run.record()),
        "missing": seen if isinstance(seen, str) else "",
    }
    if not isinstance(seen, str):
        content |= image_sections(run, seen)
    return render("run.html", **content)


def cmc_chart(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """CMC of the first checkpoint: a color for each protocol, dashes for each re-ranking."""
    first = [row for row in rows if row.get("checkpoint") == rows[0].get("checkpoint")]
    names = labels_of_rows(first)
    labels, rerankings = [*dict.fromkeys(names)], [*dict.fromkeys(row["rerank"] for row in first)]
    kinds = {text.partition("(")[0] for text in rerankings}
    lines, styles = {}, []
    for row, label in zip(first, names, strict=True):
        name, text = label, row["rerank"]
        if text != "none":
            short = text.partition("(")[0] if len(kinds) == len(rerankings) else text
            name += f", re-ranked: {short}"
        lines[name] = cmc_curve(row)
        styles.append((labels.index(label), rerankings.index(text)))
    return line_chart("CMC", "rank", "queries (%)", lines, styles=styles)


def command_of(record: Mapping[str, Any]) -> str:
    """The command that made the run, as `run.json` has it; jreid without its path.

    It can be pasted into a shell. Empty if it is not recorded, as in a bundle.
    """
    recorded = str(record.get("command", ""))
    if not recorded:
        return ""
    program, arguments = _program_and_arguments(recorded)
    is_jreid = Path(program).name in ("__main__.py", "jreid")
    return f"python {'-m jreid' if is_jreid else shlex.quote(program)} {arguments}".rstrip()


def _program_and_arguments(command: str) -> tuple[str, str]:
    """Both parts of a command; the arguments are quoted, unless an earlier version recorded it."""
    try:
        program, *arguments = shlex.split(command)
    except ValueError:  # an odd number of quotes
        program, arguments = "", []
    if shlex.join([program, *arguments]) == command:
        return program, shlex.join(arguments)
    program, _, rest = command.partition(" ")
    return program, rest

"""Trained on one dataset, tested on another: runs by datasets, each cell with its fingerprint.

python -m experiments.cross runs/sysu runs/llcm --on=sysu_mm01:DIR --on=llcm:DIR --on=regdb:DIR

Every run is evaluated on the test split of every dataset, by the first protocol of its layout,
without re-ranking, by its last checkpoint; a note names a file that has only the best one. The
output is a table in Markdown. A run is not evaluated on people that it was trained on. A cell
without numbers is `-`, and a note says why.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jreid import markdown
from jreid.commands.common import add_trust_flag
from jreid.commands.exit_status import exit_status
from jreid.commands.results import require_suffix
from jreid.errors import InputError
from jreid.evaluation.results.marks import marks
from jreid.files import write_text
from jreid.process import configure

log = logging.getLogger(__name__)


class Target(NamedTuple):
    """A dataset to test on: its name as `--data` takes it, and its folder, if not the default."""

    data: str
    folder: str


class Cell(NamedTuple):
    """A run on a dataset: its result row, or why there is none."""

    row: Mapping[str, Any] | None
    why: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    parser.add_argument(
        "--on",
        action="append",
        required=True,
        metavar="NAME:DIR",
        help="a dataset to test on, as `jreid evaluate --data` takes it, and its folder (default: "
        "data/NAME); give it once for each",
    )
    parser.add_argument("--output", type=Path, default=Path("runs/cross.md"), help="the table")
    add_trust_flag(parser)
    options = parser.parse_args(arguments)
    configure()
    return exit_status(lambda: _print_cross(options))


def _print_cross(options: argparse.Namespace) -> None:
    require_suffix(options.output, ".md")
    text = cross(options.runs, [*map(read_target, options.on)], options.trust_code)
    print(text)
    write_text(options.output, text)
    print(options.output)


def read_target(text: str) -> Target:
    """The dataset of `NAME:DIR`.

    >>> read_target("regdb,trial=3:data/regdb")
    Target(data='regdb,trial=3', folder='data/regdb')
    """
    data, _, folder = text.partition(":")
    return Target(data, folder)


def cross(runs: Sequence[Path], targets: Sequence[Target], trusted: bool = False) -> str:
    """The table in Markdown; evaluates every run on every dataset.

    Args:
        trusted: whether a run's config may name code outside of jreid.

    Raises:
        InputError: no cell has numbers.
    """
    cells = {run: [evaluate(run, target, trusted) for target in targets] for run in runs}
    if not any(cell.row for row in cells.values() for cell in row):
        raise InputError(next(cell.why for row in cells.values() for cell in row))
    return format_cross(cells, targets)


def evaluate(run: Path, target: Target, trusted: bool = False) -> Cell:
    """The run's row on a dataset, from `jreid evaluate` in a process of its own.

    The run's own result files stay as they are: they may have more rows.
    """
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--output={folder}/result.json", *(["--trust-code"] if trusted else [])]
        return _evaluate(run, target, flags)


def _evaluate(run: Path, target: Target, more: Sequence[str]) -> Cell:
    flags = [f"--workdir={run}", f"--data={target.data}", "--config.evaluation.rerank=none"]
    folder = [f"--data-folder={target.folder}"] if target.folder else []
    command = [sys.executable, "-m", "jreid", "evaluate", *flags, *folder]
    command += [*more, "--json"]
    log.info("%s on %s", run, target.data)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        return Cell(None, why.removeprefix("jreid: ").removesuffix("."))
    rows = json.loads(done.stdout)["rows"]
    return Cell(next((row for row in rows if row["checkpoint"] == "last"), rows[0]))


def format_cross(cells: Mapping[Path, Sequence[Cell]], targets: Sequence[Target]) -> str:
    """Rank-1, mAP and fingerprint of each run on each dataset, in Markdown.

    Raises:
        InputError: runs were measured by different rules, people or images on one dataset.
    """
    heads, rows = ["trained", *(target.data for target in targets)], []
    notes = ["Rank-1 and mAP in percent, last checkpoint, no re-ranking, test split."]
    for number, target in enumerate(targets):
        column = [row[number].row for row in cells.values()]
        prints = {(one["fingerprint"], one["images"], one["label"]) for one in column if one}
        if len(prints) > 1:
            raise InputError(
                f"{target.data} has other people or images for some of the runs, or another "
                "protocol, so its numbers cannot stand in one column; give the same folder to all."
            )
        notes += [f"{target.data}: {label}." for _, _, label in prints]
    for run, row in cells.items():
        rows.append([f"{run}", *map(_text, row)])
        for target, cell in zip(targets, row, strict=True):
            words = [cell.why] if cell.why else marks(cell.row or {})
            words = [word for word in words if word != "other data"]  # as the table's head says
            words += ["best checkpoint"] if cell.row and cell.row["checkpoint"] != "last" else []
            notes += [f"{run} on {target.data}: {', '.join(words)}."] if words else []
    return f"{markdown.table(heads, rows)}\n\n{' '.join(notes)}\n"


def _text(cell: Cell) -> str:
    row = cell.row
    if row is None:
        return "-"
    own = "" if row.get("other_data") else ", own data"
    return f"{100 * row['cmc']['1']:.2f} / {100 * row['mAP']:.2f} (`{row['fingerprint']}`{own})"


if __name__ == "__main__":
    sys.exit(main())

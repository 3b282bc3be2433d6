"""Chooses each method's learning rate on the validation identities, with the same few tries.

python -m experiments.rates --data=synthetic,long --workers=2

Each method is trained at half its rate for the scale `small`, at that rate and at twice that rate,
with one seed. The rate of the best mAP on the validation identities, at the end of training, is the
chosen one; the test split plays no part. The configs have it for `synthetic,long`. The runs are
shared with the other experiments.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.accuracy import training_accuracy
from experiments.command import main_of_methods
from experiments.compare import TABLE, methods
from experiments.sweep import Sweep, load_config, render, run_tables, title_of, workdir
from experiments.tables import Row
from jreid import markdown
from jreid.data.dataset import examine
from jreid.errors import InputError
from jreid.files import write_text
from jreid.launch.flags import launch_of
from jreid.launch.jobs import Launch
from jreid.report.training_curves import read_metrics
from jreid.runs.run import source_of

FACTORS = (0.5, 1, 2)


class Try(NamedTuple):
    """A learning rate and what it has reached, in percent.

    Attributes:
        rate: the learning rate.
        validation: the mAP on the validation identities after the last epoch.
        training: the accuracy on the training images in the last epoch.
    """

    rate: float
    validation: float
    training: float | None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    return main_of_methods(_choose, methods(), __doc__, arguments)


def _choose(sweeps: Mapping[str, Sweep], options: argparse.Namespace) -> None:
    for sweep in sweeps.values():
        if len(sweep.seeds) > 1 or sweep.trials:
            raise InputError("rates are chosen with one seed; give one seed, and no --trials.")
        if "validation" in load_config(sweep).data.train_splits:
            raise InputError(
                f"--data={options.data} trains on its validation identities, so they cannot choose "
                "a rate; give another, such as sysu_mm01_validated."
            )
        if not load_config(sweep).evaluation.every_epochs:
            raise InputError(
                "config.evaluation.every_epochs=0 leaves out the validation that chooses a rate; "
                "set it to 1 or more."
            )
        render(sweep)
        require_validation(sweep)
    tries = dict(run(sweeps, launch_of(options, options.output)))
    (data,) = {sweep.data for sweep in sweeps.values()}
    (title,) = {title_of(sweep) for sweep in sweeps.values()}
    text = format_tries(tries, title)
    file = options.output / "rates" / f"{data.replace(',', '_')}.md"
    write_text(file, text)
    print(f"\n{text}\n{file}")


def require_validation(sweep: Sweep) -> None:
    """Raises InputError if the dataset has no validation identities, which choose a rate."""
    config = load_config(sweep)
    if "validation" not in {row.split for row in examine(source_of(config)).listing.rows}:
        raise InputError(
            f"{config.data.folder} has no validation identities, which choose a rate; give another "
            "--data, such as synthetic."
        )


def rows_of(sweep: Sweep) -> dict[float, Row]:
    """The row of each rate; the config's own rate needs no flag."""
    shorter = ",".join("small" if word == "long" else word for word in sweep.data.split(","))
    own, middle = (
        load_config(sweep._replace(data=data)).optimizer.learning_rate
        for data in (sweep.data, shorter)
    )
    rates = [float(f"{factor * middle:.6g}") for factor in FACTORS]
    flags = {rate: (f"--config.optimizer.learning_rate={rate}",) for rate in rates}
    return {rate: Row(str(rate), () if rate == own else flags[rate]) for rate in rates}


def run(sweeps: Mapping[str, Sweep], launch: Launch) -> Iterable[tuple[str, list[Try]]]:
    """The tries of each method; errors are those of `run_tables`."""
    rows = {name: rows_of(sweep) for name, sweep in sweeps.items()}
    tables = [
        (sweep, TABLE._replace(title=name, rows=(*rows[name].values(),)))
        for name, sweep in sweeps.items()
    ]
    run_tables(tables, launch)
    for name, sweep in sweeps.items():
        folders = {rate: workdir(sweep, row, sweep.seeds[0]) for rate, row in rows[name].items()}
        yield name, [_tried(rate, folder) for rate, folder in folders.items()]


def _tried(rate: float, folder: Path) -> Try:
    metrics = folder / "metrics" / "metrics.jsonl"
    _, validation = read_metrics(metrics).get("validation/mAP", ((), ()))
    if not validation:
        raise InputError(
            f"{metrics} has no validation/mAP: the dataset holds out no validation identities, or "
            "config.evaluation.every_epochs is 0; give another --data, or set that field."
        )
    return Try(rate, 100 * validation[-1], training_accuracy(metrics))


def format_tries(tries: Mapping[str, Sequence[Try]], data: str) -> str:
    """The tries in Markdown, the best of each method in bold."""
    heads, rows = ["", "rate", "mAP, validation", "training accuracy"], []
    for name, of_method in tries.items():
        best = max(of_method, key=lambda one: one.validation)
        for one in of_method:
            training = "" if one.training is None else f"{one.training:.1f}"
            cells = [f"{one.rate:g}", f"{one.validation:.2f}", training]
            rows.append(
                [name, *(f"**{cell}**" if one is best and cell else cell for cell in cells)]
            )
    title = f"### Learning rates on {data}, chosen on the validation identities"
    return f"{title}\n\n{markdown.table(heads, rows)}\n"


if __name__ == "__main__":
    sys.exit(main())

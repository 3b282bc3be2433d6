"""`jreid export`: a run's model as one file that needs no jreid."""

import argparse
import logging
from pathlib import Path
from typing import Any

from jreid.commands.common import add_run_flags, config_of_run, own_dataset, verb
from jreid.errors import InputError
from jreid.files import read_json
from jreid.progress import TerminalBar

log = logging.getLogger(__name__)


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "export a run's model as one file, preprocessing inside, that runs without jreid"
    export = verb(verbs, "export", _export, help, config=True)
    add_run_flags(export)
    export.add_argument("--format", required=True, help="stablehlo (needs JAX to run), or onnx")
    export.add_argument(
        "--output", type=Path, required=True, help="file to write; a card is written to FILE.json"
    )
    export.add_argument(
        "--check",
        action="store_true",
        help="compare the file with the model: differences, speed, rank-1 on the test split; the "
        "exit status is 1 if they differ",
    )


def _export(options: argparse.Namespace) -> int:
    from jreid.engine.model import Model
    from jreid.export.export import FORMATS, card_of, check_output, check_packages, export
    from jreid.find import require_name
    from jreid.runs.chosen import checkpoint_variables
    from jreid.runs.run import Run

    require_name("--format", options.format, FORMATS)
    check_packages(options.format)
    check_output(options.output)
    config = config_of_run(options)
    model = Model(config)
    run = Run(options.workdir)
    variables, checkpoint = checkpoint_variables(model, run, options.checkpoint)
    log.info("exporting the %s checkpoint, step %s", options.checkpoint, checkpoint["step"])
    content = export(options.format, model, variables, checkpoint, options.output)
    card = read_json(card_of(options.output))
    options.document = {"output": options.output, "card": card, "check": None}
    print(f"export  {options.output} ({len(content) / 1e6:.1f} MB)")
    print(f"card    {card_of(options.output)}")
    if options.check:
        reader = FORMATS[options.format].Reader(content)
        options.document["check"] = found = _check(model, run, variables, reader)
        if not found["agrees"]:
            log.error(
                "%s does not embed as the model does: a component of a unit vector differs by "
                "%.1e, and at most %.0e is accepted; do not use the file, and try the other "
                "--format.",
                options.output,
                found["largest_difference"],
                found["tolerance"],
            )
            return 1
    return 0


def _check(model: Any, run: Any, variables: Any, reader: Any) -> dict[str, Any]:
    """Prints how the export differs from the model, and returns that."""
    import numpy as np

    from jreid.export.check import compare, made_up_table
    from jreid.runs.protocols import draw_protocols
    from jreid.runs.score import score

    dataset: Any = None
    try:
        dataset = own_dataset(model.config, run)
        draws = draw_protocols(model.config, dataset).test
        table, what = draws[0].table, f"the test split of {model.config.data.name}"
    except InputError as error:
        log.warning("--check measures no rank-1, and its images are noise: %s", error)
        draws, table, what = [], made_up_table(model), "noise"
    with TerminalBar() as bar:
        both = compare(reader, model, variables, table, bar)
    print(f"check   {len(both.own):,} images of {what}")
    print(
        f"        largest difference of a component of a unit vector: {both.difference:.1e} "
        f"(accepted: {both.tolerance:.0e})"
    )
    print(f"        images a second: {both.exported_rate:.1f} (the model: {both.own_rate:.1f})")
    rank1: list[dict[str, Any]] = []
    for drawn in draws if np.isfinite(both.difference) else ():
        own, exported = (
            100 * score(model, dataset, drawn, features)["cmc"]["1"]
            for features in (both.own, both.exported)
        )
        rank1.append({"protocol": drawn.text, "exported": exported, "own": own})
        print(f"        rank-1, {drawn.text}: {exported:.2f} (the model: {own:.2f})")
    return {
        "images": len(both.own),
        "of": what,
        "largest_difference": both.difference,
        "tolerance": both.tolerance,
        "agrees": both.agrees,
        "images_per_second": both.exported_rate,
        "own_images_per_second": both.own_rate,
        "rank1": rank1,
    }

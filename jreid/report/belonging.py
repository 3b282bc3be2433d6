"""Whether a result belongs to the images that a report would show beside it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jreid.errors import InputError
from jreid.evaluation.results.compare import extraction_differences
from jreid.methods import Config
from jreid.runs.chosen import extraction_of
from jreid.runs.protocols import Drawn
from jreid.runs.run import Run

AGAIN = "evaluate the run again"


def require_same_extraction(config: Config, run: Run, result: Mapping[str, Any]) -> None:
    """Raises InputError if this config extracts other features than those of the result."""
    if not result.get("extraction"):
        return
    here = {"extraction": extraction_of(config)}
    if differing := extraction_differences(result, here, (f"{run.result}", "this config")):
        differing = differing[0].partition(": ")[2].removesuffix(".")
        raise InputError(
            f"the features of {run.result} were extracted in another way than by this config "
            f"(there and here: {differing}); give the same --config.evaluation fields as to "
            f"`jreid evaluate`, or {AGAIN}."
        )


def drawn_of(result: Mapping[str, Any], drawn: Sequence[Drawn], run: Run) -> Drawn:
    """The protocol of the result's first row, whose numbers a report shows first.

    Raises:
        InputError: it is not among the protocols of the config.
    """
    first = result["rows"][0]
    rule = json.dumps(first["protocol"], sort_keys=True)
    for one in drawn:
        if json.dumps(one.protocol.stored(), sort_keys=True) == rule:
            return one
    raise InputError(
        f"the first row of {run.result} ({first['label']}) is of no protocol of this config; give "
        f"the same --config.protocols as to `jreid evaluate`, or {AGAIN}."
    )


def require_same_weights(
    checkpoint: Mapping[str, Any], run: Run, result: Mapping[str, Any]
) -> None:
    """Raises InputError if the checkpoint has other weights than those of the result's first row.

    Args:
        checkpoint: fields of a result row that describe it.
    """
    there, here = result["rows"][0].get("weights"), checkpoint["weights"]
    if there not in (None, here):
        raise InputError(
            f"{run.result} is of the weights {there}, but the {checkpoint['checkpoint']} "
            f"checkpoint, step {checkpoint['step']}, has the weights {here}; {AGAIN} by `jreid "
            f"evaluate --workdir={run.workdir}`."
        )

"""Standard output of a verb: text for people, or with --json one document for programs."""

import argparse
import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--json` to a verb that sets `options.document`, what it prints as plain values."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON document instead of text; messages go to standard error as always",
    )
    parser.set_defaults(run=partial(_run, parser.get_default("run")), document=None)


def _run(run: Callable[[argparse.Namespace], Any], options: argparse.Namespace) -> Any:
    """Runs the verb, with its document in place of its text, also if it ends in an error."""
    if not options.json:
        return run(options)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            return run(options)
    finally:
        if options.document is not None:
            print(json.dumps(_strict(options.document), indent=2, allow_nan=False))


def _strict(value: Any) -> Any:
    """The value as JSON has it: null for a number that is not finite, text for a path."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)

"""The command line: `jreid VERB`, or `python -m jreid VERB` from a clone.

`commands` holds the verbs; everything heavy is imported inside them, so that help answers at once.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jreid
from jreid.commands import (
    data,
    doctor,
    embed,
    evaluate,
    export,
    overview,
    pictures,
    publish,
    recall,
    report,
    search,
    serve,
    train,
)
from jreid.commands.exit_status import exit_status
from jreid.config_flags import joined
from jreid.find import Trust
from jreid.paths import local_path
from jreid.process import configure
from jreid.terminal import output_is_lost


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns its status; bad input is one sentence on standard error and 2."""
    configure()
    parser = _parser()
    given = sys.argv[1:] if arguments is None else arguments
    words = joined(given)
    # Not by argparse, which takes an unknown flag whose value has a space for a folder.
    overrides = [word for word in words if word.startswith(("--config.", "--noconfig."))]
    options, unknown = parser.parse_known_args([word for word in words if word not in overrides])
    options.overrides = overrides
    if unknown or (options.overrides and not options.takes_config):
        parser.error(f"unrecognized arguments: {' '.join(unknown or options.overrides)}")
    return exit_status(lambda: _run(options), lambda: _other_revision(options))


def _run(options: argparse.Namespace) -> int:
    _take_local_paths(options)
    Trust.given, Trust.names = getattr(options, "trust_code", False), frozenset()
    status = options.run(options) or 0
    return status or (2 if output_is_lost() and not options.may_lose_output else 0)


def _other_revision(options: argparse.Namespace) -> str:
    """The end of an error that says that another revision of jreid made the run in --workdir."""
    from jreid.runs.run import Run

    workdir = getattr(options, "workdir", None)
    return Run(workdir).other_revision() if workdir else ""


def _take_local_paths(options: argparse.Namespace) -> None:
    """Expands `~` in every flag that is a path, downloads a bundle of a hub, and refuses URLs."""

    def local(name: str, value: object) -> object:
        if isinstance(value, list):
            return [local(name, item) for item in value]
        if name == "workdir" and str(value).startswith("hf:"):
            from jreid.runs.hub import fetch

            return fetch(str(value))
        flag = f"--{name.replace('_', '-')}"
        return Path(local_path(str(value), flag)) if isinstance(value, Path) else value

    for name, value in vars(options).items():
        setattr(options, name, local(name, value))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "jreid", description="Visible-infrared person re-identification.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"jreid {jreid.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for commands in (
        train,
        evaluate,
        report,
        embed,
        search,
        serve,
        pictures,
        export,
        publish,
        recall,
        data,
        doctor,
    ):
        commands.add(verbs)
    overview.add(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())

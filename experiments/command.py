"""The command line that experiments with tables of runs share."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.sweep import Sweep, print_tables
from experiments.tables import Table
from jreid import config as configs
from jreid.commands.exit_status import exit_status
from jreid.commands.several_runs import read_seeds, read_trials
from jreid.config_flags import joined
from jreid.datasets import DATASETS
from jreid.errors import InputError
from jreid.find import require_name
from jreid.launch.flags import add_launcher_flags, launch_of
from jreid.process import configure

# The tiny dataset of each layout.
TINY = {known.layout: name for name, known in DATASETS.items() if known.scale == "tiny"}


def main(
    config: str,
    tables: Mapping[str, Table],
    description: str | None,
    arguments: Sequence[str] | None = None,
) -> int:
    """The command line of an experiment: runs some of its tables and prints them.

    Args:
        config: the name of its config, or the path of a file.
        tables: by their names on the command line.
        description: the experiment's docstring.
        arguments: None for those of the process.

    Returns:
        The exit status.
    """
    parser = _parser(description, "row")
    parser.add_argument("tables", nargs="+", choices=tables, help="tables to run")
    options, flags = _parsed(parser, arguments)

    def run() -> None:
        sweep, launch = sweep_of(config, options, flags), launch_of(options, options.output)
        print_tables(sweep, [tables[name] for name in options.tables], launch)

    return exit_status(run)


def main_of_methods(
    run: Callable[[Mapping[str, Sweep], Any], None],
    names: Sequence[str],
    description: str | None,
    arguments: Sequence[str] | None = None,
) -> int:
    """The command line of an experiment with several methods.

    Args:
        run: takes the sweep of each method and the options.
        names: of the methods, or rather of their configs.
        description: the experiment's docstring.
        arguments: None for those of the process.

    Returns:
        The exit status.
    """
    parser = _parser(description, "method")
    parser.add_argument(
        "--methods", default=",".join(names), help="some of them, such as idkl (default: all)"
    )
    options, flags = _parsed(parser, arguments)
    return exit_status(lambda: run(_sweeps_of(names, options, flags), options))


def _sweeps_of(names: Sequence[str], options: Any, flags: Sequence[str]) -> dict[str, Sweep]:
    """The sweeps of the methods that `--methods` names, in the order of all methods."""
    chosen = options.methods.split(",")
    for name in chosen:
        require_name("--methods", name, names)
    return {name: sweep_of(name, options, flags) for name in names if name in chosen}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of every sweep."""
    parser.add_argument("--data", default="synthetic", help="synthetic, sysu_mm01, regdb, ...")
    parser.add_argument(
        "--seeds", default="0", help="seeds, such as 0,1,2: run each row once for each"
    )
    parser.add_argument("--trials", default="", help="splits of RegDB, such as 1-10")
    parser.add_argument(
        "--scale",
        choices=("full", "tiny"),
        default="full",
        help="tiny: only test that all rows run",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs"), help="folder for the runs (default: runs)"
    )
    add_launcher_flags(parser)


def _parser(description: str | None, each: str) -> argparse.ArgumentParser:
    configure()
    parser = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0],
        epilog=f"set config fields of every {each} by --config.field=value",
    )
    add_arguments(parser)
    return parser


def _parsed(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[Any, list[str]]:
    """The options, and the flags of config fields."""
    return parser.parse_known_args(joined(sys.argv[1:] if arguments is None else arguments))


def sweep_of(config: str, options: Any, flags: Sequence[str]) -> Sweep:
    """The sweep of a config that the command line asks for.

    Raises:
        InputError: the data or the config do not exist, or a flag sets what the runs differ in.
    """
    seeds = tuple(read_seeds(options.seeds))
    own = {"--config.seed": "--seeds"}
    own |= {"--config.data.split_number": "--trials"} if options.trials else {}
    for flag in flags:
        if by := own.get(flag.partition("=")[0]):
            raise InputError(f"{by} chooses the runs; leave {flag} out.")
    if options.trials and "trial=" in options.data:
        raise InputError(f"--trials chooses the splits; leave trial= out of --data={options.data}.")
    layout = configs.load(f"{config}:{options.data}", flags).data.layout
    data = options.data if options.scale == "full" else tiny(options.data, layout)
    folder = options.output / Path(config).stem / data.replace(",", "_")
    trials = tuple(read_trials(options.trials)) if options.trials else ()
    return Sweep(config, data, tuple(flags), seeds, trials, folder)


def tiny(data: str, layout: str) -> str:
    """The tiny dataset of a layout with the options of another: `tiny,variant=code`.

    Raises:
        InputError: the layout has none.
    """
    if layout not in TINY:
        raise InputError(
            f"--scale=tiny has no dataset of the layout {layout}, only of {', '.join(TINY)}; "
            "choose another --data."
        )
    return ",".join([TINY[layout], *(word for word in data.split(",") if "=" in word)])

"""Writes results and prints them: numbers that cannot be written are still printed."""

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jreid.errors import InputError
from jreid.paths import local_path

# The quickstart's first row: its fingerprint, and the range of rank-1 by seeds and machines.
QUICKSTART, QUICKSTART_RANK1 = "850d64771ffa", (31, 44)


def write_fault(write: Callable[[], None]) -> InputError | None:
    """Why a result could not be written, so that its numbers can be printed before the error."""
    try:
        write()
    except InputError as error:
        return error
    return None


def keep_each(
    results: Iterable[dict[str, Any]], write: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], InputError | None]:
    """Writes each result over the one before; returns the last, and why it was not written."""
    result, unwritten = {}, None
    for result in results:
        unwritten = write_fault(partial(write, result))
    return result, unwritten


def document(result: Mapping[str, Any], file: Path | None) -> dict[str, Any]:
    """What `--json` prints: the content of the result file, and its path if it was written."""
    return {**result, "result": file}


def raise_incomplete(result: Mapping[str, Any], unwritten: InputError | None) -> None:
    """Raises InputError where a result could not be written or lacks re-ranked rows."""
    if unwritten:
        raise unwritten
    if missing := result.get("missing"):
        raise InputError(f"the result lacks re-ranked rows: {missing[0]}")


def require_suffix(output: Path | None, *suffixes: str) -> None:
    """Raises InputError unless the file to write, if one is given, ends in one of these.

    So a mistyped flag does not replace a file of another kind.
    """
    if output and (output.suffix not in suffixes or output.is_dir()):
        raise InputError(
            f"{output} does not end in {' or '.join(suffixes)}; choose such an --output."
        )


def require_result_output(output: Path | None) -> None:
    """Raises InputError unless a result may be written to this file, if one is given.

    A file that exists must be a result: the run's own files end in `.json`, too.
    """
    require_suffix(output, ".json")
    if output and output.exists():
        from jreid.evaluation import read_result

        try:
            read_result(output)
        except InputError as error:
            raise InputError(
                f"{output} exists and is not a result of jreid; choose another --output."
            ) from error


def print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints result rows under a title."""
    from jreid.console import Console
    from jreid.evaluation.results.tables import WIDTH, format_results

    Console(width=WIDTH).print(format_results(title, rows))


def print_rows(config: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints a run's result rows; of the quickstart also what to expect."""
    marked = ", partial dataset" if any(row.get("partial") for row in rows) else ""
    seeds = f", mean of {rows[0]['of_seeds']} seeds" if rows and "of_seeds" in rows[0] else ""
    print_table(f"{config.method} on {config.data.name}, test split{marked}{seeds}", rows)
    if sentence := _expected(config, rows):
        print(sentence)


def _expected(config: Any, rows: Sequence[Mapping[str, Any]]) -> str:
    """What the quickstart gave before, if these rows are of its config and its images."""
    from jreid import config as configs

    row = next((row for row in rows if row.get("fingerprint") == QUICKSTART), None)
    if row is None or configs.differences(config, configs.load("agw:synthetic")):
        return ""
    low, high = QUICKSTART_RANK1
    found = 100 * row["cmc"]["1"]
    inside = "inside" if low <= found <= high else "outside.\nCompare the versions in result.json"
    return (
        f"Expected in the first row: R1 {low} to {high}, by processor and seed; {found:.2f} is "
        f"{inside}."
    )


def read_runs(given: Path) -> Mapping[str, Any]:
    """The result of a run or of a file; of several, separated by commas, the mean.

    Raises:
        InputError: one cannot be read, or they have no mean.
    """
    from jreid.evaluation.results.intervals import mean_of_runs
    from jreid.evaluation.results.result_file import read_result

    paths = split_paths(str(given))
    results = [*map(read_result, paths)]
    if len(paths) == 1:
        return results[0]
    _require_one_config(paths)
    return mean_of_runs(results, [*map(str, paths)])


def _require_one_config(paths: Sequence[Path]) -> None:
    """Checks that runs differ by their seeds alone; a result that was copied is not checked.

    Of a mean over RegDB's trials, the run of the first trial is checked.

    Raises:
        InputError: their configs differ in another field.
    """
    from jreid import config as configs

    files = {path: _config_file(path) for path in paths}
    found = [(path, configs.read(file)) for path, file in files.items() if file]
    for (first, ours), (other, theirs) in itertools.pairwise(found):
        differing = configs.differences(ours, theirs)
        if fields := [str(one) for one in differing if one.field != "seed"]:
            raise InputError(
                f"{first} and {other} have no mean, since their configs differ in more than the "
                f"seed ({'; '.join(fields[:3])}); give runs of one config."
            )


def _config_file(path: Path) -> Path | None:
    """The config of a run's folder or result, or that of its first trial; None if there is none."""
    folder = path.parent if path.name == "result.json" else path
    files = folder / "config.json", *sorted(folder.glob("trial_*/config.json"))
    return next((file for file in files if file.is_file()), None)


def split_paths(given: str) -> list[Path]:
    """The paths in a text that separates them by commas, which their names may have, too.

    What exists is not split: `a=1,b=2/seed_0,a=1,b=2/seed_1` is two folders if these exist. A text
    without a comma is one path, whether it exists or not.

    Raises:
        InputError: a part is empty, or does not exist.
    """
    parts, reached = given.split(","), 0
    if len(parts) == 1:
        return [Path(given)]

    @functools.cache
    def paths_from(start: int) -> tuple[Path, ...] | None:
        """The rest as existing paths, the longest first; None if it cannot be split so."""
        nonlocal reached
        reached = max(reached, start)
        if start == len(parts):
            return ()
        for end in range(len(parts), start, -1):
            text = ",".join(parts[start:end])
            path = Path(local_path(text, "RUN")) if text.strip() else None
            if path and path.exists() and (rest := paths_from(end)) is not None:
                return path, *rest
        return None

    if (found := paths_from(0)) is None:
        rest = ",".join(parts[reached:])
        is_empty = not parts[min(reached, len(parts) - 1)].strip()
        cause = "a part is empty" if is_empty else f"there is no file or folder {rest}"
        raise InputError(
            f"{given}: {cause}; give results or folders of runs, with one comma between two."
        )
    return [*found]

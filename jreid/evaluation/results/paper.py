"""Results as a table for a paper, in LaTeX or Markdown, with a footnote on what was measured."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jreid.errors import InputError
from jreid.evaluation.results.marks import marks
from jreid.evaluation.results.measures import MIXED_METRICS, deviation, percent
from jreid.evaluation.results.paper_forms import FORMS, Columns, Parts

MEASURES = ("R1", "R10", "R20", "mAP", "mINP")

Row = Mapping[str, Any]


class Line(NamedTuple):
    """A line of the table: a method with one re-ranking, and its result row by protocol.

    Attributes:
        name: of the method.
        seeds: of its runs; empty if they are not known.
        rerank: the re-ranking.
        rows: by the rule of the protocol.
    """

    name: str
    seeds: str
    rerank: str
    rows: dict[str, Row]


def paper_table(
    results: Sequence[Mapping[str, Any]],
    form: str,
    names: Sequence[str] = (),
    checkpoint: str = "last",
) -> str:
    """A line for each method and re-ranking, with columns for each protocol.

    A mean over seeds or RegDB's splits has its deviation, which is over these: over seeds the
    sample deviation. A measure that a row lacks is a dash.

    Args:
        results: contents of result files.
        form: `latex` (needs the package booktabs) or `markdown`.
        names: of the results, to tell those of one method apart.
        checkpoint: `last` or `best`; rows of features have none and always count.

    Raises:
        InputError: the form is unknown, there is no such row, or two results measure by one rule on
            other people or images, so that their numbers do not belong into one table.
    """
    if form not in FORMS:
        raise InputError(f"{form} is not a form of rows; choose one of {', '.join(FORMS)}.")
    methods = [_method(result) for result in results]
    of_result = [
        f"{method} ({name})" if methods.count(method) > 1 else method
        for method, name in zip(methods, names or map(str, range(1, 1 + len(results))), strict=True)
    ]
    lines = [
        line
        for name, result in zip(of_result, results, strict=True)
        for line in _lines(name, result, checkpoint)
    ]
    if not lines:
        raise InputError(f"The results have no row of the {checkpoint} checkpoint.")
    _require_comparable(lines)
    groups = _groups(lines)
    cells = [[line.name, line.rerank.partition("(")[0], *_numbers(line, groups)] for line in lines]
    notes = _notes(lines, groups, checkpoint)
    return FORMS[form](Parts([*groups.values()], cells, notes))


def _method(result: Mapping[str, Any]) -> str:
    return result.get("method") or Path(str(result.get("features", "features"))).stem


def _lines(name: str, result: Mapping[str, Any], checkpoint: str) -> list[Line]:
    lines: dict[str, Line] = {}
    seeds = result.get("seeds") or [result.get("seed")]
    seeds = "" if None in seeds else f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    for row in result["rows"]:
        if row.get("checkpoint", checkpoint) == checkpoint:
            line = lines.setdefault(row["rerank"], Line(name, seeds, row["rerank"], {}))
            line.rows[json.dumps(row["protocol"], sort_keys=True)] = row
    return [*lines.values()]


def _groups(lines: Sequence[Line]) -> dict[str, Columns]:
    """The columns of each rule; a mixed gallery has measures of its own."""
    groups: dict[str, Columns] = {}
    for line in lines:
        for key, row in line.rows.items():
            more = MIXED_METRICS if "mixed" in row else ()
            groups.setdefault(key, Columns(row["label"], [*MEASURES, *more]))
    return groups


def _require_comparable(lines: Sequence[Line]) -> None:
    """Raises InputError for rows of one rule on other people or images, whatever re-ranks them.

    A fingerprint is also of the re-ranking, so rows of two re-rankings are compared by the images.
    """
    known: dict[str, list[tuple[Line, Row]]] = {}
    for line in lines:
        for key, row in line.rows.items():
            before = known.setdefault(key, [])
            for other, one in before:
                if _differ(row, one):
                    raise InputError(
                        f"{other.name} and {line.name} were evaluated by the same rule "
                        f"({row['label']}) on other people or images (fingerprints "
                        f"{one['fingerprint']} and {row['fingerprint']}), so their numbers do not "
                        "belong into one table."
                    )
            before.append((line, row))


def _differ(a: Row, b: Row) -> bool:
    if a["rerank"] == b["rerank"] and a["fingerprint"] != b["fingerprint"]:
        return True
    names = ("images", "queries")
    return any(a.get(name) and b.get(name) and a[name] != b[name] for name in names)


def _numbers(line: Line, groups: Mapping[str, Columns]) -> list[str]:
    return [
        _number(line.rows.get(key, {}), measure)
        for key, columns in groups.items()
        for measure in columns.measures
    ]


def _number(row: Row, measure: str) -> str:
    value = percent(row, measure)
    if value is None:
        return "-"
    spread = deviation(row, measure) if _of_runs(row) else None
    return f"{value:.2f}" if spread is None else f"{value:.2f} ± {spread:.2f}"


def _of_runs(row: Row) -> str:
    """The runs that a row is a mean of, and their deviation; empty for one run."""
    trial = row.get("protocol", {}).get("trial")
    splits = ""
    if isinstance(trial, list):
        splits = f"{len(trial)} of {row.get('of_trials', len(trial))} splits, one model for each"
    if row.get("of_seeds", 1) > 1:
        each = f", each the mean over {splits}" if splits else ""
        return f"mean and sample deviation (n - 1) over {row['of_seeds']} seeds{each}"
    return f"mean and deviation over {splits}" if splits else ""


def _notes(lines: Sequence[Line], groups: Mapping[str, Columns], checkpoint: str) -> list[str]:
    notes = ["In percent."]
    for key, columns in groups.items():
        rows = [(line, line.rows[key]) for line in lines if key in line.rows]
        prints = {line.rerank: row["fingerprint"] for line, row in rows}
        named = ", ".join(f"{text} {rerank}" for rerank, text in prints.items())
        first = rows[0][1]
        trials = first.get("trials", 1)
        mean = f"; mean over {trials} galleries" if trials > 1 and not _of_runs(first) else ""
        text = first.get("protocol_text")
        mixed = first.get("mixed", {})
        share = (
            f"; {100 * mixed['share']:.1f} % of the gallery is of the queries' modality"
            if "share" in mixed
            else ""
        )
        about = f"{f' ({text})' if text else ''}{mean}{share}"
        notes.append(f"{columns.label}{about}: fingerprint {named}.")
    for line in lines:
        row = next(iter(line.rows.values()))
        of = _of_runs(row) or "one run"
        seeds = f", {line.seeds}" if line.seeds else ""
        kind = f", {checkpoint} checkpoint" if "checkpoint" in row else ""
        marked = dict.fromkeys(mark for one in line.rows.values() for mark in marks(one))
        marked = f"; {', '.join(marked)}" if marked else ""
        notes.append(f"{line.name}, {line.rerank}: {of}{seeds}{kind}{marked}.")
    return [*dict.fromkeys(notes)]

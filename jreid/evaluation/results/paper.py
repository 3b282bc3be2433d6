"""Results as a table for a paper, in LaTeX or Markdown, with a footnote on what was measured."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jreid.errors import InputError
from jreid.evaluation.results.marks import marks

FORMS = ("latex", "markdown")
MEASURES = ("R1", "R10", "R20", "mAP", "mINP")
SPECIAL = {"\\": r"\textbackslash{}", "±": r"$\pm$", **{c: f"\\{c}" for c in "&%$#_{}"}}

Row = Mapping[str, Any]


class Line(NamedTuple):
    """A line of the table: a method with one re-ranking, and its result row by protocol."""

    name: str
    rerank: str
    rows: dict[str, Row]


class Parts(NamedTuple):
    """The texts of a table: the protocols of its columns, its heads, cells and footnotes."""

    groups: list[str]
    heads: list[str]
    cells: list[list[str]]
    notes: list[str]


def paper_table(
    results: Sequence[Mapping[str, Any]],
    form: str,
    names: Sequence[str] = (),
    checkpoint: str = "last",
) -> str:
    """A line for each method and re-ranking, with columns for each protocol.

    A mean over seeds or RegDB's splits has its deviation, which is over these.

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
    protocols = {key: row["label"] for line in lines for key, row in line.rows.items()}
    if not lines:
        raise InputError(f"The results have no row of the {checkpoint} checkpoint.")
    _require_comparable(lines)
    heads = ["method", "re-ranking", *(name for _ in protocols for name in MEASURES)]
    cells = [
        [line.name, line.rerank.partition("(")[0], *_numbers(line, protocols)] for line in lines
    ]
    notes = _notes(lines, protocols, checkpoint)
    parts = Parts([*protocols.values()], heads, cells, notes)
    return _latex(parts) if form == "latex" else _markdown(parts)


def _method(result: Mapping[str, Any]) -> str:
    return result.get("method") or Path(str(result.get("features", "features"))).stem


def _lines(name: str, result: Mapping[str, Any], checkpoint: str) -> list[Line]:
    lines: dict[str, Line] = {}
    for row in result["rows"]:
        if row.get("checkpoint", checkpoint) == checkpoint:
            line = lines.setdefault(row["rerank"], Line(name, row["rerank"], {}))
            line.rows[json.dumps(row["protocol"], sort_keys=True)] = row
    return [*lines.values()]


def _require_comparable(lines: Sequence[Line]) -> None:
    known: dict[tuple[str, str], tuple[str, Row]] = {}
    for line in lines:
        for key, row in line.rows.items():
            name, other = known.setdefault((key, line.rerank), (line.name, row))
            images = {one["images"] for one in (row, other) if one.get("images")}
            if row["fingerprint"] != other["fingerprint"] or len(images) > 1:
                raise InputError(
                    f"{name} and {line.name} were evaluated by the same rule ({row['label']}) on "
                    f"other people or images (fingerprints {other['fingerprint']} and "
                    f"{row['fingerprint']}), so their numbers do not belong into one table."
                )


def _numbers(line: Line, protocols: Mapping[str, str]) -> list[str]:
    cells = []
    for key in protocols:
        row = line.rows.get(key)
        for measure in MEASURES:
            cells.append(_number(row, measure) if row else "-")
    return cells


def _number(row: Row, measure: str) -> str:
    def of(values: Row) -> float:
        found = values["cmc"][measure[1:]] if measure.startswith("R") else values[measure]
        return 100 * found

    text = f"{of(row):.2f}"
    return f"{text} ± {of(row['std']):.2f}" if _of_runs(row) else text


def _of_runs(row: Row) -> str:
    """The runs that a row is a mean of; empty for one run."""
    if row.get("of_seeds", 1) > 1:
        return f"{row['of_seeds']} seeds"
    if isinstance(row["protocol"].get("trial"), list):
        return f"{len(row['protocol']['trial'])} of {row['of_trials']} splits, one model for each"
    return ""


def _notes(lines: Sequence[Line], protocols: Mapping[str, str], checkpoint: str) -> list[str]:
    notes = ["In percent."]
    for key, label in protocols.items():
        rows = [(line, line.rows[key]) for line in lines if key in line.rows]
        prints = {line.rerank: row["fingerprint"] for line, row in rows}
        named = ", ".join(f"{text} {rerank}" for rerank, text in prints.items())
        trials = rows[0][1]["trials"]
        mean = f"; mean over {trials} galleries" if trials > 1 and not _of_runs(rows[0][1]) else ""
        text = rows[0][1].get("protocol_text")
        notes.append(f"{label}{f' ({text})' if text else ''}{mean}: fingerprint {named}.")
    for line in lines:
        row = next(iter(line.rows.values()))
        runs = _of_runs(row)
        of = f"mean and deviation over {runs}" if runs else "one run"
        kind = f", {checkpoint} checkpoint" if "checkpoint" in row else ""
        marked = dict.fromkeys(mark for one in line.rows.values() for mark in marks(one))
        marked = f"; {', '.join(marked)}" if marked else ""
        notes.append(f"{line.name}, {line.rerank}: {of}{kind}{marked}.")
    return [*dict.fromkeys(notes)]


def _markdown(parts: Parts) -> str:
    groups, heads, cells, notes = parts
    several = len(groups) > 1
    names = [
        head if number < 2 or not several else f"{head}, {groups[(number - 2) // len(MEASURES)]}"
        for number, head in enumerate(heads)
    ]
    rows = [names, ["---"] * 2 + ["---:"] * (len(heads) - 2), *cells]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{' '.join(notes)}\n"


def _latex(parts: Parts) -> str:
    groups, heads, cells, notes = parts
    width = len(MEASURES)
    titles = "".join(f" & \\multicolumn{{{width}}}{{c}}{{{_escaped(name)}}}" for name in groups)
    rules = "".join(
        f" \\cmidrule(lr){{{3 + width * n}-{2 + width * (n + 1)}}}" for n in range(len(groups))
    )
    lines = [
        f"\\begin{{tabular}}{{ll{'r' * (len(heads) - 2)}}}",
        "\\toprule",
        f" &{titles} \\\\",
        rules.strip(),
        f"{' & '.join(map(_escaped, heads))} \\\\",
        "\\midrule",
        *(f"{' & '.join(map(_escaped, row))} \\\\" for row in cells),
        "\\bottomrule",
        "\\end{tabular}",
        f"\n\\smallskip{{\\footnotesize {' '.join(map(_escaped, notes))}}}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)

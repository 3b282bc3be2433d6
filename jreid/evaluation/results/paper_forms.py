"""A table for a paper as LaTeX or Markdown."""

from typing import NamedTuple

from jreid import markdown
from jreid.evaluation.results.measures import title

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


class Columns(NamedTuple):
    """The columns of a protocol: its label, and the measures."""

    label: str
    measures: list[str]


class Parts(NamedTuple):
    """The texts of a table: its groups of columns, cells and footnotes."""

    groups: list[Columns]
    cells: list[list[str]]
    notes: list[str]


def as_markdown(parts: Parts) -> str:
    """The table and a paragraph of its footnotes."""
    groups, cells, notes = parts
    names = [
        title(measure) + (f", {label}" if len(groups) > 1 else "")
        for label, measures in groups
        for measure in measures
    ]
    table = markdown.table(["method", "re-ranking", *names], cells, numbers=len(names))
    return f"{table}\n\n{' '.join(notes)}\n"


def as_latex(parts: Parts) -> str:
    """The table, which needs the package booktabs, and its footnotes."""
    groups, cells, notes = parts
    titles, rules, last = "", [], 2
    for label, measures in groups:
        titles += f" & \\multicolumn{{{len(measures)}}}{{c}}{{{_escaped(label)}}}"
        rules.append(f"\\cmidrule(lr){{{last + 1}-{last + len(measures)}}}")
        last += len(measures)
    heads = ["method", "re-ranking"]
    heads += [title(measure) for _, measures in groups for measure in measures]
    lines = [
        f"\\begin{{tabular}}{{ll{'r' * (last - 2)}}}",
        "\\toprule",
        f" &{titles} \\\\",
        " ".join(rules),
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


FORMS = {"latex": as_latex, "markdown": as_markdown}

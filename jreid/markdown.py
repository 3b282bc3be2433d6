"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """A table.

    Args:
        heads: of its columns.
        rows: their cells.
        numbers: how many columns, the last ones, are aligned to the right.
    """
    rules = ["---"] * (len(heads) - numbers) + ["---:"] * numbers
    return "\n".join(map(row, (heads, rules, *rows)))


def row(cells: Iterable[str]) -> str:
    """A line of a table; a cell stays one cell, whatever characters a name has."""
    lines = (" ".join(cell.replace("|", r"\|").split()) for cell in cells)
    return f"| {' | '.join(lines)} |"

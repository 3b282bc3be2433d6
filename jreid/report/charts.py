"""Charts as SVG inside a page: they follow its light or dark theme, and come with their numbers."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from jreid.terminal import clean

# Colors that are replaced by the page's own: `var(--chart-ink)`, `var(--chart-0)`, ...
INK, GRID = "#00000a", "#00000b"
SERIES = tuple(f"#0000{16 + number:02x}" for number in range(10))
NAMES = {INK: "ink", GRID: "grid"} | {color: str(n) for n, color in enumerate(SERIES)}
DASHES = ("-", "--", ":", "-.")
LEGEND_LINE = 0.17  # inches
SIZE = (4.6, 3.0)  # inches of 72 units: about as wide as a phone, so that text keeps its size
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
MOST_ROWS = 40  # of a chart's table

Line = tuple[Sequence[float], Sequence[float]]


class Chart(NamedTuple):
    """A chart of a page.

    Attributes:
        title: its heading.
        description: its content in one sentence, for people who do not see it.
        svg: the drawing.
        header: names of the columns of its numbers.
        rows: its numbers, as texts.
    """

    title: str
    description: str
    svg: Markup
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Mapping[str, Line],
    *,
    log: bool = False,
    digits: int = 2,
    styles: Sequence[tuple[int, int]] | None = None,
) -> Chart:
    """Lines by name, which differ in color and in dashes.

    Args:
        log: whether the y axis is logarithmic.
        digits: decimal places of the numbers in the table.
        styles: numbers of each line's color and dashes; None gives each its own.
    """

    from matplotlib.ticker import LogLocator, MaxNLocator

    def draw(axes: Any) -> None:
        for number, (name, (x, y)) in enumerate(lines.items()):
            color, dash = styles[number] if styles else (number, number)
            axes.plot(
                x, y, DASHES[dash % len(DASHES)], color=SERIES[color % len(SERIES)],
                label=_plain(name), marker="o" if len(x) < 12 else None, markersize=3,
            )  # fmt: skip
        axes.set(xlabel=x_label, ylabel=y_label, yscale="log" if log else "linear")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if log:
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))

    ends = "; ".join(f"{name} ends at {y[-1]:.{digits}f}" for name, (_, y) in lines.items())
    xs = sorted({value for x, _ in lines.values() for value in x})
    xs = [xs[row] for row in np.unique(np.linspace(0, len(xs) - 1, MOST_ROWS).round().astype(int))]
    at = [dict(zip(x, y, strict=True)) for x, y in lines.values()]
    rows = [[f"{x:g}", *(f"{y[x]:.{digits}f}" if x in y else "" for y in at)] for x in xs]
    return Chart(
        title, f"{y_label} by {x_label}: {ends}.", _svg(title, draw), [x_label, *lines], rows
    )


def histogram(
    title: str, x_label: str, edges: np.ndarray, counts: Mapping[str, np.ndarray]
) -> Chart:
    """Shares of pairs in each bin, in percent, by name; the table has the quantiles.

    Args:
        edges: `[B + 1]` of the bins.
        counts: `[B]` numbers of pairs.
    """
    shares = {name: 100 * some / max(some.sum(), 1) for name, some in counts.items()}

    def draw(axes: Any) -> None:
        for number, (name, share) in enumerate(shares.items()):
            color = SERIES[number]
            axes.stairs(share, edges, fill=True, color=color, alpha=0.18)
            axes.stairs(share, edges, color=color, label=name, linestyle=DASHES[number])
        axes.set(xlabel=x_label, ylabel="pairs (%)")

    rows = []
    for name, some in counts.items():
        quantiles = [f"{quantile(edges, some, share):.3f}" for share in (0.05, 0.5, 0.95)]
        rows.append([name, *quantiles, f"{int(some.sum()):,}"])
    medians = "; ".join(f"the median of {row[0]} is {row[2]}" for row in rows)
    header = ["pairs", "5 % are below", "median", "95 % are below", "number of pairs"]
    return Chart(
        title, f"Distribution of the {x_label}: {medians}.", _svg(title, draw), header, rows
    )


def quantile(edges: np.ndarray, counts: np.ndarray, share: float) -> float:
    """The value below which this share of the counted values is, between the edges of its bin."""
    total = np.concatenate([[0], np.cumsum(counts)])
    return float(np.interp(share * total[-1], total, edges)) if total[-1] else float("nan")


def scatter(
    title: str, points: np.ndarray, people: Sequence[str], modalities: Sequence[str]
) -> Chart:
    """Points in the plane: a color and a name for each person, a marker for each modality."""
    names = list(dict.fromkeys(people))
    who, modality = np.array(people), np.array(modalities)
    markers = {"visible": "o", "infrared": "^"}

    def draw(axes: Any) -> None:
        for number, name in enumerate(names):
            for kind, marker in markers.items():
                some = points[(who == name) & (modality == kind)]
                axes.scatter(
                    *some.T, s=16, marker=marker, color=SERIES[number % len(SERIES)],
                    alpha=0.75, linewidths=0,
                )  # fmt: skip
            mine = points[who == name]
            above = (float(np.median(mine[:, 0])), float(mine[:, 1].max()))
            axes.annotate(
                _plain(name), above, (0, 4), textcoords="offset points", ha="center",
                fontsize=9, fontweight="bold",
            )  # fmt: skip
        for kind, marker in markers.items():
            axes.scatter([], [], s=16, marker=marker, color=INK, label=kind)
        axes.set(xticks=[], yticks=[])
        axes.grid(False)

    rows = [
        [name, *(f"{((who == name) & (modality == kind)).sum()}" for kind in markers)]
        for name in names
    ]
    about = (
        f"{len(points)} images of {len(names)} people in the plane; images that the model finds "
        "similar are near each other. The axes have no unit."
    )
    return Chart(title, about, _svg(title, draw, (4.6, 4.6)), ["person", *markers], rows)


def _svg(title: str, draw: Any, size: tuple[float, float] = SIZE) -> Markup:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**STYLE, "svg.hashsalt": title}), warnings.catch_warnings():
        # The browser draws the texts, also those in scripts that Matplotlib's own font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        draw(axes)
        handles, labels = axes.get_legend_handles_labels()
        columns = 1 if max(map(len, labels), default=0) > 24 else 2
        lines = -(-len(labels) // columns) if len(labels) > 1 else 0
        if lines:
            figure.legend(handles, labels, loc="outside upper left", ncols=columns)
        figure.set_size_inches(size[0], size[1] + lines * LEGEND_LINE)
        content = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(content, format="svg", transparent=True, metadata=nothing)
    return _in_page(content.getvalue(), title)


def _plain(text: str) -> str:
    """A text in which Matplotlib finds no formula, and that it does not leave out of legends."""
    hidden = "\u200b" if text.startswith("_") else ""  # a space without width
    return hidden + clean(text).replace("$", r"\$")


def _in_page(svg: str, title: str) -> Markup:
    """Matplotlib's file as a part of a page with other charts."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"| height="[^"]*pt"', r"\1", svg, count=2)
    svg = re.sub(
        r"<metadata>.*?</metadata>|<style type=.text/css.>.*?</style>", "", svg, flags=re.S
    )
    own = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{own}-", svg)
    svg = re.sub("|".join(NAMES), lambda color: f"var(--chart-{NAMES[color[0]]})", svg)
    return Markup(svg)

"""All methods side by side: AGW and the others, at one scale on one dataset.

python -m experiments.compare --data=synthetic --seeds=0,1,2

Every method that has a module in `jreid/methods` and a config is trained by its config's defaults
and evaluated raw and re-ranked. The output is a table in Markdown, with the cost of each method,
and the CMC curves. The runs are shared with the papers' own tables: a row with default options is
in the same folder, and a finished run is not run again. The table also has the numbers that the
papers print, on the authors' dataset of the same layout. On a synthetic dataset only the order of
the methods can be compared with them.

A step's time is measured on one device of this machine, its memory is XLA's estimate, both with the
method's own batch.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from experiments import revisions
from experiments.command import main_of_methods
from experiments.intervals import difference
from experiments.sweep import Sweep, load_config, require_evaluated, run_tables, title_of
from experiments.tables import (
    COMPARED,
    LLCM_FROM_INFRARED,
    REGDB_FROM_VISIBLE,
    SYSU_ALL,
    Row,
    Setting,
    Table,
    differences_to,
    find,
    mean_training_accuracy,
    measured_by,
    some_splits,
)
from jreid import markdown
from jreid.config_file import shipped_configs
from jreid.datasets import TITLES
from jreid.distributed.mesh import mesh_over
from jreid.engine.step_cost import Costs, measure
from jreid.errors import InputError
from jreid.evaluation.results.marks import marks
from jreid.evaluation.results.measures import cmc_curve, mean_and_deviation, percent
from jreid.files import write_text
from jreid.find import own_modules
from jreid.launch.flags import launch_of
from jreid.launch.jobs import Launch

BASELINE = "agw"
MEASURES = ("R1", "mAP", "mINP")
RERANKINGS = ("none", "standard")
SETTINGS = (SYSU_ALL, REGDB_FROM_VISIBLE, LLCM_FROM_INFRARED)
TABLE = Table("Comparison: all methods", SETTINGS, (Row("default"),))

# Rank-1 and mAP that the papers print: on SYSU-MM01 with all search and single shot, on RegDB from
# visible to infrared.
PRINTED = {
    "sysu_mm01": {
        "agw": (47.50, 47.65),
        "base_derivative": (51.05, 49.63),
        "idkl": (81.42, 79.85),
        "mutual_prediction": (56.48, 51.91),
        "pfanet": (40.83, 39.84),
        "pfinet": (68.53, 65.51),
    },
    "regdb": {
        "agw": (70.05, 66.37),
        "base_derivative": (80.67, 78.83),
        "idkl": (94.72, 90.19),
        "mutual_prediction": (87.64, 78.45),
        "pfinet": (81.13, 81.49),
    },
}

PERHAPS_RERANKED = {"sysu_mm01": "idkl"}  # whose paper does not say it

Results = Mapping[str, Sequence[Mapping[str, Any]]]  # by method, one for each seed


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    return main_of_methods(_compare, methods(), __doc__, arguments)


def methods() -> list[str]:
    """The names of the methods that have a config, the baseline first."""
    names = {*own_modules("jreid.methods", "create")} & {*shipped_configs()}
    return sorted(names, key=lambda name: (name != BASELINE, name))


def _compare(sweeps: Mapping[str, Sweep], options: argparse.Namespace) -> None:
    if BASELINE not in sweeps:
        raise InputError(f"--methods lacks {BASELINE}, which the others are compared with; add it.")
    configs = [load_config(sweep) for sweep in sweeps.values()]
    (setting,) = measured_by(TABLE, configs[0].data.layout)
    shown = TABLE._replace(rows=tuple(Row(kind, rerank=kind) for kind in RERANKINGS))
    for sweep in sweeps.values():
        require_evaluated(sweep, shown, (setting,))
    results = run_all(sweeps, launch_of(options, options.output))
    revisions.warn_of_several(TABLE.title, results)
    one_device = mesh_over(jax.local_devices()[:1])  # which need not divide a method's batch
    costs = dict(zip(sweeps, measure(configs, mesh=one_device), strict=True))
    first = sweeps[BASELINE]
    folder = first.folder.parent.parent / "compare" / first.folder.name
    folder.mkdir(parents=True, exist_ok=True)
    text = format_methods(setting, first, results, costs)
    write_text(folder / "methods.md", text)
    plot_cmc(setting, first, results, folder / "cmc.png")
    print(f"\n{text}\n{folder / 'methods.md'}\n{folder / 'cmc.png'}")


def run_all(sweeps: Mapping[str, Sweep], launch: Launch) -> Results:
    """The results of all methods; runs what is not finished. Errors are those of `run_tables`."""
    tables = [(sweep, TABLE._replace(title=name)) for name, sweep in sweeps.items()]
    found = run_tables(tables, launch)
    return {name: next(iter(rows.values())) for name, rows in zip(sweeps, found, strict=True)}


def format_methods(
    setting: Setting, sweep: Sweep, results: Results, costs: Mapping[str, Costs]
) -> str:
    """The table in Markdown: mean and deviation over the seeds, then the papers' numbers."""
    heads = []
    for kind, name in _columns():
        heads.append(f"{name}{', re-ranked' * (kind != 'none')}")
        heads += ["difference"] if _compared(kind, name) else []
    paper = f"paper, {TITLES[setting.layout]}"
    costly = ["parameters, M", "step, ms", "step's memory, MB"]
    heads = ["", *heads, "training accuracy", f"R1, {paper}", f"mAP, {paper}", *costly]
    rows = []
    for name, of_seeds in results.items():
        printed = PRINTED.get(setting.layout, {}).get(name)
        cells = []
        for kind, column in _columns():
            ours, base = (
                [find(result, setting, kind) for result in of_method]
                for of_method in (of_seeds, results[BASELINE])
            )
            cells.append(mean_and_deviation([percent(row, column) for row in ours]))
            if _compared(kind, column):
                cells.append(difference(ours, base, column) if name != BASELINE else "")
        cells.append(mean_training_accuracy(of_seeds))
        cells += [f"{value:.2f}" for value in printed] if printed else ["", ""]
        parameters, seconds, memory = costs[name]
        cells += [f"{parameters / 1e6:.2f}", f"{1e3 * seconds:.0f}", f"{memory / 1e6:.0f}"]
        rows.append([name, *cells])
    caption = _caption(setting, sweep, results)
    return f"### {TABLE.title}\n\n{caption}\n\n{markdown.table(heads, rows)}\n"


def plot_cmc(setting: Setting, sweep: Sweep, results: Results, file: Path) -> None:
    """The mean CMC curves over the seeds, without re-ranking, in percent.

    A method that another protocol than the baseline's evaluates has no curve.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    rule = find(results[BASELINE][0], setting, "none")["fingerprint"]
    for name, of_seeds in results.items():
        if find(of_seeds[0], setting, "none")["fingerprint"] != rule:
            continue
        curves = [cmc_curve(find(result, setting, "none")) for result in of_seeds]
        shares = map(statistics.mean, zip(*(of_seed for _, of_seed in curves), strict=True))
        axes.plot(curves[0][0], [*shares], marker=".", label=name)
    axes.set_xlabel("rank")
    axes.set_ylabel("queries with a match by this rank, %")
    axes.set_title(f"{sweep.data}, {setting.title}, test split, mean over {_seeds(sweep)}")
    axes.set_xticks([1, 5, 10, 15, 20])
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120)


def _columns() -> Iterator[tuple[str, str]]:
    return ((kind, measure) for kind in RERANKINGS for measure in MEASURES)


def _compared(kind: str, measure: str) -> bool:
    """Whether a column has one with the differences to the baseline beside it."""
    return kind == "none" and measure in COMPARED


def _caption(setting: Setting, sweep: Sweep, results: Results) -> str:
    """The dataset, protocols and seeds of the numbers; equal fingerprints can be compared."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, of_seeds in results.items():
        rows = [find(result, setting, kind) for kind in RERANKINGS for result in of_seeds]
        groups.setdefault(tuple(dict.fromkeys(r["fingerprint"] for r in rows)), []).append(name)
    protocols = [
        f"protocol raw and re-ranked {' and '.join(f'`{one}`' for one in found)}"
        + (f" of {', '.join(names)}" if len(groups) > 1 else "")
        for found, names in groups.items()
    ]
    marked = [
        f"{name}: {', '.join(marks(find(result, setting, kind)))}"
        for name, of_seeds in results.items()
        for result in of_seeds
        for kind in RERANKINGS
        if marks(find(result, setting, kind))
    ]
    if len({found[0] for found in groups}) > 1:
        marked.append(
            f"a method that another protocol than {BASELINE}'s evaluates is not compared with it, "
            "and is not in the plot"
        )
    unknown = PERHAPS_RERANKED.get(setting.layout)
    if unknown in results:
        marked.append(f"the paper of {unknown} does not say whether its numbers are re-ranked")
    rows = [find(one, setting, "none") for of_seeds in results.values() for one in of_seeds]
    marked = [some_splits(rows), *dict.fromkeys(marked), revisions.describe(results)]
    device = f"one {jax.devices()[0].device_kind}"
    return (
        f"{title_of(sweep)}, {setting.title}; test split, last checkpoint, "
        f"{'mean ± sample deviation over ' * (len(sweep.seeds) > 1)}{_seeds(sweep)}; "
        f"{differences_to(BASELINE, sweep.seeds, rows)}; "
        f"{'; '.join(filter(None, [*protocols, *marked]))}; steps on {device}."
    )


def _seeds(sweep: Sweep) -> str:
    return f"{len(sweep.seeds)} seeds" if len(sweep.seeds) > 1 else "one seed"


if __name__ == "__main__":
    sys.exit(main())

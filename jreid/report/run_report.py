"""The report of a run: one page with its result, what it finds, and how to make it again."""

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from jreid import config as configs
from jreid.data.dataset import Dataset
from jreid.data.pixels import ImageError, decode
from jreid.data.table import INFRARED, VISIBLE, Table
from jreid.defaults import defaults
from jreid.errors import InputError
from jreid.evaluation.results.marks import marks, repeats_last
from jreid.files import write_text
from jreid.methods import Config
from jreid.report.charts import Chart, histogram, line_chart, scatter
from jreid.report.figures import FEWEST, project
from jreid.report.modality_gap import BINS, KINDS, ModalityGap, modality_gap
from jreid.report.page import render
from jreid.report.ranked import CameraPair, Labeled, RankedList, camera_pairs, ranked_lists
from jreid.report.thumbnails import SHEET, THUMBNAIL, data_uri
from jreid.report.training_curves import read_metrics, training_charts
from jreid.report.words import protocol_in_words
from jreid.runs.evaluate import EmbeddedRun
from jreid.runs.pictures import Sheets
from jreid.runs.protocols import Drawn
from jreid.runs.run import Run

log = logging.getLogger(__name__)

EACH = 12  # ranked lists of the worst, of the median and of the best queries
PEOPLE = 4  # on a sheet of pictures
KEYS = ("label", "rerank")
SHOWN_PEOPLE = 10  # in the plane of t-SNE
SHOWN_IMAGES = 80  # of each of them


CAPTIONS = {
    "grad_cam": "Grad-CAM: the regions of an image that add to its embedding, from blue (little) "
    "to red (much). In an image that is blue everywhere, none does."
}


class Seen(NamedTuple):
    """The images of a run's result and what its model makes of them.

    Attributes:
        dataset: the run's dataset.
        drawn: its first protocol on the test split.
        embedded: the embeddings of that split.
    """

    dataset: Dataset
    drawn: Drawn
    embedded: EmbeddedRun


def write_run_report(
    output: Path, run: Run, config: Config, result: Mapping[str, Any], seen: Seen | str
) -> None:
    """Writes the page.

    Args:
        result: the content of the run's `result.json`.
        seen: the images; or why they are not there: the page then says so, and has the rest.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(output, run_page(run, config, result, seen))


def run_page(run: Run, config: Config, result: Mapping[str, Any], seen: Seen | str) -> str:
    """The page as HTML; arguments as `write_run_report`."""
    rows = shown_rows(result["rows"])
    content: dict[str, Any] = {
        "run": run.workdir.name or str(run.workdir),
        "config": config,
        "result": result,
        "rows": rows,
        "headline": rows[0],
        "marks": {number: marks(row) for number, row in enumerate(rows)},
        "words": {row["fingerprint"]: protocol_in_words(row) for row in rows},
        "cmc": cmc_chart(rows),
        "training": training_charts(read_metrics(run.metrics / "metrics.jsonl")),
        "differences": configs.differences(config, defaults()),
        "record": run.record(),
        "command": command_of(run.record()),
        "missing": seen if isinstance(seen, str) else "",
    }
    if not isinstance(seen, str):
        content |= _of_images(run, seen)
    return render("run.html", **content)


def shown_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows without those of a best checkpoint that is the last one."""
    return [row for row in rows if not repeats_last(row, rows)]


def cmc_chart(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """CMC of the first checkpoint: a color for each protocol, dashes for each re-ranking."""
    first = [row for row in rows if row.get("checkpoint") == rows[0].get("checkpoint")]
    labels, rerankings = ([*dict.fromkeys(row[name] for row in first)] for name in KEYS)
    lines, styles = {}, []
    for row in first:
        ranks = sorted(map(int, row["cmc"]))
        name = row["label"]
        if row["rerank"] != "none":
            name += f", re-ranked: {row['rerank'].partition('(')[0]}"
        lines[name] = (ranks, [100 * row["cmc"][str(rank)] for rank in ranks])
        styles.append((labels.index(row["label"]), rerankings.index(row["rerank"])))
    return line_chart("CMC", "rank", "queries (%)", lines, styles=styles)


def command_of(record: Mapping[str, Any]) -> str:
    """The command that made the run, as `run.json` has it; jreid without its path."""
    program, _, arguments = str(record.get("command", "")).partition(" ")
    is_jreid = Path(program).name in ("__main__.py", "jreid", "")
    return f"python {'-m jreid' if is_jreid else program} {arguments}".rstrip()


def _of_images(run: Run, seen: Seen) -> dict[str, Any]:
    """What the page shows of images."""
    dataset, drawn, embedded = seen
    table, protocol = drawn.table, drawn.protocol
    images = Labeled(embedded.last, table.identity, table.camera, table.name)
    gap = modality_gap(embedded.last, table.identity, table.modality)
    people = _People(dataset, table)
    cards: dict[str, list[dict[str, Any]]] = {}
    for one in ranked_lists(images, drawn.query_gallery, protocol, EACH):
        cards.setdefault(f"{one.group.title()} queries", []).append(people.card(one))
    plane, no_plane = _plane(embedded.last, table, people)
    pictures, no_pictures = _pictures(run, table, dataset, embedded)
    return {
        "shown_text": drawn.text,
        "several": protocol.trials > 1,
        "distance": protocol.distance,
        "lists": cards,
        "query_cameras": sorted({card["camera"] for some in cards.values() for card in some}),
        "cameras": _grid(camera_pairs(images, drawn.query_gallery, protocol)),
        "gap": gap,
        "distances": _distance_charts(gap),
        "plane": plane,
        "no_plane": no_plane,
        "pictures": pictures,
        "no_pictures": no_pictures,
    }


class _People:
    """Names, cameras and thumbnails of a Table's rows."""

    def __init__(self, dataset: Dataset, table: Table) -> None:
        self._names, self._table = dataset.names, table
        self.thumbnail = functools.cache(self._thumbnail)

    def name(self, row: int) -> str:
        identity = int(self._table.identity[row])
        return self._names.get(identity, f"{identity:04d}")

    def shot(self, row: int, kind: str, **more: Any) -> dict[str, Any]:
        """An image of a ranked list."""
        person, camera = self.name(row), int(self._table.camera[row])
        alt = f"{self._table.modality[row]} image of person {person}, camera {camera}"
        shown = {"person": person, "camera": camera, "data": self.thumbnail(row)}
        return {"kind": kind, "alt": alt, **shown, **more}

    def card(self, one: RankedList) -> dict[str, Any]:
        """A ranked list."""
        person, camera = self.name(one.row), int(self._table.camera[one.row])
        rank = f", rank {one.person_rank} if each person counts once" if one.person_rank else ""
        about = (
            f"Person {person}, camera {camera}, {self._table.modality[one.row]}. First right "
            f"image: position {one.first_match:,} of {one.gallery:,}{rank}. Average precision: "
            f"{100 * one.average_precision:.1f} %."
        )
        found = [
            self.shot(
                each.row,
                _kind(each.right),
                position=each.position,
                distance=f"{each.distance:.3f}",
            )
            for each in one.found
        ]
        return {
            "row": one.row,
            "name": str(self._table.name[one.row]),
            "camera": camera,
            "first": _kind(one.found[0].right),
            "about": about,
            "shots": [self.shot(one.row, "query"), *found],
        }

    def _thumbnail(self, row: int) -> str:
        """Data of a small JPEG; empty for an image that cannot be decoded."""
        try:
            return data_uri(Image.fromarray(decode(self._table.image[row])), THUMBNAIL)
        except ImageError:
            return ""


def _kind(right: bool) -> str:
    return "right" if right else "wrong"


class Grid(NamedTuple):
    """Rank-1 by camera pair as a table.

    Attributes:
        queries: cameras of queries, one for each row.
        gallery: cameras of the gallery, one for each column.
        cells: by (query camera, gallery camera).
    """

    queries: list[int]
    gallery: list[int]
    cells: dict[tuple[int, int], CameraPair]


def _grid(pairs: Sequence[CameraPair]) -> Grid:
    return Grid(
        sorted({pair.query_camera for pair in pairs}),
        sorted({pair.gallery_camera for pair in pairs}),
        {(pair.query_camera, pair.gallery_camera): pair for pair in pairs},
    )


def _distance_charts(gap: ModalityGap) -> list[Chart]:
    charts = []
    for where in ("within", "across"):
        kinds = [kind for kind in KINDS if kind.endswith(where) and gap.counts[kind].any()]
        if kinds:
            used = np.flatnonzero(sum(gap.counts[kind] for kind in kinds))
            bins = slice(int(used[0]), int(used[-1]) + 1)
            counts = {kind.partition(",")[0]: gap.counts[kind][bins] for kind in kinds}
            edges = BINS[bins.start : bins.stop + 1]
            title = f"Distances {where} modalities"
            charts.append(histogram(title, "cosine distance", edges, counts))
    return charts


def _plane(features: np.ndarray, table: Table, people: _People) -> tuple[Chart | None, str]:
    """t-SNE of the people with the most images; or why there is none."""
    names, counts = np.unique(table.identity, return_counts=True)
    chosen = np.sort(names[np.argsort(-counts, kind="stable")][:SHOWN_PEOPLE])
    rows = np.concatenate([_some(np.flatnonzero(table.identity == who)) for who in chosen])
    if len(rows) < FEWEST:
        return None, f"{len(rows)} images are too few to draw."
    try:
        points = project(features[rows])
    except InputError as error:
        return None, f"{error}"
    who = [people.name(row) for row in rows.tolist()]
    return scatter("People and modalities", points, who, table.modality[rows].tolist()), ""


def _some(rows: np.ndarray) -> np.ndarray:
    """At most `SHOWN_IMAGES` of the rows, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, SHOWN_IMAGES).round().astype(int))]


def _pictures(
    run: Run, table: Table, dataset: Dataset, embedded: EmbeddedRun
) -> tuple[list[dict[str, Any]], str]:
    """The sheets that the method draws; or why there are none."""
    try:
        sheets = Sheets(embedded.model, table, PEOPLE, run.pictures, dataset.names)
        drawn = sheets.images(jax.device_get(embedded.variables))
    except InputError as error:
        return [], f"{error}"
    about = f"rows are the people {', '.join(sheets.labels)}; columns are {VISIBLE} and {INFRARED}"
    return [
        {
            "name": name.replace("_", " ").capitalize(),
            "about": about,
            "caption": CAPTIONS.get(name, f"Drawn by {embedded.model.config.method}; {about}."),
            "data": data_uri(sheet, SHEET),
        }
        for name, sheet in drawn.items()
    ], ""

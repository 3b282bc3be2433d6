"""What a report shows of images: ranked lists, the modality gap, cameras, t-SNE, pictures."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from jreid.data.dataset import Dataset
from jreid.data.pixels import ImageError, decode
from jreid.data.table import Table
from jreid.datasets import INFRARED, VISIBLE
from jreid.errors import InputError
from jreid.report.charts import Chart, histogram, scatter
from jreid.report.modality_gap import BINS, KINDS, ModalityGap, modality_gap
from jreid.report.ranked import CameraPair, Labeled, RankedList, camera_pairs, ranked_lists
from jreid.report.thumbnails import SHEET, THUMBNAIL, data_uri
from jreid.report.tsne import FEWEST, project
from jreid.runs.evaluate import EmbeddedRun
from jreid.runs.pictures import Sheets
from jreid.runs.protocols import Drawn
from jreid.runs.run import Run

EACH = 12  # ranked lists of the worst, of the median and of the best queries
PEOPLE = 4  # on a sheet of pictures
SHOWN_PEOPLE = 10  # in the plane of t-SNE
SHOWN_IMAGES = 80  # of each of them
TITLES = {"grad_cam": "Grad-CAM"}
CAPTIONS = {
    "grad_cam": "The regions of an image that add to its embedding, from blue (little) "
    "to red (much). In an image that is blue everywhere, none does. IDKL has two: the regions "
    "that speak for the most likely training identity, in its shared and its specific branch."
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


def image_sections(run: Run, seen: Seen) -> dict[str, Any]:
    """The content of these sections for the template."""
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
            "name": TITLES.get(name, name.replace("_", " ").capitalize()),
            "about": about,
            "caption": CAPTIONS.get(name, f"Drawn by {embedded.model.config.method}; {about}."),
            "data": data_uri(sheet, SHEET),
        }
        for name, sheet in drawn.items()
    ], ""

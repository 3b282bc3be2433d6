"""Sheets of a method's pictures of a few people, such as attention maps or generated images."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jreid.data.contact_sheet import FONT_SIZE, margin_for, shortened
from jreid.data.dataset import Dataset
from jreid.data.table import Table
from jreid.datasets import MODALITIES
from jreid.distributed.processes import on_main_process
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.files import write_whole
from jreid.methods import Variables
from jreid.runs.chosen import checkpoint_variables
from jreid.runs.run import Run

PEOPLE = 8  # on a sheet that training saves
HEIGHT = 96  # up to which small pictures are enlarged, in pixels
MARGIN, HEADER, GAP = 44, 20, 4  # for the people's names, for the modalities, and between pictures

Pixels = UInt8[np.ndarray, "n h w 3"]


class Sheets:
    """Draws each kind of picture on its own sheet: people by row, modalities by column.

    A visible and an infrared image of a person are side by side, each with the method's pictures of
    it. The images depend only on the Table, so the sheets of all steps and runs show the same ones.

    Attributes:
        labels: of the people, one for each row.
    """

    def __init__(
        self,
        model: Model,
        table: Table,
        people: int,
        folder: Path,
        names: Mapping[int, str] = {},
    ) -> None:
        """
        Args:
            model: of the method that draws.
            table: the images to choose from.
            people: the largest number to draw.
            folder: of the sheets.
            names: labels of people in place of their numbers.

        Raises:
            InputError: no person has images of both modalities.
        """
        self._model, self._folder = model, folder
        rows = _same_people(table, people)
        shown = table.identity[rows[MODALITIES[0]]].tolist()
        self.labels = [shortened(names.get(person, f"{person:04d}")) for person in shown]
        self._shown = {modality: table.take(rows[modality]) for modality in MODALITIES}
        self._functions: Mapping[str, Callable[..., Any]] = {
            name: jax.jit(function, static_argnums=2)
            for name, function in model.method.pictures.items()
        }

    def draw(self, variables: Variables, step: int) -> list[Path]:
        """Writes a PNG for each picture, `NAME_step_000123.png`, and returns their paths.

        A sheet leaves out a modality that has no such picture. Of several processes the first one
        draws.

        Raises:
            InputError: the method draws no picture with this config; the error gives the reason.
        """
        alone = jax.device_get(variables)  # on the mesh all processes would have to take part
        paths = on_main_process(lambda: [*map(str, self._draw(alone, step))])
        return [*map(Path, paths)]

    def _draw(self, variables: Variables, step: int) -> list[Path]:
        written = []
        for name, sheet in self.images(variables).items():
            path = self._folder / f"{name}_step_{step:06d}.png"
            write_whole(path, partial(sheet.save, format="png"))
            written.append(path)
        return written

    def images(self, variables: Variables) -> dict[str, Image.Image]:
        """The sheet of each picture by name, drawn by this process alone.

        Args:
            variables: on the host, or on devices that this process has.

        Raises:
            InputError: as `draw`.
        """
        sheets, refused = {}, []
        for name, function in self._functions.items():
            columns = {}
            for modality, shown in self._shown.items():
                images = self._model.decode(shown.image.tolist(), shown.name.tolist(), modality)
                try:
                    values = np.asarray(function(variables, images, modality))
                except InputError as error:
                    refused.append(error)
                else:
                    columns[modality] = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
            if columns:
                sheets[name] = _sheet(columns, self.labels)
        if refused and not sheets:
            raise refused[0]
        return sheets


def draw_run(
    run: Run, model: Model, dataset: Dataset, split: str, kind: str, people: int
) -> list[Path]:
    """Draws the sheets of a run's checkpoint for people of a split; returns their paths.

    Raises:
        InputError: no such checkpoint, no people in the split, or as `Sheets`.
    """
    table = dataset.table.of_split(split)
    sheets = Sheets(model, table, people, run.pictures, dataset.names)
    variables, checkpoint = checkpoint_variables(model, run, kind)
    return sheets.draw(variables, checkpoint["step"])


def _same_people(table: Table, people: int) -> dict[str, np.ndarray]:
    """By modality, a row of the Table for each person; the people are evenly spread."""
    rows = {
        modality: np.flatnonzero(table.modality == modality)[
            np.argsort(table.name[table.modality == modality], kind="stable")
        ]
        for modality in MODALITIES
    }
    seen = [set(table.identity[rows[modality]].tolist()) for modality in MODALITIES]
    both = np.array(sorted(set.intersection(*seen)))
    if not len(both):
        raise InputError("no person has images of both modalities; choose another --split.")
    chosen = both[np.linspace(0, len(both) - 1, min(people, len(both))).round().astype(int)]
    return {
        modality: np.array([here[table.identity[here] == person][0] for person in chosen])
        for modality, here in rows.items()
    }


def _sheet(columns: Mapping[str, Pixels], labels: list[str]) -> Image.Image:
    """One row for each person, one column for each modality."""
    factor = max(1, HEIGHT // max(values.shape[1] for values in columns.values()))
    large = {
        modality: values.repeat(factor, axis=1).repeat(factor, axis=2)
        for modality, values in columns.items()
    }
    height = max(values.shape[1] for values in large.values()) + GAP
    margin = margin_for(labels, MARGIN)
    width = margin + sum(values.shape[2] + GAP for values in large.values())
    sheet = Image.new("RGB", (width, HEADER + len(labels) * height), "white")
    draw, font, x = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE), margin
    for row, label in enumerate(labels):
        draw.text((4, HEADER + row * height), label, "black", font)
    for modality, values in large.items():
        draw.text((x, 2), modality, "black", font)
        for row, picture in enumerate(values):
            sheet.paste(Image.fromarray(picture), (x, HEADER + row * height))
        x += values.shape[2] + GAP
    return sheet

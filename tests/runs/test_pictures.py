"""Sheets of pictures: whom they show, of which methods, and what cannot be drawn."""

from typing import Any

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.variables import filled, shapes
from PIL import Image

from jreid.config import load
from jreid.datasets import MODALITIES
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.runs.pictures import Sheets


def model_of(method, *flags):
    return Model(load(f"{ROOT}/configs/{method}.py:tiny", [f"--config.{flag}" for flag in flags]))


def only(model, *names):
    """The model with these pictures of its method alone."""
    pictures = {name: model.method.pictures[name] for name in names}
    model.method = model.method._replace(pictures=pictures)
    return model


def variables_of(model) -> Any:
    return filled(shapes(model.method, model.config.image.size))


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("agw", ["grad_cam"]),
        ("pfanet", ["generated", "cycle"]),
        ("pfinet", ["responses"]),
        ("base_derivative", ["derived", "channels", "differences"]),
    ],
)
def test_every_picture_of_a_method_has_a_sheet(method, names, tiny_dataset, tmp_path):
    """Each has `grad_cam`, too, which takes long to compile: AGW's stands for all."""
    model = model_of(method)
    assert [*dict.fromkeys(["grad_cam", *names])] == [*model.method.pictures]
    sheets = Sheets(only(model, *names), tiny_dataset.table, 2, tmp_path)
    paths = sheets.draw(variables_of(model), 7)
    assert paths == [tmp_path / f"{name}_step_000007.png" for name in names]
    for path in paths:
        pixels = np.asarray(Image.open(path))
        assert pixels.std() > 10


def test_a_sheet_shows_the_same_people_in_both_modalities(tiny_dataset, tmp_path):
    """`generated` of 32 x 16 images, enlarged thrice: image and its translation, twice a row."""
    table, model = tiny_dataset.table, model_of("pfanet")
    sheets = Sheets(only(model, "generated"), table, 3, tmp_path)
    (path,) = sheets.draw(variables_of(model), 0)
    sheet = np.asarray(Image.open(path))
    people = np.unique(table.identity)
    chosen = [int(people[i]) for i in (0, round((len(people) - 1) / 2), len(people) - 1)]
    for row, identity in enumerate(chosen):
        for column, modality in enumerate(MODALITIES):
            mine = (table.identity == identity) & (table.modality == modality)
            first = np.flatnonzero(mine)[np.argsort(table.name[mine])[0]]
            pixels = model.decode([table.image[first]], [table.name[first]], modality)
            unit = pixels[0] * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]
            y, x = 20 + row * (96 + 4), 44 + column * (2 * 48 + 4)
            shown = sheet[y : y + 96 : 3, x : x + 48 : 3]
            np.testing.assert_allclose(shown, 255 * np.clip(unit, 0, 1), atol=1)


def test_a_modality_without_a_picture_is_left_out(tiny_dataset, tmp_path):
    flags = (
        "base_derivative.modalities=('visible','infrared','derived_infrared')",
        "base_derivative.pairs=(('visible','infrared'),)",
    )
    model = model_of("base_derivative", *flags)
    sheets = Sheets(only(model, "derived"), tiny_dataset.table, 1, tmp_path)
    paths = sheets.draw(variables_of(model), 0)
    assert Image.open(paths[0]).size == (44 + 2 * 48 + 4, 20 + 96 + 4)


def test_people_keep_their_names(tiny_dataset, tmp_path):
    model, table = model_of("pfanet"), tiny_dataset.table
    names = dict.fromkeys(table.identity.tolist(), "Ada Lovelace")
    sheets = Sheets(only(model, "generated"), table, 1, tmp_path, names)
    (path,) = sheets.draw(variables_of(model), 0)
    named = np.asarray(Image.open(path))
    wider = named.shape[1] - (44 + 2 * (2 * 48 + 4))
    assert wider > 20
    assert (named[20:116, 44 : 44 + wider] < 128).any()


def test_what_cannot_be_drawn_is_reported(tiny_dataset, tmp_path):
    table = tiny_dataset.table
    one = table.take(table.modality == MODALITIES[0])
    with pytest.raises(InputError, match="both modalities"):
        Sheets(model_of("pfinet"), one, 1, tmp_path)
    baseline = only(model_of("pfinet", "pfinet.pyramid=none"), "responses")
    sheets = Sheets(baseline, table, 1, tmp_path)
    with pytest.raises(InputError, match="pyramid=none has no responses"):
        sheets.draw(variables_of(baseline), 0)
    assert not [*tmp_path.iterdir()]

"""What an evaluation will ask for is checked before the first step, with the field's name."""

import numpy as np
import pytest
from helpers.paths import ROOT

from jreid import config as configs
from jreid.data.dataset import Dataset
from jreid.data.table import Table
from jreid.errors import InputError
from jreid.runs.check_config import check_config
from jreid.runs.protocols import draw_protocols


def dataset(people, images):
    """A test split of so many people and images of each a modality."""
    identity = np.repeat(np.arange(people), 2 * images)
    modality = np.tile(np.repeat(["visible", "infrared"], images), people)
    count = len(identity)
    table = Table(
        name=np.array([f"{row}" for row in range(count)]),
        identity=identity,
        camera=np.where(modality == "visible", 1, 2),
        modality=modality,
        image=np.array([b""] * count, object),
        split=np.full(count, "test"),
    )
    return Dataset(table, {}, "0" * 64)


def config(**evaluation):
    loaded = configs.load(f"{ROOT}/configs/agw.py:folder")
    loaded.evaluation.update(evaluation)
    return loaded


@pytest.mark.fault("B1")
@pytest.mark.parametrize(
    ("rerank", "parameter"),
    [
        ("standard", "k1=20"),
        ("query_only:k1=6,k2=2", "k1=6"),
    ],
)
def test_a_re_ranking_that_the_images_do_not_allow(rerank, parameter):
    asked = config(rerank=("none", rerank))
    check_config(asked)
    with pytest.raises(InputError, match=r"config\.evaluation\.rerank: k1 of .*" + parameter):
        draw_protocols(asked, dataset(people=3, images=2))


@pytest.mark.fault("B1")
def test_the_remedies_that_are_named_do():
    small = dataset(people=3, images=2)
    assert draw_protocols(config(rerank=("standard:k1=11",)), small).test
    assert draw_protocols(config(rerank=("none",)), small).test


@pytest.mark.fault("B1")
@pytest.mark.parametrize(
    "field",
    [
        "protocols=llcm:trials=0",
        "evaluation.batch_size=0",
        "protocols=folder:direction=sideways",
        "protocols=folder:cmc=rank",
        "protocols=folder:distance=manhattan",
        "evaluation.rerank=('twice',)",
        "evaluation.rerank=standard:k1=5,k2=7",
        "evaluation.rerank=standard:lambda=1.5",
        "image.flip_probability=1.5",
        "image.erase_probability=-0.5",
        "image.padding_fill=256",
        "image.erase_area=(0.2, 0.1)",
        "image.erase_area=(0.2,)",
        "image.erase_ratio=(0.0, 1.0)",
    ],
)
def test_what_no_dataset_allows(field):
    name = field.partition("=")[0]
    with pytest.raises(InputError, match=name.rpartition(".")[2].removesuffix("s")):
        check_config(configs.load(f"{ROOT}/configs/agw.py:folder", [f"--config.{field}"]))

"""The quickstart at its own size: its numbers tell methods apart on the synthetic dataset."""

import json

import numpy as np
import pytest
from helpers.paths import ROOT

from jreid.__main__ import main
from jreid.config import read
from jreid.data.dataset import Source, load
from jreid.engine.model import Model
from jreid.evaluation import cmc_map
from jreid.runs.checkpoints import Checkpoints
from jreid.synthetic.synthesize import synthesize


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """A function from a run's name and flags to its working directory."""
    folder = tmp_path_factory.mktemp("quickstart")
    synthesize(folder / "synthetic")

    def train(name, *flags):
        places = [f"--config.data.folder={folder}/synthetic", f"--config.data.prepared={folder}/p"]
        arguments = [f"--config={ROOT}/configs/agw.py:synthetic", *places, *flags]
        assert main(["train", *arguments, f"--workdir={folder / name}"]) == 0
        return folder / name

    return train


def rank1(workdir):
    """All search, single shot, of the last checkpoint."""
    row = json.loads((workdir / "result.json").read_text())["rows"][0]
    assert (row["checkpoint"], row["protocol"]["search"], row["protocol"]["shots"]) == (
        "last",
        "all",
        1,
    )
    return row["cmc"]["1"]


def rank1_within(workdir, modality):
    """Of each test image among the others' first images, from other cameras of its modality."""
    config = read(workdir / "config.json")
    source = Source("synthetic", "sysu_mm01", workdir.parent / "synthetic")
    table = load(source, workdir.parent / "p").table
    table = table.take((table.split == "test") & (table.modality == modality))
    model = Model(config)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        variables = checkpoints.restore_variables(
            checkpoints.latest, model.shapes(), model.sharding
        )
    images, names = table.image.tolist(), table.name.tolist()
    features = model.embed(variables, images, names, modality)
    first = np.array([name.endswith("/0001") for name in names])
    ranking = cmc_map(
        features, features[first], table.identity, table.identity[first],
        table.camera, table.camera[first],
    )  # fmt: skip
    return (ranking.rank[ranking.matches > 0] == 1).mean()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_dataset_is_neither_too_easy_nor_too_hard(quickstart):
    trained = quickstart("trained")
    across = rank1(trained)
    assert 0.3 <= across <= 0.9
    assert across >= 3 * rank1(quickstart("untrained", "--config.epochs=0"))
    assert (
        min(rank1_within(trained, modality) for modality in ("visible", "infrared")) > 1.2 * across
    )

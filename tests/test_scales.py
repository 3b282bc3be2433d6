"""Every dataset has the quickstart's scale and the long one, whatever the method."""

import functools

import numpy as np
import pytest

from jreid import config as configs
from jreid.data.samplers import Plan
from jreid.data.table import Table
from jreid.runs.check_config import check_config
from jreid.synthetic.layouts import PRESETS, plan_sysu_mm01

METHODS = ("agw", "base_derivative", "idkl", "mutual_prediction", "pfanet", "pfinet")
SYNTHETIC = {
    "sysu_mm01": "synthetic",
    "regdb": "synthetic_regdb",
    "llcm": "synthetic_llcm",
    "mp_reid": "synthetic_mp_reid",
    "folder": "synthetic",
}
# PFANet counts its epochs by the identities of the dataset.
LENGTHS = ("epochs", "optimizer.milestones", "pfanet.")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dataset", SYNTHETIC)
def test_a_dataset_at_the_small_scale_is_trained_as_the_synthetic_one(method, dataset):
    small = configs.load(f"{method}:{dataset},small")
    check_config(small)
    of_data = ("data.", "protocols", *(LENGTHS if method == "pfanet" else ()))
    differing = [
        difference
        for difference in configs.differences(small, configs.load(f"{method}:{SYNTHETIC[dataset]}"))
        if not difference.field.startswith(of_data)
    ]
    assert not differing
    assert small.weights == "none" and small.cpu_threads == 2
    assert small.data.name == small.data.layout == dataset
    full = configs.load(f"{method}:{dataset}")
    assert full.weights == "imagenet" and full.epochs > small.epochs
    assert full.data == small.data
    long = configs.load(f"{method}:{dataset},long")
    check_config(long)
    differing = configs.differences(long, configs.load(f"{method}:{SYNTHETIC[dataset]},long"))
    assert not [one for one in differing if not one.field.startswith(("data.", "protocols"))]


@functools.cache
def training_table():
    """The training rows of the synthetic dataset, without images."""
    rows = [shot.row for shot in plan_sysu_mm01(PRESETS["default"]["sysu_mm01"], 0).shots]
    rows = [row for row in rows if row.split == "train"]
    names = ("name", "identity", "camera", "modality", "split")
    columns = (np.array([getattr(row, name) for row in rows]) for name in names)
    return Table(*columns, image=np.full(len(rows), b"", object))


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_see_the_same_number_of_images_at_the_long_scale(method):
    small, long = (configs.load(f"{method}:synthetic{scale}") for scale in ("", ",long"))
    batch = long.batch
    plan = Plan(batch.sampler, training_table(), batch.identities, batch.images, 0, long.epochs)
    images = plan.steps * 2 * batch.identities * batch.images
    assert images == pytest.approx(1800 * 64, rel=0.03)
    differing = {one.field for one in configs.differences(small, long)}
    schedule = ("epochs", "warmup_epochs", "warmup_initial", "milestones", "every_epochs")
    schedule += ("optimizer.learning_rate",)  # chosen for each method by the same number of tries
    schedule += ("warm_ups.features", "warm_ups.generation")
    schedule += ("backbone.split_stages",)  # separate stems are worse in a training that is long
    # With one stem Base-Derivative's generator dies otherwise.
    schedule += ("generator.input", "generator.weight_init", "optimizer.lr_multipliers")
    assert {field for field in differing if not field.endswith(schedule)} == set()


@pytest.mark.parametrize("method", METHODS)
def test_the_rate_rises_for_a_tenth_and_falls_twice_at_the_long_scale(method):
    config = configs.load(f"{method}:synthetic,long")
    # PFANet's rate falls within its last phase, which is the one that trains everything.
    start = config.pfanet.warm_ups.generation if method == "pfanet" else 0
    falls = (np.array(config.optimizer.milestones) - start) / (config.epochs - start)
    np.testing.assert_allclose(falls, [0.7, 0.9], atol=0.02)
    assert config.optimizer.warmup_epochs / config.epochs == pytest.approx(0.1, abs=0.02)
    assert config.optimizer.warmup_initial == 0.1
    if method == "pfanet":
        for player in (config.pfanet.generator, config.pfanet.discriminator):
            assert player.optimizer.milestones == config.optimizer.milestones

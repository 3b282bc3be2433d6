"""Every dataset has the quickstart's scale, whatever the method."""

import pytest

from jreid import config as configs
from jreid.runs.check_config import check_config

METHODS = ("agw", "base_derivative", "idkl", "mutual_prediction", "pfanet", "pfinet")
SYNTHETIC = {
    "sysu_mm01": "synthetic",
    "regdb": "synthetic_regdb",
    "llcm": "synthetic_llcm",
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

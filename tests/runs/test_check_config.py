"""Numbers of a config by which a run would never end, or would take all memory."""

import json

import pytest
from helpers.paths import ROOT

from jreid import config as configs
from jreid.errors import InputError
from jreid.runs.check_config import check_config
from jreid.runs.embed import embed_folder
from jreid.runs.run import Run

METHODS = ("agw", "idkl", "pfanet", "pfinet", "base_derivative", "mutual_prediction")


@pytest.mark.fault("B7")
@pytest.mark.parametrize("method", METHODS)
def test_no_whole_number_of_a_config_may_be_a_billion(method):
    config = configs.load(f"{ROOT}/configs/{method}.py:tiny")
    check_config(config)
    checked = 0
    for field, value in configs.flat(config.to_dict()).items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if field == "seed" or not (whole or (isinstance(value, tuple) and value)):
            continue
        if not whole and not all(type(item) is int for item in value):
            continue
        large = 10**9 if whole else (10**9,) * len(value)
        changed = configs.override(config, [f"--config.{field}={large}"])
        with pytest.raises(InputError, match=rf"^config\.{field}="):
            check_config(changed)
        checked += 1
    assert checked > 20


@pytest.mark.fault("B7")
@pytest.mark.parametrize("field", ["evaluation.batch_size=900000", "batch.identities=900000"])
def test_a_batch_that_memory_cannot_hold_is_refused(field):
    flags = ["--config.image.size=(512,256)", "--config.batch.images=8", f"--config.{field}"]
    with pytest.raises(InputError, match=rf"^config\.{field} .* this machine has [\d,]+ GB"):
        check_config(configs.load(f"{ROOT}/configs/agw.py:tiny", flags))


@pytest.mark.fault("B7")
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_not_finite_is_refused(value):
    flag = f"optimizer.learning_rate={value}"
    with pytest.raises(InputError, match=rf"config\.{flag.partition('=')[0]} .* finite"):
        check_config(configs.load(f"{ROOT}/configs/agw.py:tiny", [f"--config.{flag}"]))


@pytest.mark.fault("B7")
def test_a_runs_own_config_is_checked_before_it_embeds(tmp_path):
    config = configs.load(f"{ROOT}/configs/agw.py:tiny").to_dict()
    config["evaluation"]["batch_size"] = 10**9
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"config\.evaluation\.batch_size=1000000000"):
        embed_folder(Run(tmp_path), "last", tmp_path, "visible", tmp_path / "x.npz")


@pytest.mark.fault("B7")
@pytest.mark.timeout(30)
def test_a_pipe_among_images_is_not_waited_for(tmp_path):
    import os

    from jreid.data.images import read_images
    from jreid.data.layouts.layout import Row

    os.mkfifo(tmp_path / "a.jpg")
    rows = [Row("a", 1, 1, "visible", "test", tmp_path / "a.jpg")]
    (image,) = read_images(rows)
    assert image.fault == "is not a regular file"

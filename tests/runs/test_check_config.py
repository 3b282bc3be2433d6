"""Numbers of a config by which a run would never end, and lists of people that do not exist."""

import json
import sys
from types import ModuleType

import pytest
from helpers.paths import ROOT

from jreid import config as configs
from jreid.data.layouts.layout import Listing
from jreid.datasets import Setting
from jreid.errors import InputError
from jreid.runs.check_config import check_config
from jreid.runs.embed import embed_folder
from jreid.runs.protocols import protocols
from jreid.runs.run import Run, source_of

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


def test_the_setting_of_a_dataset_reaches_its_layout_and_its_protocols():
    config = configs.load("agw:mp_reid,experiment=uav_ir_cctv_rgb")
    check_config(config)
    assert source_of(config).setting == "uav_ir_cctv_rgb"
    (protocol,) = protocols(config, "test")
    assert (protocol.experiment, protocol.query_cameras) == ("uav_ir_cctv_rgb", (14,))
    assert source_of(configs.load("agw:regdb,trial=3")).setting == 3
    assert source_of(configs.load("agw:llcm")).setting == 0
    on_llcm = configs.with_data(config, "llcm")
    check_config(on_llcm)
    assert "experiment" not in on_llcm.data
    check_config(configs.with_data(on_llcm, "mp_reid"))


@pytest.mark.parametrize(
    ("name", "flag", "message"),
    [
        ("regdb", "data.split_number=11", r"config\.data\.split_number=11 .* 1 to 10"),
        ("regdb", "data.split_number=0", r"config\.data\.split_number=0 .* 1 to 10"),
        ("llcm", "data.split_number=1", r"config\.data\.split_number=1 .* llcm has none"),
        ("mp_reid", "data.split_number=1", "mp_reid has none"),
        ("mp_reid", "data.experiment=cctv_ir_uav_ir", "experiment=cctv_ir_uav_ir.*one modality"),
        ("folder", "data.layout=mp_reid", r"config\.data\.experiment is missing"),
        (
            "mp_reid",
            "protocols=mp_reid:experiment=uav_ir_uav_rgb",
            r"config\.protocols: .*uav_ir_uav_rgb, but the dataset has .*=cctv_ir_cctv_rgb",
        ),
    ],
)
def test_lists_of_people_that_the_dataset_does_not_have(name, flag, message):
    with pytest.raises(InputError, match=message):
        check_config(configs.load(f"agw:{name}", [f"--config.{flag}"]))


def test_an_outside_layout_declares_its_setting(monkeypatch):
    layout = ModuleType("lab_of_settings.seasons")
    layout.list_images = lambda folder, setting: Listing([], [])
    monkeypatch.setitem(sys.modules, "lab_of_settings", ModuleType("lab_of_settings"))
    monkeypatch.setitem(sys.modules, layout.__name__, layout)
    config = configs.load("agw:folder")
    config.unlock()
    config.data.layout, config.protocols = layout.__name__, ("folder",)
    check_config(config)
    layout.SETTING = Setting("split_number", range(1, 5), "trial")
    with pytest.raises(InputError, match="split_number=0 cannot be used: it must be 1 to 4"):
        check_config(config)
    config.data.split_number = 4
    check_config(config)
    assert source_of(config).setting == 4
    config.data.split_number, config.data.season = 0, "fall"
    layout.SETTING = Setting("season", ("summer", "winter"), "season")
    with pytest.raises(InputError, match=r"season=fall .* one of summer, winter"):
        check_config(config)
    config.data.season = "winter"
    assert source_of(config).setting == "winter"
    layout.SETTING = "season"
    with pytest.raises(InputError, match=r"SETTING of lab_of_settings.*Setting"):
        check_config(config)


@pytest.mark.parametrize(
    ("flag", "allowed"),
    [
        ("pfanet backbone.bng.reduction=0", "at least 1"),
        ("pfanet backbone.mmm.reduction=0", "at least 1"),
        ("pfanet pfanet.embedding=0", "at least 1"),
        ("pfanet pfanet.classifier.width=0", "at least 1"),
        ("pfanet pfanet.generator.residual_blocks=-1", "at least 0"),
        ("pfanet pfanet.classifier.dropout=2.0", "from 0 to below 1"),
        ("idkl idkl.head.hidden=0", "at least 1"),
        ("idkl idkl.head.dropout=1.5", "from 0 to below 1"),
        ("agw backbone.width=0", "at least 1"),
        ("agw optimizer.warmup_epochs=-1", "at least 0"),
        ("agw optimizer.betas=(0.9,0.99,0.1)", "two numbers"),
        ("agw optimizer.betas=(0.9,1.0)", "from 0 to below 1"),
    ],
)
def test_a_number_below_its_least_is_refused(flag, allowed):
    method, flag = flag.split()
    config = configs.load(f"{ROOT}/configs/{method}.py:tiny", [f"--config.{flag}"])
    field = flag.partition("=")[0]
    with pytest.raises(InputError, match=rf"^config\.{field}=.* {allowed}\.$"):
        check_config(config)

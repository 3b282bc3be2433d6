import json
import re
import sys
import types

import pytest
from helpers.paths import ROOT

from jreid import config as configs
from jreid.config import read_argument
from jreid.errors import InputError

AGW = f"{ROOT}/configs/agw.py"


def test_argument_names_the_dataset():
    assert configs.load(f"{AGW}:sysu_mm01").data.identities == 395
    assert configs.load(f"{AGW}:synthetic").data.identities == 120
    assert configs.load(AGW).data.name == "sysu_mm01"


def test_overrides_keep_the_types_of_fields():
    config = configs.load(
        f"{AGW}:synthetic",
        ["--config.batch.images=2", "--config.image.size=(64,32)", "--config.backbone.ibn"],
    )
    assert config.batch.images == 2
    assert config.image.size == (64, 32)
    assert config.backbone.ibn is True


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.optimizer.learning_rat=1", "did you mean config.optimizer.learning_rate"),
        ("--config.nothing.like.it=1", "not a config field"),
        ("--config.epochs=1.5", "1.5"),
        ("--config.epochs", "config.epochs"),
        ("--config.data=synthetic", "config.data is a group"),
        ("--config.image.size=(3,", "config.image.size"),
        ("--confi.epochs=3", "not understood"),
    ],
)
def test_bad_flags_are_named(flag, message):
    with pytest.raises(InputError, match=r".") as error:
        configs.load(f"{AGW}:synthetic", [flag])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_sources_are_named(tmp_path):
    with pytest.raises(InputError, match="not a config file"):
        configs.load("configs/nothing.py")
    with pytest.raises(InputError, match="sysu_mm01"):
        configs.load(f"{AGW}:market1501")
    broken = tmp_path / "configs" / "broken.py"
    broken.parent.mkdir()
    broken.write_text("def get_config(:\n")
    with pytest.raises(InputError, match="does not load"):
        configs.load(str(broken))


def test_loaded_config_is_locked():
    with pytest.raises(AttributeError, match="epochs"):
        configs.load(f"{AGW}:tiny").epoch = 3


def test_json_gives_the_same_config_back(tmp_path):
    config = configs.load(
        f"{AGW}:tiny", ["--config.optimizer.lr_multipliers=(('backbone/.*', 0.1),)"]
    )
    (tmp_path / "config.json").write_text(configs.to_text(config))
    again = configs.read(tmp_path / "config.json")
    assert configs.differences(config, again) == []
    assert again.optimizer.lr_multipliers == (("backbone/.*", 0.1),)


def own_config(folder, value):
    """A config file with a field of its own."""
    file = folder / "own.py"
    file.write_text(
        "from pathlib import Path\nimport numpy as np\nfrom jreid.config import defaults\n"
        "def get_config(argument='tiny'):\n    config = defaults(argument)\n"
        f"    config.mine = {{'field': {value}}}\n    return config\n"
    )
    return str(file)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Path('x')", "mine.field is a PosixPath; use text, a number, a boolean, a tuple or None."),
        ("np.float32(0.1)", "mine.field is a float32; use text"),
        ("{1, 2}", "mine.field is a set; use text"),
        ("(1, (2, b'x'))", "mine.field[1][1] is a bytes; use text"),
        ("{'deep': Path('x')}", "mine.field.deep is a PosixPath; use text"),
        ("{1: 2}", "mine.field has the field 1, whose name is not a text."),
        ("(1.0, float('inf'))", "mine.field[1] is inf; use a finite number."),
    ],
)
def test_a_value_that_json_does_not_have_is_named(value, message, tmp_path):
    own = own_config(tmp_path, value)
    with pytest.raises(InputError) as error:
        configs.load(own)
    assert str(error.value).startswith(f"--config={own}: config.{message}")


def test_a_value_of_a_flag_that_json_does_not_have_is_named(tmp_path):
    own = configs.load(own_config(tmp_path, "(1, 2)"))
    with pytest.raises(InputError, match=r"^config\.mine\.field\[0\] is a set; use text"):
        configs.override(own, ["--config.mine.field=({1},)"])


@pytest.mark.parametrize(
    "value", ["[1, [2, (3, [4])]]", "None", "(None, 'a')", "[{'a': [1]}]", "np.float64(0.1)", "{}"]
)
def test_the_same_command_is_no_other_config_than_the_runs(value, tmp_path):
    config = configs.load(own_config(tmp_path, value))
    (tmp_path / "config.json").write_text(configs.to_text(config))
    assert configs.differences(config, configs.read(tmp_path / "config.json")) == []


@pytest.mark.parametrize("flag", ["tracker=wandb", "data.cache=resized"])
def test_fields_that_change_no_number_change_no_hash(flag):
    ours = configs.load(f"{AGW}:tiny")
    theirs = configs.load(f"{AGW}:tiny", [f"--config.{flag}"])
    assert configs.digest(ours) == configs.digest(theirs)
    assert configs.differences(ours, theirs) == []


def test_differences_name_fields_and_values():
    ours, theirs = (configs.load(f"{AGW}:tiny", [f"--config.seed={seed}"]) for seed in (1, 2))
    assert [*map(str, configs.differences(ours, theirs))] == ["seed: 1, 2"]


def test_another_place_of_the_data_is_no_difference():
    ours, theirs = (configs.load(f"{AGW}:tiny", [f"--config.data.folder={x}"]) for x in "ab")
    assert configs.differences(ours, theirs) == []


@pytest.mark.parametrize(
    ("argument", "dataset", "scale", "trial", "variant"),
    [
        ("llcm", "llcm", "full", 0, "paper"),
        ("regdb", "regdb", "full", 1, "paper"),
        ("regdb,trial=3,variant=code", "regdb", "full", 3, "code"),
        ("mp_reid", "mp_reid", "full", "cctv_ir_cctv_rgb", "paper"),
        ("experiment=uav_ir_cctv_rgb,mp_reid", "mp_reid", "full", "uav_ir_cctv_rgb", "paper"),
        ("variant=code, trial=3,regdb", "regdb", "full", 3, "code"),
        ("synthetic_regdb", "synthetic_regdb", "small", 1, "paper"),
        ("tiny", "tiny", "tiny", 0, "paper"),
        ("small", "sysu_mm01", "small", 0, "paper"),
        ("folder,small", "folder", "small", 0, "paper"),
        ("long,synthetic,variant=code", "synthetic", "long", 0, "code"),
    ],
)
def test_an_argument_is_words_between_commas(argument, dataset, scale, trial, variant):
    words = read_argument(argument, variant=("paper", "code"))
    assert words == (dataset, scale, trial, {"variant": variant})
    assert read_argument(words) is words


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("regbd", "'regbd' is neither a dataset nor a scale; did you mean regdb?"),
        ("llcm,smal", "did you mean small?"),
        ("llcm,variant=both", "Choices: paper, code"),
        ("llcm,variant=", "Choices: paper, code"),
        ("llcm,variant=code,variant=paper", "gives the variant twice: code and paper"),
        ("llcm,regdb", "gives the dataset twice: llcm and regdb"),
        ("llcm,trial=1", "has trial=, which only RegDB has, not llcm"),
        ("regdb,trial=one", "trial=one cannot be used: it must be 1 to 10"),
        ("regdb,trial=11", "trial=11 cannot be used: it must be 1 to 10"),
        ("mp_reid,trial=1", "has trial=, which only RegDB has, not mp_reid"),
        ("mp_reid,experiment=uav", "must be one of cctv_ir_cctv_rgb, uav_ir_uav_rgb"),
        ("mp_reid,experiment=cctv_ir_uav_ir", "it compares images of one modality"),
        ("regdb,trail=1", "did you mean trial=?"),
        ("llcm,", "'' is neither a dataset"),
    ],
)
def test_a_word_of_an_argument_that_is_not_understood_is_named(argument, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_argument(argument, variant=("paper", "code"))


def test_an_option_that_another_config_has_is_refused():
    with pytest.raises(InputError, match=r"--config=agw:sysu_mm01,variant=code: .*variant=code"):
        configs.load("agw:sysu_mm01,variant=code")


def test_jreids_own_configs_have_names_in_every_directory(tmp_path, monkeypatch):
    here = tmp_path / "a folder"
    here.mkdir()
    (here / "agw").write_text("not this one")
    (here / "mine.py").write_text(
        "from jreid.config import defaults\n\n\ndef get_config(argument='tiny'):\n"
        "    return defaults(argument)\n"
    )
    monkeypatch.chdir(here)
    assert configs.load("agw:tiny").image.size == (32, 16)
    assert configs.load("agw").data.name == "sysu_mm01"
    assert configs.load("mine.py").data.name == "tiny"
    monkeypatch.chdir(tmp_path)
    assert configs.load("a folder/mine.py:llcm").data.name == "llcm"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("awg:tiny", "--config=awg does not exist; did you mean agw? Choices: agw, base_"),
        ("configs/pfinnet.py", "--config=pfinet:synthetic"),
    ],
)
def test_the_right_name_is_given_for_a_wrong_one(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(message)):
        configs.load(source)


@pytest.mark.fault("C5")
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def get_config(argument=''):\n    return {}['no']", "KeyError: 'no' (line 2)"),
        ("def get_config(argument=''):\n    return get_config(argument)", "RecursionError"),
        ("import no_such_module", "no_such_module"),
        ("def get_config(argument=''):\n    return {'epochs': 1}", "returns a dict"),
        ("def get_config(argument=''): pass", "returns a NoneType"),
        ("get_config = 3", "not callable"),
        ("config = {}", "get_config"),
        ("def get_config(:", "invalid syntax"),
        ("raise ValueError('a\\nb\\n')", "does not load: a b (line 1)."),
        ("class Odd(Exception): pass\nraise Odd", "Odd (line 2)"),
    ],
)
def test_a_config_file_that_fails_is_named_with_its_error(code, message, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(code)
    with pytest.raises(InputError) as error:
        configs.load(f"{file}:x")
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.fault("C5")
def test_a_planted_package_of_the_name_does_not_run(tmp_path, monkeypatch):
    planted = tmp_path / "configs"
    planted.mkdir()
    for name in ("__init__", "common"):
        (planted / f"{name}.py").write_text("raise SystemExit('planted')")
    (planted / "mine.py").write_text((ROOT / "configs" / "agw.py").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "configs"]:
        monkeypatch.delitem(sys.modules, name)
    assert configs.load("configs/mine.py:tiny").method == "agw"
    assert "configs" not in sys.modules


def test_a_config_file_leaves_other_modules_of_the_name(monkeypatch):
    theirs = types.ModuleType("configs")
    monkeypatch.setitem(sys.modules, "configs", theirs)
    assert configs.load(f"{AGW}:tiny").method == "agw"
    assert sys.modules["configs"] is theirs


def test_a_recorded_config_has_no_fields_that_pfanet_alone_has_now(tmp_path):
    now = configs.load(f"{AGW}:tiny")
    once = now.to_dict()
    once["backbone"] |= {"attention": "none", "bng": {"place": "stage"}, "mmm": {"reduction": 16}}
    (tmp_path / "config.json").write_text(json.dumps(once))
    assert configs.read(tmp_path / "config.json").to_dict() == now.to_dict()
    once["backbone"]["attention"] = "bng"
    (tmp_path / "config.json").write_text(json.dumps(once))
    with pytest.raises(InputError, match="attention"):
        configs.read(tmp_path / "config.json")


def test_a_config_of_an_earlier_version_reads_as_one_of_this(tmp_path):
    new = configs.load(f"{AGW}:regdb")
    block = {"learning_rate": 0.1, "scales": [["a", 0.1]], "decay": 0.5, "warmup_start": 0.1}
    old = {
        "data": {"trial": 3, "protocol": "sysu_mm01"},
        "batch": {"sampler": "agw"},
        "image": {"gray_visible": True},
        "evaluation": {"draw": "agw", "searches": ["all"], "shots": [1], "rerank": ["none"]},
        "optimizer": block,
        "gan": {"optimizer": block},
        "pfinet": {"transformation": {"start": "bt601"}},
        "idkl": {"purifier": {"hinge": "relu"}, "stop_gradient": False},
        "pfanet": {"gan_identities": 2},
    }
    (tmp_path / "config.json").write_text(json.dumps(old))
    read = configs.read(tmp_path / "config.json")
    assert read.data.split_number == 3
    assert (read.data.depth_range, read.data.cache) == ((), "encoded")  # fields that came later
    assert read.idkl.to_dict() == {
        "purifier": {"hinge": "relu", "epsilon": 0.0}, "stop_gradient": False, "follow_batch": False
    }  # fmt: skip
    assert read.pfinet.transformation.weight_init == "bt601"
    assert read.pfanet.to_dict() == {"gan_identities": 2, "gan_images": 0}
    assert "backbone" not in read
    assert (read.image.gray_visible, read.image.gray_infrared) == (True, False)
    assert read.batch.sampler == new.batch.sampler == "identity_uniform"
    assert read.protocols == ("sysu_mm01:search=all,shots=1,sampling=seeded",)
    assert read.evaluation.to_dict() == {"rerank": ("none",)}
    for optimizer in (read.optimizer, read.gan.optimizer):
        assert optimizer.lr_multipliers == (("a", 0.1),)
        assert (optimizer.lr_decay, optimizer.warmup_initial) == (0.5, 0.1)
    assert {*read.optimizer} < {*new.optimizer}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data.trial", "data.split_number"),
        ("optimizer.scales", "optimizer.lr_multipliers"),
    ],
)
def test_the_earlier_name_of_a_field_gets_its_name_of_today(old, new):
    with pytest.raises(InputError, match=f"did you mean config.{new}"):
        configs.load(f"{AGW}:tiny", [f"--config.{old}=1"])

"""A config of the version before protocols were texts is today's config, to the letter."""

import json

import pytest
from helpers.old_configs import as_written_before
from helpers.paths import ROOT

from jreid import config as configs
from jreid.errors import InputError

# The protocols that were in that version's configs, and what differed from its defaults.
THREE = {"rerank": ["none", "query_only", "standard"]}
TINY = {"k1": 5, "k2": 2}
REGDB = {"cmc": "identity", "distance": "euclidean"}
OLD = {
    "agw.py:sysu_mm01": ("sysu_mm01", {}),
    "agw.py:tiny": ("sysu_mm01", TINY),
    "agw.py:sysu_mm01,small": ("sysu_mm01", {}),
    "agw.py:regdb,trial=3": ("regdb", {}),
    "agw.py:llcm": ("llcm", {}),
    "agw.py:folder": ("folder", {}),
    "pfinet.py:synthetic_regdb": ("regdb", REGDB | THREE),
    "idkl.py:tiny_llcm,variant=code": ("llcm_all", TINY | THREE),
}


@pytest.mark.parametrize("source", OLD)
def test_a_recorded_config_is_todays(source, tmp_path):
    today = configs.load(f"{ROOT}/configs/{source}")
    old = as_written_before(today, *OLD[source])
    (tmp_path / "config.json").write_text(json.dumps(old))
    read = configs.read(tmp_path / "config.json")
    assert configs.differences(read, today) == [] and read.tracker == "none"
    assert configs.differences(configs.of_record(old, today), today) == []


def test_values_that_differ_from_the_defaults_are_kept(tmp_path):
    changed = {"searches": ["indoor"], "shots": [1], "sampling": "seeded", "trials": 3}
    changed |= {"rerank": ["none", "query_only"], "k1": 7, "rerank_weight": 0.25}
    config = configs.load(f"{ROOT}/configs/agw.py:sysu_mm01")
    old = as_written_before(config, "sysu_mm01", changed)
    (tmp_path / "config.json").write_text(json.dumps(old))
    read = configs.read(tmp_path / "config.json")
    assert read.protocols == ("sysu_mm01:search=indoor,shots=1,sampling=seeded,trials=3",)
    assert read.evaluation.rerank == ("none", "query_only:k1=7,lambda=0.25")


def test_a_protocol_that_never_was(tmp_path):
    config = configs.load(f"{ROOT}/configs/agw.py:sysu_mm01")
    old = as_written_before(config, "market", {})
    (tmp_path / "config.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match=r"config\.json .*data\.protocol is 'market'"):
        configs.read(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("flag", "field"),
    [
        ("evaluation.shots=(1,)", "protocols=sysu_mm01:search=all,shots=1"),
        ("evaluation.draw=agw", "protocols="),
        ("data.protocol=llcm_all", "protocols="),
        ("evaluation.k1=5", "evaluation.rerank=none,standard:k1="),
    ],
)
def test_a_field_that_is_a_text_now_says_where(flag, field):
    with pytest.raises(InputError, match=f"--config.{field}"):
        configs.load(f"{ROOT}/configs/agw.py:tiny", [f"--config.{flag}"])


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("sysu_mm01:search=all,shots=1", ("sysu_mm01:search=all,shots=1",)),
        ("mylab:market(shots=1)", ("mylab:market(shots=1)",)),
        ("('llcm','llcm_all')", ("llcm", "llcm_all")),
        ("'llcm','llcm_all'", ("llcm", "llcm_all")),
        ("llcm", ("llcm",)),
        ("()", ()),
    ],
)
def test_a_text_with_commas_needs_no_quotes_in_a_flag(flag, value):
    config = configs.load(f"{ROOT}/configs/agw.py:tiny", [f"--config.protocols={flag}"])
    assert config.protocols == value

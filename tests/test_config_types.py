"""Config files that are cut, damaged or edited: each is one sentence that names file and field."""

import json

import pytest
from helpers.paths import ROOT

from jreid import config as configs
from jreid.errors import InputError

AGW = f"{ROOT}/configs/agw.py"


def changed(**fields):
    """The tiny config's JSON with top-level fields changed; a group's are merged into it."""
    content = json.loads(configs.to_text(configs.load(f"{AGW}:tiny")))
    for name, value in fields.items():
        merges = isinstance(value, dict) and isinstance(content.get(name), dict)
        content[name] = content[name] | value if merges else value
    return json.dumps(content).encode()


WHOLE = changed()
BROKEN = {
    "empty": b"",
    "blank": b" \n",
    "cut in the middle": WHOLE[: len(WHOLE) // 2],
    "torn last line": WHOLE[:-1],
    "twice": WHOLE + WHOLE,
    "binary": b"\x80\x02\x00",
    "zeros": bytes(4096),
    "latin-1": WHOLE.replace(b"agw", b"\xe4gw"),
    "null": b"null",
    "a number": b"3",
    "a text": b'"config"',
    "a list": b"[1, 2]",
    "nested too deep": b"[" * 100_000,
    "NaN": changed(epochs=float("nan")),
    "too large": changed(epochs=10**30),
    "infinite": WHOLE.replace(b'"learning_rate": 0.1', b'"learning_rate": 1e999'),
    "too many digits": WHOLE.replace(b'"seed": 0', b'"seed": 1' + b"0" * 5000),
    "a group as a number": changed(batch=3),
    "a group as null": changed(batch=None),
    "a group as a list": changed(evaluation=[1]),
    "a value as a group": changed(epochs={"a": 1}),
    "a text as a number": changed(epochs="two"),
    "true as a number": changed(epochs=True),
    "a fraction as a whole number": changed(epochs=1.5),
    "null as a number": changed(epochs=None),
    "a number as true": changed(evaluation={"flip": 1}),
    "a number as a text": changed(method=1),
    "a list as a text": changed(data={"folder": ["a"]}),
    "a number as a list": changed(image={"size": 3}),
    "a list of texts": changed(image={"size": ["a", "b"]}),
    "a list of another form": changed(optimizer={"scales": [["backbone/.*"]]}),
}


@pytest.mark.fault("B6")
@pytest.mark.parametrize("form", BROKEN)
def test_a_broken_file_is_one_sentence(form, tmp_path):
    assert BROKEN[form] != WHOLE
    path = tmp_path / "config.json"
    path.write_bytes(BROKEN[form])
    with pytest.raises(InputError) as error:
        configs.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.fault("B6")
def test_a_value_of_another_type_is_named_with_its_field(tmp_path):
    (tmp_path / "config.json").write_bytes(changed(optimizer={"learning_rate": "high"}))
    with pytest.raises(InputError, match=r"config\.optimizer\.learning_rate is 'high'"):
        configs.read(tmp_path / "config.json")
    (tmp_path / "own.py").write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config(): return ConfigDict({'batch': {'images': 'many'}})\n"
    )
    with pytest.raises(InputError, match=r"own\.py: config\.batch\.images is 'many'"):
        configs.load(f"{tmp_path}/own.py")


@pytest.mark.parametrize(
    "method", ["agw", "base_derivative", "idkl", "mutual_prediction", "pfanet"]
)
def test_what_jreid_wrote_is_read(method, tmp_path):
    config = configs.load(f"{ROOT}/configs/{method}.py:sysu_mm01")
    (tmp_path / "config.json").write_text(configs.to_text(config))
    assert configs.differences(config, configs.read(tmp_path / "config.json")) == []


def test_a_flag_on_a_run_is_checked_as_one_on_a_config():
    with pytest.raises(InputError, match=r"config\.optimizer\.milestones is \(2\.5, 6\)"):
        configs.override(configs.load("agw:tiny"), ["--config.optimizer.milestones=(2.5,6)"])


def test_a_whole_number_may_stand_for_one_with_a_fraction(tmp_path):
    (tmp_path / "config.json").write_bytes(changed(optimizer={"learning_rate": 1, "scales": []}))
    assert configs.read(tmp_path / "config.json").optimizer.learning_rate == 1

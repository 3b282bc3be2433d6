import inspect

import pytest

from jreid.errors import InputError
from jreid.evaluation.protocols import PROTOCOLS
from jreid.evaluation.protocols.llcm import llcm
from jreid.evaluation.protocols.protocol import Protocol, Rule
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01
from jreid.evaluation.protocols.text import describe, read_protocol, read_protocols

# Settings that a rule needs from its dataset.
NEEDED = {
    "regdb": {"split_number": 1},
    "mp_reid": {"experiment": "cctv_ir_cctv_rgb"},
    "mixed": {"dataset": "folder"},
}
OUTSIDE = '''
from jreid.evaluation import Protocol, validated


def market(split="test", *, shots: int = 1, cmc="image", strict: bool = False, table=None):
    """All images of one modality against all of the other."""
    return validated(Protocol("market", split, shots=shots, cmc=cmc, ignore="identity_and_camera"))


def number(split="test"):
    return 3


def a_list(split="test"):
    return Protocol("a_list", split, query_cameras=[1])


def thermal(split="test"):
    return Protocol("thermal", split, direction="thermal_to_visible")


def broken(split="test"):
    raise KeyError("shots")


def always_test(split="test"):
    return Protocol("always_test")


def without_split():
    return Protocol("without_split")


constant = "market"
'''


@pytest.fixture
def mylab(tmp_path, monkeypatch):
    """A package with protocols, which is not jreid's."""
    (tmp_path / "my_lab_of_tests").mkdir()
    (tmp_path / "my_lab_of_tests" / "protocols.py").write_text(OUTSIDE)
    (tmp_path / "my_lab_of_tests" / "halves.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "my_lab_of_tests.protocols"


def test_a_text_is_the_rule_with_these_values():
    assert read_protocol("sysu_mm01") == sysu_mm01()
    assert read_protocol("sysu_mm01:search=indoor,shots=10,trials=3") == sysu_mm01(
        search="indoor", shots=10, trials=3
    )
    assert read_protocol("sysu_mm01(sampling=seeded)", "validation") == sysu_mm01(
        "validation", sampling="seeded"
    )
    assert read_protocol("llcm:direction=visible_to_infrared,cmc=image") == llcm(
        direction="visible_to_infrared", cmc="image"
    )


def test_the_setting_of_the_dataset_holds_unless_the_text_has_it():
    assert read_protocol("regdb", split_number=3) == regdb(split_number=3)
    assert read_protocol("regdb:split_number=3") == regdb(split_number=3)
    assert read_protocol("llcm", split_number=3) == llcm()
    with pytest.raises(InputError, match=r"split_number=2, but .*split_number=3"):
        read_protocol("regdb:split_number=2", split_number=3)
    with pytest.raises(InputError, match="regdb:split_number=1"):
        read_protocol("regdb")
    assert read_protocol("mp_reid", experiment="uav_ir_uav_rgb").experiment == "uav_ir_uav_rgb"
    with pytest.raises(InputError, match=r"experiment=cctv_ir_cctv_rgb, but .*=uav_ir_uav_rgb"):
        read_protocol("mp_reid:experiment=cctv_ir_cctv_rgb", experiment="uav_ir_uav_rgb")
    with pytest.raises(InputError, match="mp_reid:experiment=cctv_ir_cctv_rgb"):
        read_protocol("mp_reid")


def test_several_keep_their_order_and_their_texts():
    texts = ["sysu_mm01:shots=10", "folder", "sysu_mm01"]
    assert [*read_protocols(texts).values()] == texts
    with pytest.raises(InputError, match="sysu_mm01 and sysu_mm01:shots=1 are the same"):
        read_protocols(["sysu_mm01", "sysu_mm01:shots=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sysu_mm1", "did you mean sysu_mm01"),
        ("market", "protocol=market does not exist"),
        ("sysu_mm01:shot=1", "did you mean shots"),
        ("sysu_mm01:split=validation", "has no split"),
        ("sysu_mm01:shots=one", "'one', but must be a whole number"),
        ("sysu_mm01:shots=1.0", "'1.0', but must be a whole number"),
        ("sysu_mm01:trials=1_0", "must be a whole number"),
        ("sysu_mm01:shots=3", "one of 1, 10"),
        ("sysu_mm01:search=outdoor", "one of all, indoor"),
        ("sysu_mm01:trials=0", "at least one"),
        ("sysu_mm01:shots=10,sampling=seeded", "one image .* shots=10: set shots=1"),
    ],
)
def test_what_a_text_cannot_ask_for(text, message):
    with pytest.raises(InputError, match=message):
        read_protocol(text)


def test_a_rule_of_somebody_elses(mylab):
    expected = Protocol("market", shots=7, cmc="image", ignore="identity_and_camera")
    package, _, module = mylab.partition(".")
    for text in (
        f"{mylab}.market:shots=7",
        f"{mylab}:market(shots=7)",
        f"{mylab}:market:shots=7,strict=true",
        f"{package}.{module}.market(shots=7)",
    ):
        assert read_protocol(text) == expected
    assert read_protocol(f"{mylab}:market", "validation").split == "validation"
    assert describe(expected) == "market, infrared to visible"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "no function called nothing"),
        ("constant", "no function called constant"),
        ("without_split", "no parameter split"),
        ("number", "returns a int"),
        ("a_list", "not plain"),
        ("thermal", "direction is 'thermal_to_visible'"),
        ("broken", "KeyError"),
        ("always_test", "for the split 'validation'"),
        ("market:shots=two", "must be a whole number"),
        ("market:strict=perhaps", "must be true or false"),
        ("market:table=1", "has no table"),
        ("market:shot=2", "did you mean shots"),
    ],
)
def test_a_rule_of_somebody_elses_that_cannot_be_used(mylab, function, message):
    with pytest.raises(InputError, match=message) as caught:
        read_protocol(f"{mylab}.{function}", "validation")
    assert function.partition(":")[0] in str(caught.value)


@pytest.mark.parametrize("name", ["no_lab_at_all.market", "my_lab_of_tests.halves.market", "a..b"])
def test_a_module_that_cannot_be_imported(mylab, name):
    with pytest.raises(InputError, match=name.partition(".")[0]) as caught:
        read_protocol(name)
    assert "\n" not in str(caught.value)


def test_labels():
    assert describe(sysu_mm01(search="indoor", sampling="seeded")) == (
        "indoor, 1-shot, seeded sampling"
    )
    assert describe(sysu_mm01("validation", cmc="image")) == "validation, all, 1-shot, CMC by image"
    assert describe(regdb(split_number=3)) == "visible to infrared, trial 3 of 10"
    assert (
        describe(read_protocol("mp_reid:experiment=uav_rgb_cctv_ir")) == "mp_reid, uav_rgb_cctv_ir"
    )
    assert describe(llcm(distance="euclidean")) == "llcm, infrared to visible, euclidean"
    rules = [rule(**NEEDED.get(name, {})) for name, rule in PROTOCOLS.items()]
    assert len({describe(rule) for rule in rules}) == len(rules)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_rule_keeps_the_contract(name):
    rule: Rule = PROTOCOLS[name]
    first, *values = inspect.signature(rule).parameters.values()
    assert (first.name, first.default) == ("split", "test")
    assert all(one.annotation in (str, int, float) for one in values)
    assert all(type(one.default) is one.annotation for one in values)
    assert rule.__doc__ and len(rule.__doc__.splitlines()[0]) < 100

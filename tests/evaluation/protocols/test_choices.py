import pytest

from jreid.errors import InputError
from jreid.evaluation.protocols.choices import PROTOCOLS, choose, describe, protocols
from jreid.evaluation.protocols.llcm import llcm
from jreid.evaluation.protocols.protocol import Protocol
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01

# As in a config, where every field is always there.
ALL = {
    "searches": ("all", "indoor"),
    "shots": (1, 10),
    "directions": ("infrared_to_visible", "visible_to_infrared"),
    "sampling": "",
    "trials": 4,
    "cmc": "",
    "distance": "euclidean",
    "split_number": 3,
}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("sysu_mm01", ["all, 1-shot", "all, 10-shot", "indoor, 1-shot", "indoor, 10-shot"]),
        (
            "regdb",
            [
                "infrared to visible, euclidean, trial 3 of 10",
                "visible to infrared, euclidean, trial 3 of 10",
            ],
        ),
        ("llcm", ["llcm, infrared to visible", "llcm, visible to infrared"]),
        ("llcm_released_vis_to_ir", ["llcm_released_vis_to_ir, infrared to visible"]),
        ("llcm_all", ["llcm_all, infrared to visible", "llcm_all, visible to infrared"]),
        ("folder", ["infrared to visible", "visible to infrared"]),
    ],
)
def test_the_product_of_the_choices_that_a_protocol_has(name, labels):
    made = protocols(name, "validation", **ALL)
    message = [describe(protocol) for protocol in made]
    if name in ("regdb", "llcm_all"):
        assert message == [f"validation, {label}" for label in labels]
    else:
        assert message == [f"validation, {label}, euclidean" for label in labels]
    for protocol in made:
        assert (protocol.split, protocol.distance) == ("validation", "euclidean")
        assert protocol.trials == (1 if name in ("regdb", "llcm_all", "folder") else 4)
        assert protocol.split_number == (3 if name == "regdb" else 0)
        assert protocol.cmc == ("image" if name == "regdb" else "identity")


def test_an_empty_choice_is_the_protocols_own():
    assert {rule.distance for rule in protocols("llcm_all")} == {"euclidean"}
    assert protocols("sysu_mm01") == [sysu_mm01()]
    assert protocols("sysu_mm01", sampling="seeded") == [sysu_mm01(sampling="seeded")]
    assert protocols("llcm", directions=("visible_to_infrared",), cmc="image") == [
        llcm(direction="visible_to_infrared", cmc="image")
    ]


def test_choices_that_cannot_be():
    with pytest.raises(InputError, match="'market' is unknown: choose one of sysu_mm01, regdb"):
        protocols("market")
    with pytest.raises(InputError, match="sysu_mm01 is asked for no search"):
        protocols("sysu_mm01", searches=())
    assert protocols("regdb", searches=(), split_number=1)
    with pytest.raises(
        InputError, match="ten splits with a model each: say by --split-number=1 to 10"
    ):
        protocols("regdb")
    with pytest.raises(InputError, match=r"one image .* not 10"):
        protocols("sysu_mm01", shots=(1, 10), sampling="seeded")


def test_choosing():
    assert choose("sysu_mm01", search="indoor", trials=3) == [sysu_mm01(search="indoor", trials=3)]
    assert [rule.direction for rule in choose("regdb", split_number=2)] == list(ALL["directions"])
    assert choose("llcm", direction="infrared_to_visible") == [llcm()]
    assert choose("llcm_released_vis_to_ir", "validation")[0].split == "validation"


def test_flags_that_a_protocol_does_not_have():
    sentence = (
        "^--search is not a choice of regdb, which has --split-number, --direction, --cmc, --dist"
    )
    with pytest.raises(InputError, match=sentence):
        choose("regdb", split_number=1, search="all")
    with pytest.raises(InputError, match="--sampling is not a choice of llcm"):
        choose("llcm", sampling="seeded")
    with pytest.raises(InputError, match="'market' is unknown"):
        choose("market")
    with pytest.raises(InputError, match="shots is 3"):
        choose("sysu_mm01", shots=3)


def test_labels():
    assert describe(sysu_mm01(search="indoor", sampling="seeded")) == "indoor, 1-shot, AGW's draw"
    assert describe(sysu_mm01("validation", cmc="image")) == "validation, all, 1-shot, CMC by image"
    assert describe(regdb(split_number=3)) == "visible to infrared, trial 3 of 10"
    assert describe(regdb(split_number=1, cmc="identity")).endswith(
        "CMC by identity, trial 1 of 10"
    )
    assert describe(Protocol("mine")) == "infrared to visible"
    rules = [
        rule(split_number=1) if name == "regdb" else rule() for name, rule in PROTOCOLS.items()
    ]
    assert len({describe(rule) for rule in rules}) == len(rules)

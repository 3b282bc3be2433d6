"""The named rules, field by field, against what their sources say."""

import inspect
import json

import pytest

from jreid.errors import InputError
from jreid.evaluation.protocols import PROTOCOLS
from jreid.evaluation.protocols.folder import folder
from jreid.evaluation.protocols.llcm import llcm, llcm_all, llcm_released_vis_to_ir
from jreid.evaluation.protocols.mp_reid import mp_reid
from jreid.evaluation.protocols.protocol import Protocol, validated
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01


def test_every_rule_is_plain_values():
    for name, rule in PROTOCOLS.items():
        needed = {
            "regdb": {"split_number": 1},
            "mp_reid": {"experiment": "cctv_ir_cctv_rgb"},
            "mixed": {"dataset": "folder"},
        }
        protocol = rule(**needed.get(name, {}))
        assert protocol.name == name
        assert "split" in inspect.signature(rule).parameters
        assert json.loads(json.dumps(protocol))[0] == name
        assert protocol.query_cameras == tuple(protocol.query_cameras)


def test_sysu_mm01():
    protocol = sysu_mm01(search="indoor", shots=10)
    assert protocol.gallery_cameras == (1, 2)
    assert sysu_mm01().gallery_cameras == (1, 2, 4, 5)
    assert protocol.query_cameras == (3, 6)
    assert (protocol.shots, protocol.sampling, protocol.sampled) == (10, "official", "gallery")
    assert (protocol.ignore, protocol.location_of_camera) == ("same_location", ((3, 2),))
    assert (protocol.trials, protocol.cmc, protocol.split_number) == (10, "identity", 0)
    assert sysu_mm01(sampling="seeded").shots == 1


def test_regdb():
    protocol = regdb(split_number=3)
    assert (protocol.direction, protocol.split_number) == ("visible_to_infrared", 3)
    assert (protocol.cmc, protocol.ignore, protocol.sampled) == ("image", "nothing", "none")
    assert regdb(split_number=3, cmc="identity").cmc == "identity"


def test_the_three_rules_of_llcm():
    paper = llcm()
    assert (paper.sampled, paper.shots, paper.sampling) == ("gallery", 1, "seeded")
    assert paper.ignore == "identity_and_camera"
    assert paper.gallery_cameras == (1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert paper.query_cameras == (1, 2, 4, 5, 6, 7, 8, 9)
    reverse = llcm(direction="visible_to_infrared")
    assert (reverse.query_cameras, reverse.gallery_cameras) == (
        paper.gallery_cameras,
        paper.query_cameras,
    )
    assert llcm_released_vis_to_ir() == paper._replace(
        name="llcm_released_vis_to_ir", sampled="query"
    )
    idkl = llcm_all()
    assert (idkl.sampled, idkl.ignore, idkl.trials) == ("none", "nothing", 1)
    assert (idkl.distance, idkl.cmc) == ("euclidean", "identity")


def test_mp_reid():
    ground = mp_reid(experiment="cctv_ir_cctv_rgb")
    assert (ground.query_cameras, ground.gallery_cameras) == ((*range(7, 13),), (*range(1, 7),))
    assert ground.direction == "infrared_to_visible"
    assert (ground.ignore, ground.cmc, ground.distance) == ("nothing", "image", "cosine")
    assert (ground.sampled, ground.trials) == ("none", 1)
    drone = mp_reid(experiment="uav_rgb_cctv_ir")
    assert (drone.query_cameras, drone.direction) == ((13,), "visible_to_infrared")
    assert drone.gallery_cameras == ground.query_cameras
    assert mp_reid(experiment="cctv_ir_uav_rgb").gallery_cameras == (13,)
    assert "experiment" in ground.stored() and "experiment" not in folder().stored()


def test_folder():
    protocol = folder(direction="visible_to_infrared")
    assert (protocol.sampled, protocol.trials) == ("none", 1)
    assert protocol.ignore == "identity_and_camera"


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [
        ("sysu_mm01", {"split": "train"}, "split is 'train'.*one of test, validation"),
        ("sysu_mm01", {"search": "outdoor"}, "search is 'outdoor', which sysu_mm01 .* all, indoor"),
        ("sysu_mm01", {"shots": 2}, "shots is 2.*one of 1, 10"),
        ("sysu_mm01", {"sampling": "random"}, "sampling is 'random'.*official, seeded"),
        ("sysu_mm01", {"sampling": "seeded", "shots": 10}, "one image .* shots=10: set shots=1"),
        ("sysu_mm01", {"trials": 0}, "trials is 0"),
        ("sysu_mm01", {"trials": 10**9}, "trials is 1000000000: .* at most 1000"),
        ("sysu_mm01", {"cmc": "identities"}, "cmc is 'identities'.*identity, image"),
        ("sysu_mm01", {"distance": "l2"}, "distance is 'l2'.*cosine, euclidean"),
        ("regdb", {"split_number": 0}, "ten splits.*1 to 10.*regdb:split_number=1"),
        ("regdb", {"split_number": 11}, "split_number is 11.*one of 1, 2, .*10"),
        (
            "regdb",
            {"split_number": 1, "direction": "thermal"},
            "direction is 'thermal'.*infrared_to_vis",
        ),
        ("llcm", {"direction": "vis_to_ir"}, "direction is 'vis_to_ir'"),
        ("llcm", {"trials": -1}, "trials is -1"),
        ("llcm_released_vis_to_ir", {"trials": 1001}, "trials is 1001: .* at most 1000"),
        ("llcm_released_vis_to_ir", {"cmc": ""}, "cmc is ''"),
        ("llcm_all", {"split": ""}, "split is ''"),
        ("mp_reid", {}, "one model for each.*mp_reid:experiment=cctv_ir_cctv_rgb"),
        ("mp_reid", {"experiment": "cctv_ir_uav_ir"}, "cctv_ir_uav_ir.*images of one modality"),
        ("mp_reid", {"experiment": "uav"}, "experiment=uav.*one of cctv_ir_cctv_rgb, uav_ir_uav"),
        ("folder", {"distance": "dot"}, "distance is 'dot'"),
    ],
)
def test_values_that_a_rule_does_not_have(name, choice, message):
    with pytest.raises(InputError, match=message):
        PROTOCOLS[name](**choice)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sampling": "every", "sampled": "gallery"}, "sampling=every, but samples the gallery"),
        ({"sampling": "seeded"}, "sampling=seeded, but sampled=none"),
        ({"sampling": "seeded", "sampled": "gallery", "shots": 3}, "sampling=seeded, .* shots=3"),
        ({"sampling": "official", "sampled": "gallery"}, "sampling=official and shots=0"),
    ],
)
def test_sampling_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(InputError, match=f"The protocol mine has {message}"):
        validated(Protocol("mine", **fields))

"""The counts that authors print are those of features, too."""

import numpy as np
import pytest

from jreid.data.known_counts import dataset_of_protocol, feature_faults
from jreid.data.layouts.sysu_mm01 import COUNTS
from jreid.data.table import Table

CAMERAS = {"visible": (1, 2, 4, 5), "infrared": (3, 6)}


def official(split="test"):
    """As many images as SYSU-MM01 has in a split, of as many people."""
    columns = [
        (image % count.identities, group.camera, group.modality)
        for group, count in COUNTS.items()
        if group.split == split
        for image in range(count.images)
    ]
    identity, camera, modality = map(np.array, zip(*columns, strict=True))
    names = np.arange(len(columns)).astype(str)
    return Table(names, identity, camera, modality, np.full(len(names), split), names)


def test_a_whole_split_has_no_fault():
    assert feature_faults("sysu_mm01", official(), "test", CAMERAS) == []
    assert feature_faults("sysu_mm01", official("train"), "train", CAMERAS) == []


@pytest.mark.fault("A7")
def test_a_single_image_that_is_left_out_or_too_many_is_found():
    table = official()
    (fault,) = feature_faults(
        "sysu_mm01", table.take(np.arange(1, len(table.name))), "test", CAMERAS
    )
    assert fault.kind == "missing"
    assert "has 1,373 images of 56 identities, not the 1,374 of 56" in str(fault)
    twice = table.take(np.append(np.arange(len(table.name)), 0))
    (fault,) = feature_faults("sysu_mm01", twice, "test", CAMERAS)
    assert fault.kind == "error"


def test_only_the_cameras_that_are_asked_for_count():
    table = official()
    indoor = table.take(np.isin(table.camera, (1, 2, 3, 6)))
    assert feature_faults("sysu_mm01", indoor, "test", CAMERAS | {"visible": (1, 2)}) == []
    assert len(feature_faults("sysu_mm01", indoor, "test", CAMERAS)) == 2
    assert feature_faults("mine", indoor, "test", CAMERAS) == []


def test_a_protocol_is_of_a_dataset():
    assert [*map(dataset_of_protocol, ("llcm_all", "regdb", "folder"))] == [
        "llcm",
        "regdb",
        "folder",
    ]

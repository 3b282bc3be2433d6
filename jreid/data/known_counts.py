"""The image counts that authors publish of their datasets, and checks of features by them."""

from collections.abc import Collection, Mapping
from pathlib import Path

from jreid.data.layouts.layout import Fault, Row, count_faults, find_layout
from jreid.data.table import Table
from jreid.datasets import LAYOUTS


def dataset_of_protocol(protocol: str) -> str:
    """The authors' dataset of a protocol: `llcm` for `llcm_all`; else the protocol's name."""
    return next((name for name in LAYOUTS if protocol.startswith(name)), protocol)


def feature_faults(
    name: str, table: Table, split: str, cameras: Mapping[str, Collection[int]]
) -> list[Fault]:
    """Differences between a table and the image counts of the named dataset in a split.

    Args:
        name: the dataset's; there are no faults for a dataset that is not the authors' own.
        cameras: by modality, the cameras to compare; empty for all.
    """
    if name not in LAYOUTS:
        return []
    expected = {
        group: count
        for group, count in find_layout(name).counts.items()
        if group.split == split and _asked(group.camera, cameras.get(group.modality))
    }
    labels = zip(table.name, table.identity, table.camera, table.modality, strict=True)
    rows = [
        Row(str(name), int(identity), int(camera), str(modality), split, Path())
        for name, identity, camera, modality in labels
    ]
    return count_faults(expected, rows, remedy="")


def _asked(camera: int, asked: Collection[int] | None) -> bool:
    return asked is not None and (not asked or camera == 0 or camera in asked)

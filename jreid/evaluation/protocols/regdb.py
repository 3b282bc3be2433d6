"""RegDB's protocol."""

from jreid.datasets import SETTINGS
from jreid.errors import InputError
from jreid.evaluation.protocols.protocol import Protocol, validated

REGDB_TRIALS = len(SETTINGS["regdb"].choices)  # its splits, one model for each


def regdb(
    split: str = "test",
    *,
    split_number: int = 0,
    direction: str = "visible_to_infrared",
    cmc: str = "image",
    distance: str = "cosine",
) -> Protocol:
    """RegDB (Ye et al., AAAI 2018): all images of one modality against all of the other.

    Papers call `visible_to_infrared` visible-to-thermal. The ten trials are ten splits, with one
    model for each; this is one of them. AGW counts CMC over images; MPANet, IDKL and PFINet over
    identities, which does not change rank-1 and mAP and raises the later ranks.
    """
    if split_number == 0:
        raise InputError(
            "RegDB has ten splits, with one model for each: give the number of this split, 1 to "
            "10, as in regdb:split_number=1."
        )
    rule = Protocol(
        "regdb", split, direction=direction, split_number=split_number, cmc=cmc, distance=distance
    )
    return validated(rule, split_number=range(1, REGDB_TRIALS + 1))

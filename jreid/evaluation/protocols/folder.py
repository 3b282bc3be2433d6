"""The protocol of a dataset of one's own."""

from jreid.evaluation.protocols.protocol import Protocol, validated


def folder(
    split: str = "test",
    *,
    direction: str = "infrared_to_visible",
    cmc: str = "identity",
    distance: str = "cosine",
) -> Protocol:
    """A dataset of one's own: all images of one modality against all of the other.

    A query skips the images of its identity from its own camera, the rule of Market-1501 (Zheng et
    al., ICCV 2015): where one camera takes both modalities, they show one moment. Where each
    camera has its own number, that skips nothing.
    """
    rule = Protocol(
        "folder",
        split,
        direction=direction,
        ignore="identity_and_camera",
        cmc=cmc,
        distance=distance,
    )
    return validated(rule)

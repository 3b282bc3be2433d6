"""The protocol of your own dataset."""

from jreid.evaluation.protocols.protocol import Protocol, validated


def folder(
    split: str = "test",
    *,
    direction: str = "infrared_to_visible",
    cmc: str = "identity",
    distance: str = "cosine",
) -> Protocol:
    """Your own dataset: all images of one modality against all of the other.

    A query skips the images of its identity from its own camera, the rule of Market-1501 (Zheng et
    al., ICCV 2015): if one camera records both modalities, such images show the same moment. If
    each modality has its own camera numbers, no image is skipped.
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

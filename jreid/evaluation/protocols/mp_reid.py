"""MP-ReID's protocol."""

from jreid.datasets import MP_REID_CAMERAS, SETTINGS, mp_reid_cameras
from jreid.errors import InputError
from jreid.evaluation.protocols.protocol import Protocol, validated

EXPERIMENTS = SETTINGS["mp_reid"]


def mp_reid(
    split: str = "test", *, experiment: str = "", cmc: str = "image", distance: str = "cosine"
) -> Protocol:
    """MP-ReID (ICCV 2025, arXiv 2503.17096): the queries of an experiment against its gallery.

    All images of both sides, once, and no image is skipped. An experiment names the platform and
    the modality of the queries, then of the gallery, and has its own lists of identities, with one
    model for each. Those that compare images of one modality are not offered, nor those that the
    authors divide at random without a seed.
    """
    if not experiment:
        raise InputError(
            "MP-ReID has several experiments, with one model for each: give this model's, as in "
            f"mp_reid:experiment={EXPERIMENTS.choices[0]}; {EXPERIMENTS.fault(experiment)}."
        )
    if EXPERIMENTS.fault(experiment):
        raise InputError(
            f"The protocol's experiment={experiment} cannot be used: "
            f"{EXPERIMENTS.fault(experiment)}."
        )
    queries, gallery = mp_reid_cameras(experiment)
    infrared = queries in (MP_REID_CAMERAS["cctv_ir"], MP_REID_CAMERAS["uav_ir"])
    rule = Protocol(
        "mp_reid",
        split,
        direction="infrared_to_visible" if infrared else "visible_to_infrared",
        query_cameras=queries,
        gallery_cameras=gallery,
        cmc=cmc,
        distance=distance,
        experiment=experiment,
    )
    return validated(rule)

"""LLCM's protocols: its paper's, its released code's, and that of IDKL."""

from jreid.evaluation.protocols.protocol import Protocol, validated

LLCM_CAMERAS = (1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 4, 5, 6, 7, 8, 9)  # visible, infrared


def llcm(
    split: str = "test",
    *,
    direction: str = "infrared_to_visible",
    trials: int = 10,
    cmc: str = "identity",
    distance: str = "cosine",
) -> Protocol:
    """LLCM as in its paper (Zhang and Wang, CVPR 2023, DEEN), in both directions.

    All images of one modality are queries. A trial's gallery holds one random image of the other
    modality for each identity and camera, chosen as in the released code. Both modalities share
    their cameras: a query skips the images of its identity from its own camera.
    """
    visible_to_infrared = direction == "visible_to_infrared"
    queries, gallery = LLCM_CAMERAS if visible_to_infrared else LLCM_CAMERAS[::-1]
    rule = Protocol(
        "llcm",
        split,
        shots=1,
        sampling="seeded",
        sampled="gallery",
        direction=direction,
        query_cameras=queries,
        gallery_cameras=gallery,
        ignore="identity_and_camera",
        trials=trials,
        cmc=cmc,
        distance=distance,
    )
    return validated(rule)


def llcm_released_vis_to_ir(
    split: str = "test",
    *,
    trials: int = 10,
    cmc: str = "identity",
    distance: str = "cosine",
) -> Protocol:
    """The test that LLCM's released code calls "VIS to IR" (DEEN/test.py): infrared to visible.

    One random infrared image of each identity and camera is a query in a trial, and all visible
    images are the gallery. The updated results in its README use this rule; the paper's table does
    not.
    """
    rule = llcm(split, trials=trials, cmc=cmc, distance=distance)
    return rule._replace(name="llcm_released_vis_to_ir", sampled="query")


def llcm_all(
    split: str = "test",
    *,
    direction: str = "infrared_to_visible",
    cmc: str = "identity",
    distance: str = "euclidean",
) -> Protocol:
    """LLCM as IDKL evaluates it (Ren and Zhang, CVPR 2024; utils/eval_llcm.py of its code).

    All images of one modality against all of the other, once, and no image is skipped. Published
    with the Euclidean distance of raw features and re-ranking.
    """
    return validated(Protocol("llcm_all", split, direction=direction, cmc=cmc, distance=distance))

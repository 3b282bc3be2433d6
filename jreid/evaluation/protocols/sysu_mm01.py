"""SYSU-MM01's protocol."""

from jreid.evaluation.protocols.protocol import Protocol, validated

SYSU_MM01_SEARCHES = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
SYSU_MM01_LOCATIONS = ((3, 2),)  # camera 3 stands where camera 2 does


def sysu_mm01(
    split: str = "test",
    *,
    search: str = "all",
    shots: int = 1,
    sampling: str = "official",
    trials: int = 10,
    cmc: str = "identity",
    distance: str = "cosine",
) -> Protocol:
    """SYSU-MM01 (Wu et al., ICCV 2017; the official evaluation_SYSU_MM01.m).

    Every infrared image is a query. A trial's gallery holds, for each visible camera of the search
    and each identity seen there, `shots` images. Cameras 2 and 3 are in the same room: a query from
    camera 3 skips every image of camera 2, of any person. AGW and code based on it sample the
    gallery themselves, one image only; MPANet and IDKL use the official permutations.
    """
    rule = Protocol(
        "sysu_mm01",
        split,
        search,
        shots,
        sampling,
        sampled="gallery",
        query_cameras=(3, 6),
        gallery_cameras=SYSU_MM01_SEARCHES.get(search, ()),
        ignore="same_location",
        location_of_camera=SYSU_MM01_LOCATIONS,
        trials=trials,
        cmc=cmc,
        distance=distance,
    )
    return validated(
        rule, search=SYSU_MM01_SEARCHES, shots=(1, 10), sampling=("official", "seeded")
    )

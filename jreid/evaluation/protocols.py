"""Evaluation protocols as data: rules in plain values, each named after where it comes from."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from jreid.errors import InputError
from jreid.evaluation.ranking import DISTANCES

DIRECTIONS = ("infrared_to_visible", "visible_to_infrared")
MOST_TRIALS = 1000  # a hundred times the published rules; more would fill the memory
REGDB_TRIALS = 10  # its splits, a model each
SYSU_MM01_SEARCHES = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
LLCM_CAMERAS = (1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 4, 5, 6, 7, 8, 9)  # visible, infrared


class Protocol(NamedTuple):
    """An evaluation rule, as plain values that go into the result file.

    Attributes:
        name: the rule's name: `sysu_mm01`.
        split: the Table's split that queries and gallery come from: `test` or `validation`.
        search: the name of a choice of gallery cameras: `all` or `indoor`; empty where the rule
            has no such choice.
        shots: images drawn for an identity in a camera; 0 for every image.
        draw: who draws: `official`, the dataset's own permutation file; `agw`, the seeded choice
            of AGW's and LLCM's released code; or `every`, nobody: all images take part.
        drawn: what is drawn: the `gallery`, the `query` images, or `none`.
        direction: `infrared_to_visible` or the reverse: the queries' modality to the gallery's.
        query_cameras: where queries come from; empty for every camera.
        gallery_cameras: where the gallery comes from; empty for every camera.
        ignore: the gallery images that a query skips: those of its `place`, whoever they show;
            those of its `identity_and_camera`; or `nothing`.
        rooms: (camera, place) of cameras that stand at another camera's place.
        trials: how many draws; the metrics are averaged over them.
        trial: which of RegDB's ten splits the model was trained for, from 1; else 0.
        cmc: what is counted: `identity` (each counts once, at its nearest image) or `image`.
        distance: `cosine` or `euclidean`.
    """

    name: str
    split: str = "test"
    search: str = ""
    shots: int = 0
    draw: str = "every"
    drawn: str = "none"
    direction: str = "infrared_to_visible"
    query_cameras: tuple[int, ...] = ()
    gallery_cameras: tuple[int, ...] = ()
    ignore: str = "nothing"
    rooms: tuple[tuple[int, int], ...] = ()
    trials: int = 1
    trial: int = 0
    cmc: str = "identity"
    distance: str = "cosine"


def sysu_mm01(
    split: str = "test",
    *,
    search: str = "all",
    shots: int = 1,
    draw: str = "official",
    trials: int = 10,
    cmc: str = "identity",
    distance: str = "cosine",
) -> Protocol:
    """SYSU-MM01 (Wu et al., ICCV 2017; the official evaluation_SYSU_MM01.m).

    Every infrared image is a query. A trial's gallery holds, for each visible camera of the search
    and each identity seen there, `shots` images. Cameras 2 and 3 stand in one room: a query from
    camera 3 skips every image of camera 2, whoever it shows. AGW and those after it draw the
    gallery themselves, one image only; MPANet and IDKL use the official permutations.
    """
    if draw == "agw" and shots != 1:
        raise InputError(
            f"The draw agw takes one image of an identity and camera, not {shots}: ask for one "
            "shot, or for the official draw."
        )
    rule = Protocol(
        "sysu_mm01",
        split,
        search,
        shots,
        draw,
        drawn="gallery",
        query_cameras=(3, 6),
        gallery_cameras=SYSU_MM01_SEARCHES.get(search, ()),
        ignore="place",
        rooms=((3, 2),),
        trials=trials,
        cmc=cmc,
        distance=distance,
    )
    return _checked(rule, search=SYSU_MM01_SEARCHES, shots=(1, 10), draw=("official", "agw"))


def regdb(
    split: str = "test",
    *,
    trial: int = 0,
    direction: str = "visible_to_infrared",
    cmc: str = "image",
    distance: str = "cosine",
) -> Protocol:
    """RegDB (Ye et al., AAAI 2018): all images of one modality against all of the other.

    The field says visible-to-thermal for `visible_to_infrared`. The ten trials are ten splits with
    a model each; this is one of them. AGW counts CMC over images; MPANet, IDKL and PFINet over
    identities, which leaves rank-1 and mAP alone and raises the ranks after it.
    """
    if trial == 0:
        raise InputError(
            "RegDB is ten splits with a model each: say by --trial=1 to 10 of which this one is."
        )
    rule = Protocol("regdb", split, direction=direction, trial=trial, cmc=cmc, distance=distance)
    return _checked(rule, trial=range(1, REGDB_TRIALS + 1))


def llcm(
    split: str = "test",
    *,
    direction: str = "infrared_to_visible",
    trials: int = 10,
    cmc: str = "identity",
    distance: str = "cosine",
) -> Protocol:
    """LLCM as its paper has it (Zhang and Wang, CVPR 2023, DEEN), in both directions.

    All images of one modality are queries. A trial's gallery holds one random image of the other
    modality for each identity and camera, by the released code's draw. Both modalities share their
    cameras: a query skips the images of its identity from its own camera.
    """
    visible_to_infrared = direction == "visible_to_infrared"
    queries, gallery = LLCM_CAMERAS if visible_to_infrared else LLCM_CAMERAS[::-1]
    rule = Protocol(
        "llcm",
        split,
        shots=1,
        draw="agw",
        drawn="gallery",
        direction=direction,
        query_cameras=queries,
        gallery_cameras=gallery,
        ignore="identity_and_camera",
        trials=trials,
        cmc=cmc,
        distance=distance,
    )
    return _checked(rule)


def llcm_released_vis_to_ir(
    split: str = "test",
    *,
    trials: int = 10,
    cmc: str = "identity",
    distance: str = "cosine",
) -> Protocol:
    """What LLCM's released code calls "VIS to IR" (DEEN/test.py), which is the other way round.

    One random infrared image of each identity and camera is a query in a trial, and all visible
    images are the gallery. The numbers of its README's updated results are of this rule; those of
    the paper's table are not.
    """
    rule = llcm(split, trials=trials, cmc=cmc, distance=distance)
    return rule._replace(name="llcm_released_vis_to_ir", drawn="query")


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
    return _checked(Protocol("llcm_all", split, direction=direction, cmc=cmc, distance=distance))


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
    return _checked(rule)


PROTOCOLS: Mapping[str, Callable[..., Protocol]] = {
    rule.__name__: rule
    for rule in (sysu_mm01, regdb, llcm, llcm_released_vis_to_ir, llcm_all, folder)
}


def _checked(protocol: Protocol, **choices: Collection[Any]) -> Protocol:
    """The protocol, once its values are among the choices."""
    choices |= {
        "split": ("test", "validation"),
        "direction": DIRECTIONS,
        "cmc": ("identity", "image"),
        "distance": DISTANCES,
    }
    for field, allowed in choices.items():
        value = getattr(protocol, field)
        if value not in allowed:
            raise InputError(
                f"The protocol's {field} is {value!r}, which {protocol.name} does not have: choose "
                f"one of {', '.join(map(str, allowed))}."
            )
    if not 1 <= protocol.trials <= MOST_TRIALS:
        raise InputError(
            f"The protocol's trials is {protocol.trials}: ask for at least one and for at most "
            f"{MOST_TRIALS}."
        )
    return protocol

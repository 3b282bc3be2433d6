"""A protocol: an evaluation rule as plain values, which a function returns.

To evaluate by your own rule, write a function as `Rule` describes it, and give its full name
wherever jreid takes a protocol: `mylab.protocols.market:shots=1`.
"""

import typing
from collections.abc import Collection
from typing import Any, NamedTuple

from jreid.errors import InputError
from jreid.evaluation.ranking.inputs import CMC_KINDS, DISTANCES

DIRECTIONS = ("infrared_to_visible", "visible_to_infrared")

MAX_TRIALS = 1000  # a hundred times the published rules; more would fill the memory

# Earlier names of fields and values, which result files and fingerprints still use.
STORED_NAMES = {
    "sampling": "draw",
    "sampled": "drawn",
    "location_of_camera": "rooms",
    "split_number": "trial",
}
STORED_VALUES = {("sampling", "seeded"): "agw", ("ignore", "same_location"): "place"}
# Fields that were added later: they are stored only where they have another value.
LATER_FIELDS = {"dataset": "", "share": None, "images": 0, "queries": "", "experiment": ""}


class Protocol(NamedTuple):
    """An evaluation rule, as plain values that go into the result file.

    Attributes:
        name: the rule's name: `sysu_mm01`.
        split: the Table's split that queries and gallery come from: `test` or `validation`.
        search: the name of a choice of gallery cameras: `all` or `indoor`; empty if the rule has no
            such choice.
        shots: images sampled for each identity and camera; 0 for every image.
        sampling: how the images are chosen: `official`, the dataset's own permutation file;
            `seeded`, the random choice of AGW's and LLCM's released code; `by_name`, an order by
            hashes of the names; or `every`: all images take part.
        sampled: which images are chosen: the `gallery`, the `query` images, or `none`.
        direction: `infrared_to_visible` or the reverse: the queries' modality to the gallery's.
        query_cameras: where queries come from; empty for every camera.
        gallery_cameras: where the gallery comes from; empty for every camera.
        ignore: the gallery images that a query skips: those of its `same_location`, whoever they
            show; those of its `identity_and_camera` or `identity_and_location`; or `nothing`.
        location_of_camera: (camera, location) of cameras that stand where another one does.
        trials: how many draws; the metrics are averaged over them.
        split_number: which of RegDB's ten splits the model was trained for, from 1; else 0.
        cmc: what is counted: `identity` (each counts once, at its nearest image) or `image`.
        distance: `cosine` or `euclidean`.
        dataset: the layout of the dataset, if a rule for all datasets needs to know it.
        share: of a gallery of both modalities, the share that is of the queries' modality; None for
            a gallery of the other modality only.
        images: of such a gallery, the images of an identity.
        queries: of such a gallery, which images are queries: `common` or `own`.
        experiment: which of MP-ReID's experiments the model was trained for; else empty.
    """

    name: str
    split: str = "test"
    search: str = ""
    shots: int = 0
    sampling: str = "every"
    sampled: str = "none"
    direction: str = "infrared_to_visible"
    query_cameras: tuple[int, ...] = ()
    gallery_cameras: tuple[int, ...] = ()
    ignore: str = "nothing"
    location_of_camera: tuple[tuple[int, int], ...] = ()
    trials: int = 1
    split_number: int = 0
    cmc: str = "identity"
    distance: str = "cosine"
    dataset: str = ""
    share: float | None = None
    images: int = 0
    queries: str = ""
    experiment: str = ""

    def stored(self) -> dict[str, Any]:
        """The rule in fingerprints and result files, with the names of the first version.

        So renaming a field does not change fingerprints.
        """
        return {
            STORED_NAMES.get(name, name): STORED_VALUES.get((name, value), value)
            for name, value in self._asdict().items()
            if name not in LATER_FIELDS or value != LATER_FIELDS[name]
        }


@typing.runtime_checkable
class Rule(typing.Protocol):
    """A function that returns a Protocol.

    It takes the Table's split, `test` or `validation`, and parameters that the text of a protocol
    may set by name. These have a default and are str, int, float or bool, by their annotation or
    else by the type of the default. The first line of its docstring describes it.

    Raises:
        InputError: a value that the rule does not allow; `validated` checks the usual ones.
    """

    def __call__(self, split: str = "test", *_: Any, **values: Any) -> Protocol:
        """The Protocol of the given split."""
        ...


def validated(protocol: Protocol, **choices: Collection[Any]) -> Protocol:
    """The protocol, after checking that its values are among the choices.

    Args:
        protocol: the protocol to check.
        choices: for each of these fields, the allowed values.

    Raises:
        InputError: a value is not among its field's choices, or there are too many trials.

    >>> validated(Protocol("mine", shots=3), shots=(1, 10))
    Traceback (most recent call last):
    ...
    jreid.errors.InputError: The protocol's shots is 3, ...: choose one of 1, 10.
    """
    choices |= {
        "sampling": choices.get("sampling", ("every", "official", "seeded")),
        "sampled": ("none", "gallery", "query"),
        "ignore": ("nothing", "same_location", "identity_and_camera", "identity_and_location"),
        "split": ("test", "validation"),
        "direction": DIRECTIONS,
        "cmc": CMC_KINDS,
        "distance": DISTANCES,
    }
    for field, allowed in choices.items():
        value = getattr(protocol, field)
        if value not in allowed:
            raise InputError(
                f"The protocol's {field} is {value!r}, which {protocol.name} does not have: choose "
                f"one of {', '.join(map(str, allowed))}."
            )
    if fault := _sampling_fault(protocol):
        raise InputError(f"The protocol {protocol.name} has {fault}.")
    if not 1 <= protocol.trials <= MAX_TRIALS:
        raise InputError(
            f"The protocol's trials is {protocol.trials}: ask for at least one and for at most "
            f"{MAX_TRIALS}."
        )
    return protocol


def _sampling_fault(protocol: Protocol) -> str:
    """Which fields of sampling contradict each other, and what to do; empty if none do."""
    sampling, sampled, shots = protocol.sampling, protocol.sampled, protocol.shots
    if sampling == "every" and sampled != "none":
        return f"sampling=every, but samples the {sampled}: set sampled=none, or another sampling"
    if sampling in ("official", "seeded") and sampled == "none":
        return f"sampling={sampling}, but sampled=none: set sampled=gallery or query"
    if sampling == "seeded" and shots != 1:
        return (
            f"sampling=seeded, which takes one image of an identity and camera, and shots={shots}: "
            "set shots=1, or sampling=official"
        )
    if sampling == "official" and shots < 1:
        return f"sampling=official and shots={shots}: set shots=1 or more"
    return ""

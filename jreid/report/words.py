"""A result row's protocol in plain sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from jreid.errors import counted
from jreid.evaluation.protocols.mixed import own_images
from jreid.evaluation.protocols.regdb import REGDB_TRIALS


def protocol_in_words(row: Mapping[str, Any]) -> str:
    """What a row's numbers measure: queries, gallery, what is skipped, how matches are counted.

    Args:
        row: of a result; fields that an older version did not write are left out.
    """
    rule = row["protocol"]
    queries, _, gallery = rule.get("direction", "infrared_to_visible").partition("_to_")
    drawn = _mixed if rule.get("share") is not None else _plain
    sentences = [*drawn(rule, queries, gallery, _count(row)), _skipped(rule)]
    counts = {
        "identity": "CMC counts each person once, at the nearest image.",
        "image": "CMC counts every gallery image.",
    }
    sentences.append(counts.get(rule.get("cmc", ""), ""))
    sentences.append(f"Distance: {rule.get('distance', 'cosine')}.")
    sentences.append(_trials(row))
    rerank = row.get("rerank", "none")
    sentences.append("" if rerank == "none" else f"Distances are re-ranked: {rerank}.")
    return " ".join(filter(None, sentences))


def _plain(rule: Mapping[str, Any], queries: str, gallery: str, count: str) -> list[str]:
    """The queries and the gallery of one modality each."""
    return [
        f"Queries: {_drawn(rule, 'query')}{queries} images{_cameras(rule, 'query')}{count}.",
        f"Gallery: {_drawn(rule, 'gallery')}{gallery} images{_cameras(rule, 'gallery')}.",
    ]


def _mixed(rule: Mapping[str, Any], queries: str, gallery: str, count: str) -> list[str]:
    """The queries and a gallery of both modalities."""
    which = (
        "in no gallery of any share" if rule.get("queries") == "common" else "not in the gallery"
    )
    images = rule.get("images", 0)
    own = own_images(rule["share"], images)
    return [
        f"Queries: the {queries} images that are {which}{count}.",
        f"Gallery: {counted(images, 'images')} of each person who has both modalities, {own} of "
        f"them {queries} and {images - own} {gallery}, chosen by their names; fewer where a person "
        "has fewer.",
    ]


def _skipped(rule: Mapping[str, Any]) -> str:
    rooms = [f"camera {a} skips camera {b}" for a, b in rule.get("rooms", [])]
    where = f" ({', '.join(rooms)})" if rooms else ""
    return {
        "place": f"A query skips the gallery images from its own place{where}.",
        "identity_and_camera": "A query skips images of its own person from its own camera.",
        "identity_and_location": "A query skips images of its own person from its own place.",
    }.get(rule.get("ignore", ""), "")


def _drawn(rule: Mapping[str, Any], role: str) -> str:
    if rule.get("drawn") != role or not rule.get("shots"):
        return "all "
    shots = counted(rule["shots"], "images")
    draws = {"official": "by the dataset's own list", "agw": "at random by a fixed seed"}
    how = draws.get(rule.get("draw", ""), "")
    return f"{shots} of each person and camera, chosen {how}, of the ".replace(" ,", ",")


def _cameras(rule: Mapping[str, Any], role: str) -> str:
    cameras: Sequence[int] = rule.get(f"{role}_cameras") or ()
    if not cameras:
        return ""
    return f" from camera{'s' * (len(cameras) > 1)} {', '.join(map(str, cameras))}"


def _count(row: Mapping[str, Any]) -> str:
    queries, valid = row.get("queries"), row.get("valid_queries")
    if queries is None:
        return ""
    if valid in (None, queries):
        return f" ({queries:,})"
    return f" ({queries:,}, of which {valid:,} have a match and count)"


def _trials(row: Mapping[str, Any]) -> str:
    trials, of_trials = row.get("trials", 1), row.get("of_trials", 1)
    number = row["protocol"].get("trial")
    if isinstance(number, list):
        return f"The numbers are means over {len(number)} of {of_trials} splits, a model for each."
    sentences = []
    if number:
        sentences.append(f"This is split {number} of {REGDB_TRIALS}, one model of several.")
    if trials > 1:
        sentences.append(f"The numbers are means over {counted(trials, 'galleries')}.")
    return " ".join(sentences)

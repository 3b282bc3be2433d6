"""Protocols in plain sentences."""

import pytest

from jreid.evaluation import PROTOCOLS, read_protocol
from jreid.report.words import protocol_in_words

NEEDED = {"mixed": ":dataset=folder", "mp_reid": ":experiment=cctv_ir_cctv_rgb"}


def row_of(text, **more):
    protocol = read_protocol(text, split_number=2 if text.startswith("regdb") else 0)
    row = {"protocol": protocol.stored(), "rerank": "none", "queries": 10, "valid_queries": 10}
    return {**row, "trials": protocol.trials, "of_trials": protocol.trials, **more}


def test_sysu_mm01_in_words():
    words = protocol_in_words(row_of("sysu_mm01:search=indoor,shots=10", valid_queries=8))
    assert words == (
        "Queries: all infrared images from cameras 3, 6 (10, of which 8 have a match and count). "
        "Gallery: 10 images of each person and camera, chosen by the dataset's own list, of the "
        "visible images from cameras 1, 2. A query skips the gallery images from its own place "
        "(camera 3 skips camera 2). CMC counts each person once, at the nearest image. Distance: "
        "cosine. The numbers are means over 10 galleries."
    )


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_has_words(name):
    words = protocol_in_words(row_of(name + NEEDED.get(name, "")))
    assert words.startswith("Queries: ")
    assert "Gallery: " in words and "Distance: " in words
    assert "  " not in words


def test_a_gallery_of_both_modalities_in_words():
    words = protocol_in_words(row_of("mixed:dataset=sysu_mm01,share=0.25,images=4,queries=own"))
    assert words.startswith(
        "Queries: the infrared images that are not in the gallery (10). Gallery: 4 images of each "
        "person who has both modalities, 1 of them infrared and 3 visible, chosen by their names; "
        "fewer where a person has fewer. A query skips images of its own person from its own place."
    )


def test_a_single_split_and_a_reranking_are_named():
    words = protocol_in_words(row_of("regdb", of_trials=10, rerank="standard(k1=20)"))
    assert "split 2 of 10" in words
    assert words.endswith("re-ranked: standard(k1=20).")


def test_fields_that_an_older_result_lacks_are_left_out():
    assert protocol_in_words({"protocol": {}}).startswith("Queries: all infrared images.")

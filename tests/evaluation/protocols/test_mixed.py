"""Galleries of both modalities: what is drawn, what is skipped, and the measures only they have."""

import numpy as np
import pytest
from helpers import oracle
from helpers.oracle import make_llcm_table, make_table

from jreid.errors import InputError
from jreid.evaluation import Rerank, evaluate, query_gallery, read_protocol, rerank_blocks
from jreid.evaluation.protocols.text import describe
from jreid.evaluation.ranking.mixed import score_mixed
from jreid.evaluation.results.split_means import mean_over_seeds

# Camera 3 stands where camera 2 does.
TWO = make_table({(camera, identity): 2 for camera in (1, 3, 6) for identity in (1, 2)})
MANY = make_table(
    {(camera, identity): 3 for camera in (1, 2, 4, 5, 3, 6) for identity in range(1, 8)}
)


def drawn(table, text):
    protocol = read_protocol(f"mixed:dataset=sysu_mm01,{text}")
    return query_gallery(table, {}, protocol)


def names(table, rows):
    return {*table.name[rows].tolist()}


def test_two_identities_by_hand():
    result = drawn(TWO, "images=2,share=0.5,queries=own,trials=4")
    assert result.query_rows.shape == (4, 6) and result.gallery_rows.shape == (4, 4)
    for queries, gallery in zip(result.query_rows, result.gallery_rows, strict=True):
        assert not {*queries.tolist()} & {*gallery.tolist()}
        for identity in (1, 2):
            of = gallery[TWO.identity[gallery] == identity]
            assert sorted(TWO.modality[of].tolist()) == ["infrared", "visible"]
    assert len({tuple(sorted(gallery.tolist())) for gallery in result.gallery_rows}) > 1
    for q in result.query_rows[0]:
        for g in result.gallery_rows[0]:
            skips = result.query_group[q] == result.gallery_group[g]
            same = TWO.identity[q] == TWO.identity[g] and TWO.camera[q] == TWO.camera[g]
            assert skips == same


def test_a_query_skips_its_identity_in_its_room_only():
    result = drawn(MANY, "images=40")
    for q in np.flatnonzero(MANY.camera == 3)[:3]:
        skipped = np.flatnonzero(result.query_group[q] == result.gallery_group)
        assert {*MANY.camera[skipped].tolist()} == {2, 3}
        assert {*MANY.identity[skipped].tolist()} == {MANY.identity[q]}


def test_a_larger_share_holds_the_images_of_a_smaller_one_and_the_queries_stay():
    before, queries = [set() for _ in range(3)], None
    for share in (0, 0.25, 0.5, 0.75, 1):
        result = drawn(MANY, f"images=4,share={share},trials=3")
        own = [
            names(MANY, gallery[MANY.modality[gallery] == "infrared"])
            for gallery in result.gallery_rows
        ]
        assert all(len(some) == 7 * 4 * share for some in own)
        assert all(small <= large for small, large in zip(before, own, strict=True))
        same = [names(MANY, rows) for rows in result.query_rows]
        assert queries in (None, same)
        before, queries = own, same


def test_the_order_of_the_table_does_not_matter():
    order = np.random.default_rng(0).permutation(len(MANY.name))
    other = MANY.take(order)
    ours, theirs = (drawn(table, "images=4") for table in (MANY, other))
    for a, b in zip(ours.gallery_rows, theirs.gallery_rows, strict=True):
        assert names(MANY, a) == names(other, b)


def test_too_few_images_are_not_filled_up_and_one_is_left_as_query():
    counts = {(1, 1): 1, (6, 1): 3, (1, 2): 5, (6, 2): 1, (4, 3): 2}
    table = make_table(counts)  # identity 3 has one modality
    result = drawn(table, "images=10,share=0.5,queries=own,trials=1")
    gallery, queries = result.gallery_rows[0], result.query_rows[0]
    cells = [*zip(table.identity[gallery].tolist(), table.camera[gallery].tolist(), strict=True)]
    assert {cell: cells.count(cell) for cell in cells} == {(1, 1): 1, (1, 6): 2, (2, 1): 5}
    assert sorted(table.identity[queries].tolist()) == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mixed", "mixed:dataset=sysu_mm01"),
        ("mixed:dataset=market", "not 'market'"),
        ("mixed:dataset=llcm,share=1.5", "share is 1.5.*0 to 1"),
        ("mixed:dataset=llcm,share=-0.1", "share is -0.1.*0 to 1"),
        ("mixed:dataset=llcm,share=nan", "share is nan.*0 to 1"),
        ("mixed:dataset=llcm,images=0", "images is 0"),
        ("mixed:dataset=llcm,queries=all", "common, own"),
        ("mixed:dataset=regdb", "split_number=1"),
        ("mixed:dataset=llcm,split_number=1", "split_number is 1"),
        ("mixed:dataset=llcm,split_number=11", "split_number is 11"),
    ],
)
def test_values_that_it_does_not_have(text, message):
    with pytest.raises(InputError, match=message):
        read_protocol(text)


def test_a_run_knows_its_layout():
    assert read_protocol("mixed", dataset="llcm") == read_protocol("mixed:dataset=llcm")
    assert read_protocol("mixed", split_number=3, dataset="regdb").split_number == 3
    assert read_protocol("mixed", dataset="mylab.layout").location_of_camera == ()
    assert read_protocol("mixed", dataset="orbench").location_of_camera == ((13, 12),)
    with pytest.raises(InputError, match=r"dataset=llcm, but .* dataset=sysu_mm01"):
        read_protocol("mixed:dataset=llcm", dataset="sysu_mm01")
    label = describe(read_protocol("mixed:share=0.25,images=4,queries=own", dataset="llcm"))
    assert label == "mixed 0.25, infrared to visible, 4 images, own queries"


def test_an_empty_gallery_is_refused():
    table = make_llcm_table({("visible", 1, 3): 2, ("infrared", 1, 3): 1})
    with pytest.raises(InputError, match=r"gallery of mixed is empty.*smaller share"):
        query_gallery(table, {}, read_protocol("mixed:share=1", dataset="llcm"))


def features(table, seed=0, noise=1.0):
    random = np.random.default_rng(seed)
    centers = random.normal(size=(8, 6))[table.identity]
    gap = 0.8 * random.normal(size=6) * (table.modality == "visible")[:, None]
    return (centers + gap + noise * random.normal(size=centers.shape)).astype(np.float32)


def test_features_of_the_identity_are_perfect_and_of_the_modality_are_confused():
    protocol = read_protocol("mixed:images=4,trials=2", dataset="sysu_mm01")
    row = evaluate(np.eye(8)[MANY.identity], MANY, {}, protocol)
    assert row["mAP"] == row["cmc"]["1"] == row["mixed"]["cross_modality_mAP"]["mean"] == 1
    assert row["mixed"]["confusion"]["mean"] == 0
    assert row["mixed"]["share"] == 0.5
    same = np.eye(8)[MANY.identity] + 9 * np.eye(8)[np.where(MANY.modality == "visible", 0, 7)]
    alone = read_protocol("mixed:images=4,share=0.25,trials=2", dataset="sysu_mm01")
    with np.errstate(all="raise"):
        row = evaluate(same, MANY, {}, alone)
    skipped = row["mixed"]["confusion"]["mean"]
    assert 0.1 < skipped < 0.9  # where the only match of the own modality is skipped
    assert row["mixed"]["cross_modality_mAP"]["mean"] < row["mAP"]


@pytest.mark.parametrize("rerank", [None, Rerank("standard", 5, 3)])
def test_measures_as_an_oracle_in_loops(rerank):
    protocol = read_protocol("mixed:images=4,trials=2,distance=euclidean", dataset="sysu_mm01")
    values, result = features(MANY), query_gallery(MANY, {}, protocol)
    row = evaluate(values, MANY, {}, protocol, rerank)
    trials = []
    for queries, gallery in zip(result.query_rows, result.gallery_rows, strict=True):
        distance = oracle.distances(values[queries], values[gallery], "euclidean")
        if rerank:
            sides = values[queries], values[gallery]
            distance = np.concatenate([*rerank_blocks(*sides, rerank, distance="euclidean")])
        infrared = MANY.modality[gallery] == "infrared"
        cross, confused, precision = [], [], []
        for q, distances in zip(queries, distance, strict=True):
            kept = result.query_group[q] != result.gallery_group[gallery]
            match = MANY.identity[gallery] == MANY.identity[q]
            labels = MANY.identity[q], MANY.identity[gallery]
            full = oracle.rank_one(distances, *labels, kept, "identity")
            other = oracle.rank_one(distances, *labels, kept & ~(match & infrared), "identity")
            if full[3]:
                precision.append(full[1])
                first = np.flatnonzero(kept)[distances[kept].argmin()]
                confused.append(infrared[first] and not match[first])
            if other[3]:
                cross.append(other[1])
        trials.append([*map(np.mean, (precision, cross, confused))])
    measures = [row["mixed"][name]["mean"] for name in ("cross_modality_mAP", "confusion")]
    assert [row["mAP"], *measures] == pytest.approx(np.mean(trials, axis=0).tolist(), abs=1e-9)
    assert 0 < measures[1] < 1


def test_at_equal_distance_the_wrong_image_comes_first():
    distance, match = np.zeros((1, 3), np.float32), np.array([[True, False, True]])
    own, none = np.array([False, True, True]), np.zeros((1, 3), bool)
    scores = score_mixed(distance, match, none, own)
    assert scores.cross_precision.tolist() == [0.5] and scores.confused.tolist() == [True]
    scores = score_mixed(distance, match, np.array([[False, True, False]]), own)
    assert scores.cross_precision.tolist() == [1] and scores.confused.tolist() == [False]


@pytest.mark.parametrize(("share", "cross"), [(0, "as all"), (1, None)])
def test_galleries_of_one_modality(share, cross):
    protocol = read_protocol(f"mixed:images=4,share={share},trials=2", dataset="sysu_mm01")
    row = evaluate(features(MANY), MANY, {}, protocol)
    measured = row["mixed"]["cross_modality_mAP"]
    assert measured is None if cross is None else measured["mean"] == pytest.approx(row["mAP"])
    assert row["mixed"]["share"] == share
    if share == 0:
        assert row["mixed"]["confusion"]["mean"] == 0


def test_seeds_have_a_mean():
    protocol = read_protocol("mixed:images=4,trials=2", dataset="sysu_mm01")
    rows = [evaluate(features(MANY, seed), MANY, {}, protocol) for seed in (0, 1)]
    (mean,) = mean_over_seeds([{"rows": [row]} for row in rows])
    both = [row["mixed"]["confusion"]["mean"] for row in rows]
    assert mean["mixed"]["confusion"] == {
        "mean": pytest.approx(np.mean(both)),
        "std": pytest.approx(np.std(both, ddof=1)),
    }


@pytest.mark.parametrize("kind", ["query_only", "extended", "constrained"])
def test_re_rankings_that_take_a_side_for_a_modality_are_refused(kind):
    protocol = read_protocol("mixed:images=4", dataset="sysu_mm01")
    with pytest.raises(InputError, match="both modalities"):
        evaluate(features(MANY), MANY, {}, protocol, Rerank(kind, 3, 2))

import json
import warnings

import numpy as np
import pytest
from helpers import oracle
from helpers.oracle import make_index, make_llcm_table, make_table

from jreid.errors import InputError
from jreid.evaluation import evaluate, fingerprint, query_gallery, write_result
from jreid.evaluation.protocols.llcm import llcm
from jreid.evaluation.protocols.regdb import regdb
from jreid.evaluation.protocols.sysu_mm01 import sysu_mm01
from jreid.evaluation.ranking import cmc, inputs
from jreid.evaluation.ranking import rerank as reranking
from jreid.evaluation.ranking.rerank_options import Rerank
from jreid.evaluation.results import checked
from jreid.evaluation.results.collapse import CollapseWarning

COUNTS = {(camera, identity): 4 for camera in range(1, 7) for identity in (6, 10, 17, 21)}
COUNTS |= {(2, 24): 3, (3, 24): 3, (6, 25): 2, (1, 27): 5}
TABLE, INDEX = make_table(COUNTS), make_index(COUNTS)
PROTOCOL = sysu_mm01()


def random_features(seed=0, dimensions=3):
    size = (len(TABLE.name), dimensions)
    return np.random.default_rng(seed).integers(-2, 3, size).astype(np.float32)


@pytest.mark.parametrize(("search", "cameras"), [("all", (1, 2, 4, 5)), ("indoor", (1, 2))])
@pytest.mark.parametrize("shots", [1, 10])
def test_result_equals_the_oracle(search, cameras, shots):
    features = random_features()
    protocol = sysu_mm01(search=search, shots=shots, trials=4, distance="euclidean")
    row = evaluate(features, TABLE, INDEX, protocol, images="abc")
    trials = oracle.sysu_mm01(features, TABLE, INDEX, cameras, shots, 4, "euclidean")
    valid = [[query for query in trial.values() if query[3]] for trial in trials]
    for k in range(1, 21):
        by_trial = [np.mean([query[0] <= k for query in trial]) for trial in valid]
        assert row["cmc"][str(k)] == pytest.approx(np.mean(by_trial), abs=1e-12)
        assert row["std"]["cmc"][str(k)] == pytest.approx(np.std(by_trial), abs=1e-12)
    for key, column in (("mAP", 1), ("mINP", 2)):
        by_trial = [np.mean([query[column] for query in trial]) for trial in valid]
        assert row[key] == pytest.approx(np.mean(by_trial), abs=1e-12)
        assert row["std"][key] == pytest.approx(np.std(by_trial), abs=1e-12)
    assert row["queries"] == 2 * 4 * 4 + 3 + 2
    assert row["valid_queries"] == len(valid[0]) == 2 * 4 * 4
    assert row["unmatched"] == {"identity_not_in_gallery": 2, "only_in_ignored_images": 3}
    assert (row["trials"], row["of_trials"]) == (4, 4)
    assert row["protocol"] == protocol.stored()
    assert row["label"] == f"{search}, {shots}-shot, euclidean"
    assert row["fingerprint"] == fingerprint(protocol, TABLE, query_gallery(TABLE, INDEX, protocol))
    assert (row["rerank"], row["images"]) == ("none", "abc")


@pytest.mark.fault("F16")
def test_queries_without_a_match_are_reported_by_reason():
    """Identity 3 is in the gallery from camera 1 only, which its queries of camera 1 skip."""
    counts = {("visible", 1, 3): 2, ("infrared", 1, 3): 2, ("infrared", 2, 3): 1}
    counts |= {("visible", 2, 12): 1, ("infrared", 4, 12): 1}
    table = make_llcm_table(counts)
    features = np.random.default_rng(0).normal(size=(len(table.name), 4))
    row = evaluate(features, table, {}, llcm(trials=3))
    assert (row["queries"], row["valid_queries"]) == (4, 2)
    assert row["unmatched"] == {"identity_not_in_gallery": 0, "only_in_ignored_images": 2}


def test_one_trial_of_regdb_says_so():
    table = make_llcm_table(
        {(modality, 1, i): 3 for modality in ("visible", "infrared") for i in (1, 2)}
    )
    features = np.random.default_rng(0).normal(size=(len(table.name), 4))
    row = evaluate(features, table, {}, regdb(split_number=3))
    assert (row["trials"], row["of_trials"]) == (1, 10)
    assert "trial 3 of 10" in row["label"]


def test_camera_3_ignores_camera_2_of_everybody():
    """Only images of camera 2 lie between queries and matches: camera 3 alone is unharmed."""
    counts = {(camera, identity): 1 for camera in (1, 2, 3, 6) for identity in (6, 10)}
    table, index = make_table(counts), make_index(counts)
    at = {(1, 6): 4, (1, 10): -4, (2, 6): -1, (2, 10): 1, (3, 6): 0.5, (3, 10): -0.5}
    at |= {(6, 6): 0.5, (6, 10): -0.5}
    cells = zip(table.camera.tolist(), table.identity.tolist(), strict=True)
    features = np.array([[at[cell]] for cell in cells])
    row = evaluate(features, table, index, sysu_mm01(distance="euclidean"))
    assert row["cmc"]["1"] == 0.5
    assert row["cmc"]["5"] == 1


def test_llcm_skips_its_own_camera_for_its_own_identity_only():
    """The match of camera 1 is skipped; somebody else of camera 1 lies before the match of 2."""
    counts = {("visible", 1, 3): 1, ("visible", 2, 3): 1, ("visible", 1, 12): 1}
    table = make_llcm_table(counts | {("infrared", 1, 3): 1})
    at = {("visible", 1, 3): 0, ("visible", 2, 3): 3, ("visible", 1, 12): 2, ("infrared", 1, 3): 0}
    cells = zip(*(c.tolist() for c in (table.modality, table.camera, table.identity)), strict=True)
    features = np.array([[at[cell]] for cell in cells], float)
    row = evaluate(features, table, {}, llcm(distance="euclidean"))
    assert (row["cmc"]["1"], row["cmc"]["5"], row["mAP"]) == (0, 1, 0.5)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_one_feature_an_identity_is_perfect(distance):
    features = np.random.default_rng(1).normal(size=(50, 16))[TABLE.identity]
    row = evaluate(features, TABLE, INDEX, PROTOCOL._replace(distance=distance))
    assert row["cmc"] == {str(k): 1 for k in range(1, 21)}
    assert row["mAP"] == row["mINP"] == 1
    assert row["std"] == {"cmc": {str(k): 0 for k in range(1, 21)}, "mAP": 0, "mINP": 0}


@pytest.mark.fault("F19")
def test_collapsed_features_warn_and_score_nothing():
    constant = np.full((len(TABLE.name), 4), 0.1, np.float32)
    with pytest.warns(CollapseWarning) as warned:
        row = evaluate(constant, TABLE, INDEX, PROTOCOL)
    (warning,) = warned
    assert "in the query and in the gallery images" in str(warning.message)
    assert row["cmc"]["1"] == 0
    random_map = np.mean(
        [evaluate(random_features(s, 8), TABLE, INDEX, PROTOCOL)["mAP"] for s in range(5)]
    )
    assert row["mAP"] < random_map
    infrared = np.where((TABLE.modality == "infrared")[:, None], constant, random_features(0, 4))
    with pytest.warns(CollapseWarning, match="in the query images"):
        evaluate(infrared, TABLE, INDEX, PROTOCOL)


def test_usual_features_and_a_single_query_do_not_warn():
    counts = {("visible", 1, 3): 1, ("visible", 2, 9): 1, ("infrared", 2, 3): 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(random_features(), TABLE, INDEX, PROTOCOL)
        row = evaluate(np.eye(3), make_llcm_table(counts), {}, llcm())
    assert row["queries"] == 1


def test_broken_features_are_named_and_unused_ones_ignored():
    features = random_features()
    features[TABLE.name == "cam6/0025/0002"] = np.nan
    with pytest.raises(InputError, match="1 of 37 images, the first of them cam6/0025/0002"):
        evaluate(features, TABLE, INDEX, PROTOCOL)
    table = TABLE._replace(split=np.where(TABLE.identity == 25, "train", TABLE.split))
    assert evaluate(features, table, INDEX, PROTOCOL)["queries"] == 35


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_features_of_rows_that_are_not_drawn_do_not_count(distance):
    protocol = PROTOCOL._replace(distance=distance)
    table = TABLE._replace(split=np.where(TABLE.identity == 25, "train", TABLE.split))
    features = random_features()
    expected = evaluate(features, table, INDEX, protocol)
    features[table.split == "train"] *= np.float32(1e30)  # beside which the others would vanish
    assert evaluate(features, table, INDEX, protocol) == expected


@pytest.mark.parametrize("rerank", [None, Rerank("standard", 4, 2)])
def test_features_are_checked_once(monkeypatch, rerank):
    calls = []

    def counted(features, name):
        calls.append(name)
        return inputs.check_features(features, name)

    monkeypatch.setattr(checked, "check_features", counted)
    for name in ("check_pair", "require_finite", "rescale_for_float32"):
        for module in (cmc, reranking):
            monkeypatch.setattr(module, name, None, raising=False)
    evaluate(random_features(), TABLE, INDEX, PROTOCOL, rerank)
    assert calls == ["features"]


def test_a_feature_for_every_row():
    with pytest.raises(ValueError, match=rf"must be \[{len(TABLE.name)}, D\]"):
        evaluate(random_features()[:-1], TABLE, INDEX, PROTOCOL)


def test_result_file_is_whole_or_absent(tmp_path):
    row = evaluate(random_features(), TABLE, INDEX, PROTOCOL)
    path = tmp_path / "run" / "result.json"
    write_result(path, {"seed": 3, "rows": [row]})
    assert json.loads(path.read_text()) == json.loads(json.dumps({"seed": 3, "rows": [row]}))
    with pytest.raises(ValueError, match="JSON"):
        write_result(path, {"rows": [float("nan")]})
    assert json.loads(path.read_text())["seed"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


def test_a_reranked_row_is_of_the_reranked_distances():
    rerank = Rerank("standard", 4, 2, 0.3)
    features = np.random.default_rng(3).normal(size=(len(TABLE.name), 4)).astype(np.float32)
    protocol = sysu_mm01(trials=2, distance="euclidean")
    row = evaluate(features, TABLE, INDEX, protocol, rerank)
    drawn, precisions, firsts = query_gallery(TABLE, INDEX, protocol), [], []
    for query, gallery in zip(drawn.query_rows, drawn.gallery_rows, strict=True):
        sides = features[query], features[gallery]
        blocks = reranking.rerank_blocks(*sides, rerank, distance="euclidean")
        kept = drawn.query_group[query][:, None] != drawn.gallery_group[gallery]
        identities = TABLE.identity[query], TABLE.identity[gallery]
        rank, precision, _, matches = oracle.rank_all(np.concatenate([*blocks]), *identities, kept)
        precisions.append(precision[matches > 0].mean())
        firsts.append((rank[matches > 0] == 1).mean())
    assert row["mAP"] == pytest.approx(np.mean(precisions), abs=1e-9)
    assert row["cmc"]["1"] == pytest.approx(np.mean(firsts), abs=1e-9)
    raw = evaluate(features, TABLE, INDEX, protocol)
    assert row["rerank"] == "standard(k1=4,k2=2,lambda=0.3)"
    assert row["fingerprint"] != raw["fingerprint"]
    assert row["mAP"] != raw["mAP"]
    assert {key: row[key] for key in ("protocol", "label", "queries", "unmatched")} == {
        key: raw[key] for key in ("protocol", "label", "queries", "unmatched")
    }

import io
import json
import warnings

import numpy as np
import pytest
from oracle import make_index, make_table, sysu_mm01
from rich.console import Console

from jreid.errors import InputError
from jreid.evaluation import Protocol, evaluate, fingerprint, format_table, write_result

COUNTS = {(camera, identity): 4 for camera in range(1, 7) for identity in (6, 10, 17, 21)}
COUNTS |= {(2, 24): 3, (3, 24): 3, (6, 25): 2, (1, 27): 5}
TABLE, INDEX = make_table(COUNTS), make_index(COUNTS)
PROTOCOL = Protocol("sysu_mm01")


def random_features(seed=0, dimensions=3):
    size = (len(TABLE.name), dimensions)
    return np.random.default_rng(seed).integers(-2, 3, size).astype(np.float32)


@pytest.mark.parametrize(("search", "cameras"), [("all", (1, 2, 4, 5)), ("indoor", (1, 2))])
@pytest.mark.parametrize("shots", [1, 10])
def test_result_equals_the_oracle(search, cameras, shots):
    features = random_features()
    protocol = Protocol("sysu_mm01", search=search, shots=shots, trials=4, distance="euclidean")
    row = evaluate(features, TABLE, INDEX, protocol, "hash")
    expected = sysu_mm01(features, TABLE, INDEX, "test", cameras, shots, 4, "euclidean")
    for k in (1, 5, 10, 20):
        by_trial = [(rank[matches > 0] <= k).mean() for rank, _, _, matches in expected]
        assert row["cmc"][str(k)] == pytest.approx(np.mean(by_trial), abs=1e-12)
        assert row["std"]["cmc"][str(k)] == pytest.approx(np.std(by_trial), abs=1e-12)
    for key, column in (("mAP", 1), ("mINP", 2)):
        by_trial = [trial[column][trial[3] > 0].mean() for trial in expected]
        assert row[key] == pytest.approx(np.mean(by_trial), abs=1e-12)
        assert row["std"][key] == pytest.approx(np.std(by_trial), abs=1e-12)
    assert row["queries"] == 2 * 4 * 4 + 3 + 2
    assert row["valid_queries"] == (expected[0][3] > 0).sum() == 2 * 4 * 4
    assert row["trials"] == 4
    assert row["protocol"] == protocol._asdict()
    assert row["fingerprint"] == fingerprint(protocol, "hash")
    assert row["rerank"] == "none"


def test_camera_3_ignores_camera_2_of_everybody():
    """Only images of camera 2 lie between queries and matches: camera 3 alone is unharmed."""
    counts = {(camera, identity): 1 for camera in (1, 2, 3, 6) for identity in (6, 10)}
    table, index = make_table(counts), make_index(counts)
    at = {(1, 6): 4, (1, 10): -4, (2, 6): -1, (2, 10): 1, (3, 6): 0.5, (3, 10): -0.5}
    at |= {(6, 6): 0.5, (6, 10): -0.5}
    cells = zip(table.camera.tolist(), table.identity.tolist(), strict=True)
    features = np.array([[at[cell]] for cell in cells])
    row = evaluate(features, table, index, PROTOCOL._replace(distance="euclidean"), "")
    assert row["cmc"]["1"] == 0.5
    assert row["cmc"]["5"] == 1


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_one_feature_an_identity_is_perfect(distance):
    features = np.random.default_rng(1).normal(size=(50, 16))[TABLE.identity]
    row = evaluate(features, TABLE, INDEX, PROTOCOL._replace(distance=distance), "")
    assert row["cmc"] == {"1": 1, "5": 1, "10": 1, "20": 1}
    assert row["mAP"] == row["mINP"] == 1
    assert row["std"] == {"cmc": {"1": 0, "5": 0, "10": 0, "20": 0}, "mAP": 0, "mINP": 0}


def test_collapsed_features_warn_and_score_nothing():
    constant = np.full((len(TABLE.name), 4), 0.1, np.float32)
    with pytest.warns(RuntimeWarning, match="collapsed") as warned:
        row = evaluate(constant, TABLE, INDEX, PROTOCOL, "")
    roles = [str(warning.message) for warning in warned]
    assert "all 37 query images" in roles[0]
    assert "all 67 gallery images" in roles[1]
    assert row["cmc"]["1"] == 0
    random_map = np.mean(
        [evaluate(random_features(s, 8), TABLE, INDEX, PROTOCOL, "")["mAP"] for s in range(5)]
    )
    assert row["mAP"] < random_map
    infrared = np.where((TABLE.modality == "infrared")[:, None], constant, random_features(0, 4))
    with pytest.warns(RuntimeWarning, match="query"):
        evaluate(infrared, TABLE, INDEX, PROTOCOL, "")


def test_usual_features_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(random_features(), TABLE, INDEX, PROTOCOL, "")


def test_broken_features_are_named_and_unused_ones_ignored():
    features = random_features()
    features[TABLE.name == "cam6/0025/0002"] = np.nan
    with pytest.raises(InputError, match="1 of 37 images, the first of them cam6/0025/0002"):
        evaluate(features, TABLE, INDEX, PROTOCOL, "")
    table = TABLE._replace(split=np.where(TABLE.identity == 25, "train", TABLE.split))
    assert evaluate(features, table, INDEX, PROTOCOL, "")["queries"] == 35


def test_a_feature_for_every_row():
    with pytest.raises(ValueError, match=rf"must be \[{len(TABLE.name)}, D\]"):
        evaluate(random_features()[:-1], TABLE, INDEX, PROTOCOL, "")


def test_result_file_is_whole_or_absent(tmp_path):
    row = evaluate(random_features(), TABLE, INDEX, PROTOCOL, "")
    path = tmp_path / "run" / "result.json"
    write_result(path, {"seed": 3, "rows": [row]})
    assert json.loads(path.read_text()) == {"seed": 3, "rows": [row]}
    with pytest.raises(ValueError, match="JSON"):
        write_result(path, {"rows": [float("nan")]})
    assert json.loads(path.read_text())["seed"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


def test_table_for_the_terminal():
    row = evaluate(random_features(), TABLE, INDEX, PROTOCOL, "hash")
    row |= {"cmc": {"1": 0.4567, "5": 0.5, "10": 0.75, "20": 1.0}, "mAP": 0.25}
    row["std"] |= {"mAP": 0.0123}
    on_validation = row | {"protocol": row["protocol"] | {"split": "validation"}}
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(format_table([row | {"checkpoint": "best"}, on_validation]))
    text = console.export_text()
    for part in ("checkpoint", "best", "45.67±", "100.0", "25.00±1.23", "32/37", "validation"):
        assert part in text
    assert text.count("validation") == 1
    assert row["fingerprint"] in text
    assert "checkpoint" not in [str(c.header) for c in format_table([row]).columns]

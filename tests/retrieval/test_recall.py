"""What an approximate index loses: nothing if it is exact, and by hand where it is not."""

import contextlib
import io
import json

import numpy as np
import pytest
from helpers.feature_files import FORMATS
from helpers.features import arrays_of
from helpers.oracle import make_index, make_table

from jreid.__main__ import main
from jreid.errors import InputError
from jreid.evaluation import evaluate, read_protocol
from jreid.retrieval.recall import measure

faiss = pytest.importorskip("faiss")
COUNTS = {(camera, identity): 3 for camera in range(1, 7) for identity in range(1, 13)}
TABLE = make_table(COUNTS)
RANDOM = np.random.default_rng(0)
PEOPLE = RANDOM.normal(size=(13, 8))
FEATURES = (PEOPLE[TABLE.identity] + RANDOM.normal(size=(len(TABLE.name), 8))).astype(np.float32)
SYSU, FOLDER = "sysu_mm01:trials=2", "folder"


def rows(protocol=SYSU, indexes=("Flat",), features=FEATURES, **options):
    rule = read_protocol(protocol)
    return measure(features, TABLE, make_index(COUNTS), rule, indexes, **options)


@pytest.mark.parametrize("protocol", [SYSU, f"{SYSU},search=indoor", "folder:distance=euclidean"])
def test_an_exact_index_loses_nothing(protocol):
    exact, first, flat = rows(protocol, top=10_000)
    result = evaluate(FEATURES, TABLE, make_index(COUNTS), read_protocol(protocol))
    assert (exact.rank1, exact.mean_average_precision) == (result["cmc"]["1"], result["mAP"])
    for one in (first, flat):
        assert one.rank1 == pytest.approx(exact.rank1, abs=1e-9)
        assert one.mean_average_precision == pytest.approx(exact.mean_average_precision, abs=1e-6)
    assert {*flat.recall.values()} == {1.0} and [*flat.recall][:2] == [1, 10]
    assert flat.size and flat.milliseconds is not None


def test_few_images_lose_average_precision_and_never_gain():
    exact, first, flat = rows(FOLDER, top=5)
    assert first.mean_average_precision < exact.mean_average_precision
    assert first.rank1 == pytest.approx(exact.rank1)
    assert flat.mean_average_precision == pytest.approx(first.mean_average_precision)
    assert [*flat.recall] == [1, 5]


def test_a_coarse_index_loses_recall():
    _, first, good, coarse = rows(FOLDER, ["IVF8,Flat", "PQ1x2"], top=20, parameters="")
    assert coarse.recall[20] < 0.9 and coarse.mean_average_precision < first.mean_average_precision
    assert good.recall[20] < 1
    every = rows(FOLDER, ["IVF8,Flat"], top=20, parameters="nprobe=8")[-1]
    assert every.recall[20] == 1 and every.rank1 == pytest.approx(first.rank1)


def test_by_hand(tmp_path):
    """Query 1 of person 7 finds a stranger, then one of its two matches; query 2 finds nothing."""
    # Sorted by name, the gallery is a, b, z; in the file it is z, a, b.
    names, people = ["q1", "q2", "z", "a", "b"], [7, 8, 8, 7, 7]
    modalities = ["infrared"] * 2 + ["visible"] * 3
    labels = {"names": np.array(names), "identities": np.array(people)}
    labels |= {"cameras": np.array([3, 3, 1, 1, 1]), "modalities": np.array(modalities)}
    angles = np.radians([0.0, 90, 10, 20, 60])  # q1's nearest: z, a, b; q2's nearest: b, a, z
    features = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    np.savez(tmp_path / "f.npz", features=features, **labels)
    command = ["recall", f"--features={tmp_path / 'f.npz'}", "--protocol=folder", "--top=2"]
    for name, index in (("dot", faiss.IndexFlatIP(2)), ("l2", faiss.IndexFlatL2(2))):
        index.add(features[2:])
        faiss.write_index(index, str(tmp_path / name))
        command.append(f"--index={tmp_path / name}")
    exact, first, dot, l2 = rows_of(command)
    assert exact["rank1"] == first["rank1"] == dot["rank1"] == l2["rank1"] == 0
    # q1: one of two matches, at rank 2; q2: none in the first two.
    found = first["mean_average_precision"]
    assert found == pytest.approx((0.5 / 2 + 0) / 2)
    assert exact["mean_average_precision"] == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1 / 3) / 2)
    assert dot["mean_average_precision"] == l2["mean_average_precision"] == found
    assert dot["recall"] == l2["recall"] == {"1": 1.0, "2": 1.0}


def rows_of(command):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*command, "--json"]) == 0
    return json.loads(out.getvalue())["rows"]


@pytest.mark.parametrize(
    ("indexes", "options", "message"),
    [
        (["nonsense"], {}, "--index=nonsense does not exist as a file.*HNSW32"),
        (["IVF999,Flat"], {}, "IVF999,Flat"),
        (["Flat"], {"parameters": "nprobes=3"}, "--search=nprobes=3"),
        (["few"], {}, "few has 3 vectors of 8 dimensions, .* gallery has 144 images of 8"),
        (["wide"], {}, "wide has 144 vectors of 9 dimensions"),
        (["text"], {}, "text is not an index of faiss"),
        (["ids"], {}, "ids has ids of its own, such as 1143 of 144 images"),
        (["."], {}, "is a folder"),
    ],
)
def test_indexes_that_cannot_be_used(indexes, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, vectors in (("few", FEATURES[:3]), ("wide", np.zeros((144, 9), np.float32))):
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors))
        faiss.write_index(index, name)
    with_ids = faiss.IndexIDMap(faiss.IndexFlatIP(8))
    with_ids.add_with_ids(FEATURES[:144], np.arange(1000, 1144))
    faiss.write_index(with_ids, "ids")
    (tmp_path / "text").write_text("an index")
    with pytest.raises(InputError, match=message) as raised:
        rows(FOLDER, indexes, **options)
    assert "\n" not in str(raised.value)


def test_protocols_that_do_not_fit():
    with pytest.raises(InputError, match="both modalities"):
        rows("mixed:dataset=sysu_mm01")


def test_features_without_labels_and_no_images(tmp_path, capsys):
    arrays = arrays_of(TABLE, FEATURES)
    del arrays["cameras"]
    np.savez(tmp_path / "f.npz", **arrays)
    command = ["recall", f"--features={tmp_path / 'f.npz'}", "--index=Flat", "--protocol=folder"]
    assert main(command) == 2
    assert "no array cameras" in capsys.readouterr().err
    assert main([*command, "--top=0"]) == 2
    assert "--top=0" in capsys.readouterr().err


@pytest.mark.parametrize("name", FORMATS)
def test_features_of_every_format(name, tmp_path):
    order = np.random.default_rng(1).permutation(len(FEATURES))
    save = FORMATS[name]
    save(tmp_path / name, {key: array[order] for key, array in arrays_of(TABLE, FEATURES).items()})
    command = ["recall", f"--features={tmp_path / name}", "--protocol=folder", "--index=Flat"]
    exact, *_, flat = rows_of(command)
    wanted = rows(FOLDER)[0]
    assert (exact["rank1"], exact["mean_average_precision"]) == wanted[2:4]
    assert {*flat["recall"].values()} == {1.0}


def found_file(path, found, queries=None):
    names = TABLE.name[TABLE.modality == "infrared"] if queries is None else queries
    np.savez(path, queries=names, found=found)
    return str(path)


def test_what_a_database_found_counts_as_an_index_does(tmp_path):
    """Given in another order and with suffixes; of one query half is missing."""
    infrared = TABLE.modality == "infrared"
    index = faiss.IndexFlatIP(8)
    unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    index.add(unit[~infrared])
    found = TABLE.name[~infrared][index.search(unit[infrared], 20)[1]]
    order = RANDOM.permutation(infrared.sum())
    jpg = np.char.add(found[order], ".jpg")
    file = found_file(tmp_path / "f.npz", jpg, TABLE.name[infrared][order])
    _, first, flat, given = rows(FOLDER, ["Flat", file], top=20)
    assert given[1:4] == flat[1:4] and given.milliseconds is None and given.size is None
    found[0, 10:] = ""
    less = rows(FOLDER, [found_file(tmp_path / "g.npz", found)], top=20)[-1]
    assert less.recall[10] == 1 and less.recall[20] == pytest.approx(1 - 10 / found.size)
    assert less.mean_average_precision <= first.mean_average_precision


@pytest.mark.parametrize(
    ("found", "queries", "message"),
    [
        (np.full((72, 3), "cam9/x"), None, "found has cam9/x, which is not in .* gallery"),
        (np.full((72, 2), ""), None, r"found is \[72, 2\]"),
        (np.full((71, 3), ""), None, r"found is \[71, 3\], for 72 queries"),
        (np.zeros((72, 3), int), None, "must be texts"),
        (np.full((2, 3), ""), np.array(["a", "b"]), "queries lacks cam3/0001/.*, and 72 names"),
        (np.full((72, 3), TABLE.name[0]), None, f"{TABLE.name[0]} more than once for cam3/0001/"),
    ],
)
def test_what_a_database_found_is_checked(found, queries, message, tmp_path):
    file = found_file(tmp_path / "f.npz", found, queries)
    with pytest.raises(InputError, match=message):
        rows(FOLDER, [file], top=3)

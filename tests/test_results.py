"""What a result stands for: its run, checkpoint, config and images, and marks for what differs."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
from helpers.observed import Interrupt, train_observed
from helpers.old_configs import as_written_before
from helpers.paths import ROOT
from ml_collections import ConfigDict

from jreid import config as configs
from jreid.__main__ import main
from jreid.data.dataset import files_fingerprint
from jreid.data.layouts.sysu_mm01 import COUNTS
from jreid.evaluation import query_gallery
from jreid.evaluation.results import row as result_row
from jreid.evaluation.results.marks import marks
from jreid.find import Trust
from jreid.runs import finished, protocols, score
from jreid.runs.run import Run, source_of

SHORT = [
    "--config.method=helpers.small_method",
    "--config.protocols=sysu_mm01:search=all,shots=1,trials=2",
    "--config.evaluation.rerank=none",
]


@pytest.fixture(autouse=True)
def _trust(monkeypatch):
    """As --trust-code, for runs that are read without a command."""
    monkeypatch.setattr(Trust, "given", True)


@pytest.fixture(scope="module")
def flags(tiny_folder, prepared):
    places = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
    return [f"--config={ROOT}/configs/agw.py:tiny", *places, *SHORT, "--config.epochs=1"]


@pytest.fixture(scope="module")
def draws():
    """The protocols that the training of `trained` has drawn, a split each time."""
    return []


@pytest.fixture(scope="module")
def trained(flags, draws, tmp_path_factory):
    def counted(table, gallery_index, protocol):
        draws.append(protocol.split)
        return query_gallery(table, gallery_index, protocol)

    workdir = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for module in (protocols, result_row):
            patch.setattr(module, "query_gallery", counted)
        assert main(["train", "--no-report", *flags, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a finished run, to be spoiled."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(scope="module")
def config(flags):
    source, *overrides = flags
    return configs.load(source.removeprefix("--config="), overrides)


def call(capsys, *arguments):
    """The status, what was printed, and the last line of standard error."""
    capsys.readouterr()
    arguments = [*map(str, arguments)]
    if any(argument.startswith("--workdir=") for argument in arguments):
        arguments.append("--trust-code")
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, (err.strip().splitlines() or [""])[-1]


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def damage(run, step):
    (run / "checkpoints" / str(step) / "model/params.Conv_0.bias/c/0").write_bytes(b"no")


def last_step(run):
    return max(int(path.name) for path in (run / "checkpoints").iterdir())


def test_a_training_draws_each_protocol_once(trained, draws):
    result = json.loads((trained / "result.json").read_text())
    assert [row["checkpoint"] for row in result["rows"]] == ["last", "best"]  # it was validated
    assert draws == ["test", "validation"]


def test_a_finished_run_is_not_evaluated_again(run, flags, capsys, monkeypatch):
    written = (run / "result.json").read_bytes()
    monkeypatch.setattr("jreid.training.train.train", None)
    monkeypatch.setattr("jreid.runs.evaluate.evaluate_run", None)
    status, out, message = call(capsys, "train", "--no-report", *flags, f"--workdir={run}")
    assert status == 0
    assert "is finished" in message
    assert str(last_step(run)) in out
    assert (run / "result.json").read_bytes() == written


def cut(run):
    (run / "result.json").write_text((run / "result.json").read_text()[:-100])


@pytest.mark.fault("A1")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: shutil.rmtree(run / "checkpoints" / str(last_step(run))),
        lambda run: damage(run, last_step(run)),
        lambda run: edit(run / "result.json", lambda message: message.update(config_hash="other")),
        lambda run: edit(
            run / "result.json", lambda message: message.update(files_fingerprint="other")
        ),
        lambda run: edit(run / "result.json", lambda message: message["rows"][0].update(step=0)),
        lambda run: edit(
            run / "result.json", lambda message: message["rows"][0].update(weights="0")
        ),
        lambda run: edit(run / "result.json", lambda message: message["rows"].pop()),
        lambda run: edit(run / "result.json", lambda message: message.pop("data_fingerprint")),
        lambda run: edit(
            run / "run.json", lambda message: message.update(steps=message["steps"] + 1)
        ),
        lambda run: edit(run / "run.json", lambda message: message.pop("steps")),
        lambda run: (run / "result.json").unlink(),
        cut,
    ],
)
def test_what_is_not_finished(run, config, spoil):
    assert finished.is_finished(Run(run), config)
    spoil(run)
    assert not finished.is_finished(Run(run), config)


def test_an_update_of_jreid_leaves_a_run_finished(run, config):
    evaluation = {"searches": ["all"], "shots": [1], "trials": 2, "rerank": ["none"]}
    old = as_written_before(config, "sysu_mm01", evaluation | {"k1": 5, "k2": 2})
    (run / "config.json").write_text(json.dumps(old))
    edit(run / "run.json", lambda record: record.update(config=old))
    edit(
        run / "result.json",
        lambda result: result.update(config_hash=configs.digest(ConfigDict(old))),
    )
    assert finished.is_finished(Run(run), config)
    assert not finished.is_finished(Run(run), configs.override(config, ["--config.seed=9"]))


@pytest.mark.fault("B1")
def test_raw_rows_of_both_checkpoints_are_kept_where_re_ranking_fails(
    run, config, capsys, monkeypatch
):
    rank, written = score.evaluate, []

    def fails(*arguments, **options):
        if arguments[4] is None:
            return rank(*arguments, **options)
        written.append(json.loads((run / "result.json").read_text())["rows"])
        raise MemoryError

    monkeypatch.setattr(score, "evaluate", fails)
    reranked = ["--config.evaluation.rerank=standard:k1=5,none"]
    status, out, err = call(capsys, "evaluate", f"--workdir={run}", *reranked)
    result = json.loads((run / "result.json").read_text())
    assert status == 2
    assert "the result lacks re-ranked rows: re-ranking standard" in err
    assert [(row["checkpoint"], row["rerank"]) for row in result["rows"]] == [
        ("last", "none"),
        ("best", "none"),
    ]
    assert result["rows"][0]["fingerprint"] in out
    assert written and all(rows == result["rows"] for rows in written)
    assert not finished.is_finished(Run(run), configs.override(config, reranked))


@pytest.mark.fault("A1")
def test_a_run_is_not_finished_on_other_images_or_another_config(
    run, config, tiny_folder, tmp_path
):
    folder = shutil.copytree(tiny_folder, tmp_path / "copy")
    other = configs.override(config, [f"--config.data.folder={folder}"])
    assert finished.is_finished(Run(run), other)
    image = next((folder / "cam1").glob("*/*.jpg"))
    image.write_bytes(image.read_bytes()[:-2] + b"\xff\xd9\n")
    assert not finished.is_finished(Run(run), other)
    flipped = configs.override(config, ["--config.evaluation.flip=true"])
    assert not finished.is_finished(Run(run), flipped)


@pytest.mark.slow
@pytest.mark.fault("A1")
def test_a_run_stopped_at_step_0_and_evaluated_is_trained(flags, tmp_path, capsys):
    workdir = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_observed(flags, workdir, Interrupt(0))
    status, out, _ = call(capsys, "evaluate", f"--workdir={workdir}")
    assert status == 0
    assert "stopped before step" in out
    (row,) = json.loads((workdir / "result.json").read_text())["rows"]
    assert (row["step"], row["fallback"]) == (0, False) and row["of_steps"] > 0
    assert call(capsys, "train", "--no-report", *flags, f"--workdir={workdir}")[0] == 0
    rows = json.loads((workdir / "result.json").read_text())["rows"]
    assert (
        {row["step"] for row in rows} == {row["of_steps"] for row in rows} == {last_step(workdir)}
    )


@pytest.mark.fault("A2")
def test_other_data_are_another_result(run, render, tmp_path, capsys):
    other, written = render(tmp_path / "other", seed=1), (run / "result.json").read_bytes()
    evaluate = ["evaluate", f"--workdir={run}", f"--config.data.folder={other}"]
    status, _, err = call(capsys, *evaluate)
    assert status == 2
    assert str(other) in err and "--other-data" in err
    status, out, _ = call(capsys, *evaluate, "--other-data")
    assert status == 0
    assert "other data" in out
    assert (run / "result.json").read_bytes() == written
    (file,) = run.glob("result-*.json")
    result = json.loads(file.read_text())
    assert {row["other_data"] for row in result["rows"]} == {True}
    assert result["data_fingerprint"].startswith(file.stem.removeprefix("result-"))
    _, out, _ = call(capsys, "evaluate", "--compare", file, file)
    assert "first: other data" in out

    features = tmp_path / "features.npz"
    embed = ["embed", *evaluate[1:], "--split=test", f"--output={features}"]
    assert "--other-data" in call(capsys, *embed)[2]
    assert call(capsys, *embed, "--other-data")[0] == 0
    message = ["evaluate", f"--features={features}", "--protocol=sysu_mm01:sampling=seeded"]
    assert "other data" in call(capsys, *message)[1]


def test_a_run_is_evaluated_on_another_dataset_by_its_protocols(
    run, render, tmp_path, capsys, caplog
):
    other = render(tmp_path / "other", "llcm", seed=1)
    evaluate = ["evaluate", f"--workdir={run}", "--data=tiny_llcm", f"--data-folder={other}"]
    assert call(capsys, *evaluate)[0] == 0
    (file,) = run.glob("result-*.json")
    result = json.loads(file.read_text())
    protocols = [row["protocol"] for row in result["rows"] if row["checkpoint"] == "last"]
    assert {protocol["name"] for protocol in protocols} == {"llcm"} and len(protocols) == 2
    assert {(row["dataset"], row["trained_on"]) for row in result["rows"]} == {
        ("tiny_llcm", "tiny")
    }
    assert "--data-folder needs --data" in call(capsys, *evaluate[:2], evaluate[3])[2]
    assert "llcm" in call(capsys, *evaluate[:2], "--data=llm")[2]
    assert call(capsys, *evaluate[:3], f"--data-folder={tmp_path}/nowhere")[0] == 2
    for chosen, named in (("", True), (",trial=3", False)):
        regdb = [*evaluate[:2], f"--data=regdb{chosen}", f"--data-folder={tmp_path}/nowhere"]
        caplog.clear()
        assert call(capsys, *regdb)[0] == 2
        assert ("trial=1 is used" in caplog.text) is named
    compare = ["evaluate", "--compare", run, run, "--data=tiny_llcm"]
    assert "goes only with --workdir" in call(capsys, *compare)[2]


@pytest.mark.fault("A2")
def test_people_that_were_trained_on_are_no_test_people(run, tiny_folder, tmp_path, capsys):
    folder = shutil.copytree(tiny_folder, tmp_path / "swapped")
    lists = folder / "exp" / "train_id.txt", folder / "exp" / "test_id.txt"
    train, test = (file.read_text() for file in lists)
    lists[0].write_text(test)
    lists[1].write_text(train)
    for label in folder.glob("*.json"):  # its counts are of the splits as they were
        edit(label, lambda content: content.update(counts=[]))
    evaluate = ["evaluate", f"--workdir={run}", f"--config.data.folder={folder}", "--other-data"]
    status, _, err = call(capsys, *evaluate)
    assert status == 2
    assert "8 identities, were training images" in err
    assert not [*run.glob("result-*.json")]


def test_the_runs_own_data_at_another_place_are_its_own(run, tiny_folder, tmp_path, capsys):
    folder = shutil.copytree(tiny_folder, tmp_path / "copy")
    evaluate = ["evaluate", f"--workdir={run}", f"--config.data.folder={folder}"]
    before = json.loads((run / "result.json").read_text())
    assert call(capsys, *evaluate)[0] == 0
    after = json.loads((run / "result.json").read_text())
    same = ("rows", "config_hash", "extraction", "data_fingerprint", "files_fingerprint")
    assert [before[name] for name in same] == [after[name] for name in same]


@pytest.mark.fault("A5")
@pytest.mark.parametrize(
    "verb",
    [
        ["evaluate"],
        ["train"],
        ["pictures"],
        ["embed", "--split=test", "--output=x.npz"],
        ["embed", "--images=.", "--modality=visible", "--output=x.npz"],
    ],
)
def test_a_config_that_was_edited_is_refused(run, capsys, verb):
    edit(run / "config.json", lambda content: content["image"].update(resize="bilinear"))
    status, _, err = call(capsys, *verb, f"--workdir={run}")
    assert status == 2
    assert "image.resize: bilinear, lanczos" in err and "config.json" in err


@pytest.mark.fault("A5")
def test_an_edited_config_is_a_drift_of_training(run, capsys):
    edit(run / "config.json", lambda content: content["image"].update(resize="bilinear"))
    assert call(capsys, "train", "--no-report", f"--workdir={run}", "--allow-config-drift")[0] == 0
    drifts = json.loads((run / "run.json").read_text())["drifts"]
    assert "image.resize: bilinear, lanczos" in drifts[-1]["changed"]
    assert call(capsys, "evaluate", f"--workdir={run}")[0] == 0


@pytest.mark.fault("A5")
def test_features_extracted_otherwise_are_reported_in_a_comparison(trained, tmp_path, capsys):
    results = [json.loads((trained / "result.json").read_text()) for _ in range(2)]
    assert results[0]["extraction"]["evaluation.flip"] is False
    results[1]["extraction"]["evaluation.flip"] = True
    files = [tmp_path / f"{number}.json" for number in range(2)]
    for file, result in zip(files, results, strict=True):
        file.write_text(json.dumps(result))
    out = call(capsys, "evaluate", "--compare", *files)[1]
    assert "extracted differently: evaluation.flip: False, True" in out
    assert "differently" not in call(capsys, "evaluate", "--compare", files[0], files[0])[1]
    results[1]["extraction"]["evaluation.flip"] = False
    del results[1]["extraction"]["image.gray_infrared"]  # as before there was this field
    files[1].write_text(json.dumps(results[1]))
    assert "differently" not in call(capsys, "evaluate", "--compare", *files)[1]
    results[0]["extraction"]["image.gray_infrared"] = True
    files[0].write_text(json.dumps(results[0]))
    assert "gray_infrared: True, False" in call(capsys, "evaluate", "--compare", *files)[1]
    del results[1]["extraction"]  # as older versions wrote
    files[1].write_text(json.dumps(results[1]))
    out = call(capsys, "evaluate", "--compare", *files)[1]
    assert f"{files[1]} does not say how" in out.replace("\n", "")


@pytest.mark.fault("A6")
def test_a_row_of_an_earlier_step_than_asked_for_is_marked(run, tmp_path, capsys):
    step = last_step(run)
    damage(run, step)
    status, out, _ = call(capsys, "evaluate", f"--workdir={run}")
    assert status == 0
    assert f"step {step} is damaged" in out
    rows = json.loads((run / "result.json").read_text())["rows"]
    assert [(r["checkpoint"], r["step"], r["asked_step"], r["fallback"]) for r in rows] == [
        ("last", 0, step, True)
    ]
    features, result = tmp_path / "f.npz", tmp_path / "r.json"
    embed = ["embed", f"--workdir={run}", "--split=test", f"--output={features}"]
    assert call(capsys, *embed)[0] == 0
    message = ["evaluate", f"--features={features}", "--protocol=sysu_mm01:sampling=seeded"]
    assert f"step {step} is damaged" in call(capsys, *message, f"--output={result}")[1]
    _, out, _ = call(capsys, "evaluate", "--compare", result, result)
    assert f"second: step {step} is damaged" in " ".join(out.split())


def test_the_files_fingerprint_is_that_of_the_dataset(config, tiny_dataset):
    assert files_fingerprint(source_of(config)) == tiny_dataset.files_fingerprint


@pytest.mark.fault("A7")
def test_what_is_known_survives_embedding(run, tmp_path, capsys):
    file, output = tmp_path / "f.npz", tmp_path / "r.json"
    embed = ["embed", f"--workdir={run}", f"--output={file}"]
    evaluate = ["evaluate", f"--features={file}", "--protocol=sysu_mm01:sampling=seeded,trials=2"]
    evaluate += [f"--output={output}"]
    assert call(capsys, *embed, "--split=test")[0] == 0
    assert "Marked" not in call(capsys, *evaluate)[1]
    (row,) = json.loads(output.read_text())["rows"]
    theirs = json.loads((run / "result.json").read_text())["rows"][0]
    for name in ("dataset", "images", "checkpoint", "step", "weights", "partial", "skipped_images"):
        assert row[name] == theirs[name]
    assert call(capsys, *evaluate, "--dataset=sysu_mm01")[0] == 2

    arrays = dict(np.load(file))
    few = {name: array[1:] if array.ndim else array for name, array in arrays.items()}
    np.savez(file, **few)
    assert "partial" in call(capsys, *evaluate)[1]
    assert json.loads(output.read_text())["rows"][0]["partial"]

    assert call(capsys, *embed, "--split=train")[0] == 0
    assert "train split" in call(capsys, *evaluate)[1]
    np.savez(file, **(arrays | {"origin": np.array("[")}))
    status, _, err = call(capsys, *evaluate)
    assert status == 2 and "origin" in err


def test_marks_in_words():
    assert marks({"partial": False, "skipped_images": 0, "fallback": False, "step": 3}) == []
    say = partial(dict, checkpoint="last", step=3, of_steps=9)
    assert marks(say()) == ["stopped before step 9"]
    assert marks(say(step=22)) == ["trained beyond step 9"]
    assert marks(say(fallback=True, asked_step=9)) == ["step 9 is damaged"]
    row = {"partial": True, "skipped_images": 2, "other_data": True, "trained_on_unknown": True}
    assert len(marks(row)) == 4


@pytest.mark.fault("A7")
def test_features_that_are_not_all_of_the_dataset(tmp_path, capsys):
    people, cameras = np.repeat([6, 10, 17], 12), np.tile(np.repeat([1, 2, 3, 6], 3), 3)
    labels = {"identities": people, "cameras": cameras, "names": np.arange(36).astype(str)}
    labels["modalities"] = np.where(cameras > 2, "infrared", "visible")
    labels["features"] = np.random.default_rng(0).normal(size=(36, 4))
    file, output = tmp_path / "f.npz", tmp_path / "r.json"
    np.savez(file, **labels)
    evaluate = ["evaluate", f"--features={file}", "--protocol=sysu_mm01:sampling=seeded"]
    evaluate += [f"--output={output}"]
    status, _, err = call(capsys, *evaluate)
    assert status == 2 and not output.exists()
    assert "camera 3 has 9 images of 3 identities, not the 1,883 of 93" in err
    assert "--allow-partial" in err and "--dataset=NAME" in err
    status, out, _ = call(capsys, *evaluate, "--allow-partial")
    assert status == 0 and "Marked: partial." in out
    (row,) = json.loads(output.read_text())["rows"]
    assert row["partial"] and row["dataset"] == "sysu_mm01"
    assert "first: partial" in call(capsys, "evaluate", "--compare", output, output)[1]
    _, out, err = call(capsys, *evaluate, "--dataset=mine")
    assert "Marked" not in out
    assert "--dataset=mine is no dataset that jreid knows" in err
    (row,) = json.loads(output.read_text())["rows"]
    assert not row["partial"] and row["dataset"] == "mine"
    assert "jreid knows" not in call(capsys, *evaluate, "--dataset=tiny")[2]
    # An origin marks a row and never sets its metrics.
    origin = {"labels": "others", "row": {"dataset": "mine", "mAP": 1.0, "checkpoint": "last"}}
    np.savez(file, **labels, origin=json.dumps(origin))
    assert call(capsys, *evaluate)[0] == 0
    (marked,) = json.loads(output.read_text())["rows"]
    assert marked["mAP"] == row["mAP"] and marked["partial"]


@pytest.mark.fault("A7")
@pytest.mark.parametrize("searches", [("all", "indoor"), ("indoor", "all")])
def test_every_protocol_needs_the_images_of_its_own_cameras(searches, tmp_path, capsys):
    """The file has all images of indoor search, and lacks one of camera 4."""
    rows = [
        (image % count.identities, group.camera, group.modality)
        for group, count in COUNTS.items()
        if group.split == "test"
        for image in range(count.images - (group.camera == 4))
    ]
    labels = dict(
        zip(("identities", "cameras", "modalities"), zip(*rows, strict=True), strict=True)
    )
    file = tmp_path / "f.npz"
    np.savez(file, features=np.eye(len(rows), 2), names=np.arange(len(rows)).astype(str), **labels)
    protocols = [f"--protocol=sysu_mm01:search={search},sampling=seeded" for search in searches]
    status, _, err = call(capsys, "evaluate", f"--features={file}", *protocols)
    assert status == 2
    assert "camera 4 has 1,917 images of 94 identities, not the 1,918 of 94" in err

"""Bundles: the run's embeddings, no trace of the machine, and whole or not at all."""

import json
import shutil
import sys
from types import SimpleNamespace

import huggingface_hub
import huggingface_hub.errors  # the package imports it only when something is not found
import numpy as np
import PIL.Image
import pytest
from helpers.untrained_run import make_run, save_another

import jreid
from jreid import config as configs
from jreid.__main__ import main
from jreid.errors import InputError
from jreid.runs import bundle, hub
from jreid.runs.card import card
from jreid.runs.checkpoint_folder import StepFolders
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.chosen import extraction_of, open_checkpoints
from jreid.runs.run import Run

ROW = {
    "label": "all, 1-shot",
    "rerank": "none",
    "fingerprint": "850d64771ffa",
    "protocol": {},
    "cmc": {"1": 0.3885, "10": 0.86},
    "mAP": 0.4261,
    "mINP": 0.3335,
    "dataset": "synthetic",
    "checkpoint": "last",
    "step": 0,
}
SECRET = "/secret/faces"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained run, whose files name a folder of this machine, with a result."""
    flags = [f"--config.data.folder={SECRET}/images", f"--config.weights={SECRET}/r50.pth"]
    workdir = make_run(tmp_path_factory.mktemp("bundle") / "run", *flags)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jreid.find.Trust.given", True)
        fields = jreid.load(workdir, trust_code=True).checkpoint
    result = {"method": "agw", "command": f"jreid --x={SECRET}", "config_hash": "0"}
    rows = [{**ROW, "weights": fields["weights"]}, {**ROW, "weights": "0", "fingerprint": "f"}]
    (workdir / "result.json").write_text(json.dumps({**result, "rows": rows}))
    record = json.loads((workdir / "run.json").read_text())
    record["start"] = {"kind": "file", "path": f"{SECRET}/r50.pth", "sha256": "a" * 64}
    record["drifts"] = [{"step": 3, "changed": [f"weights: {SECRET}, none"]}]
    (workdir / "run.json").write_text(json.dumps(record))
    return workdir


@pytest.fixture(scope="module")
def published(run):
    output = run.parent / "bundle"
    flags = [f"--workdir={run}", f"--output={output}", "--license=cc-by-4.0", "--trust-code"]
    assert main(["publish", *flags]) == 0
    return output


@pytest.fixture
def copy(published, tmp_path):
    return shutil.copytree(published, tmp_path / "copy")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 255, (3, 40, 20, 3), dtype=np.uint8)


def test_a_bundle_gives_the_runs_embeddings_bit_for_bit(run, published, images):
    ours, theirs = (jreid.load(one, trust_code=True) for one in (run, published))
    for modality in ("visible", "infrared"):
        embeddings = [model.embed(images, modality=modality) for model in (ours, theirs)]
        np.testing.assert_array_equal(*embeddings)
    assert theirs.checkpoint["weights"] == ours.checkpoint["weights"]
    assert theirs.checkpoint["step"] == 0


def test_a_run_that_trains_is_published_with_the_hash_of_its_weights(tmp_path, monkeypatch, capsys):
    run, restore = make_run(tmp_path / "run"), Checkpoints.restore_variables
    first = weights_of(run, 0)

    def restored(checkpoints, step, *arguments):
        variables = restore(checkpoints, step, *arguments)
        save_another(run)
        return variables

    monkeypatch.setattr(Checkpoints, "restore_variables", restored)
    monkeypatch.setattr("jreid.find.Trust.given", True)
    command = ["publish", f"--workdir={run}", f"--output={tmp_path}/bundle", "--trust-code"]
    assert main(command) == 0, capsys.readouterr().err
    published = json.loads((tmp_path / "bundle" / "run.json").read_text())["published"]
    assert (published["step"], published["weights"]) == (0, first)
    assert weights_of(run, 1) != first


def weights_of(run, step):
    return StepFolders(run / "checkpoints").weights(step)


def test_a_bundle_has_no_optimizer_and_no_trace_of_the_machine(published, run):
    assert {path.name for path in published.iterdir()} == {*bundle.FILES}
    assert len({path.stat().st_mode for path in published.iterdir()}) == 1  # others can read all
    for path in published.iterdir():
        content = path.read_bytes()
        for secret in (SECRET, str(run.parent)):
            assert secret.encode() not in content, path
    arrays = bundle.safetensors.numpy.load_file(published / bundle.WEIGHTS)
    assert {name.split("/")[0] for name in arrays} == {"params", "batch_stats"}


def test_the_card_is_one_that_hubs_read(published):
    card = huggingface_hub.ModelCard.load(published / "README.md")
    data = card.data
    assert (data.license, data.library_name) == ("cc-by-4.0", "jreid")
    assert data.pipeline_tag == "image-feature-extraction"
    values = [(result.metric_type, result.metric_value) for result in data.eval_results]
    assert values == [("rank-1", 38.85), ("mAP", 42.61), ("mINP", 33.35)]
    assert card.text.count("850d64771ffa") == 1 and "helpers.small_method" in card.text
    assert len(json.loads((published / "result.json").read_text())["rows"]) == 1


MARKS = {
    "partial": {"partial": True},
    "9 training images skipped": {"skipped_images": 9},
    "other data": {"other_data": True},
    "stopped before step 30": {"of_steps": 30},
    "tuned": {"rerank": "extended(k1=10,k2=5,lambda=0)", "dataset": "regdb"},
    "1 of 10 trials": {"trials": 1, "of_trials": 10},
}


@pytest.mark.parametrize("mark", MARKS)
def test_a_marked_row_is_marked_in_the_table_and_on_no_hub(mark, tmp_path):
    marked = {**ROW, "fingerprint": "marked", "mAP": 0.9} | MARKS[mark]
    config, checkpoint = configs.load("agw:tiny"), {"checkpoint": "last", "step": 0}
    text = card(config, checkpoint, [ROW, marked], "mit", "0.1", ())
    assert text.count("| marks |") == 1
    (line,) = (line for line in text.splitlines() if "`marked`" in line)
    assert mark in line and "90.00" in line
    (tmp_path / "README.md").write_text(text)
    data = huggingface_hub.ModelCard.load(tmp_path / "README.md").data
    assert {result.metric_value for result in data.eval_results} == {38.85, 42.61, 33.35}
    text = card(config, checkpoint, [marked], "mit", "0.1", ())
    assert "model-index" not in text and "90.00" in text


def test_a_result_of_another_version_has_a_card():
    row = {name: ROW[name] for name in ROW if name != "dataset"} | {"cmc": {"1": 0.5}}
    text = card(configs.load("agw:tiny"), row, [row], "mit", "0.1", ())
    assert "| 50.00 | - | 42.61 |" in text and '"type": "tiny"' in text


@pytest.mark.parametrize("name", [name for name in bundle.FILES if name != "SHA256SUMS"])
def test_a_changed_byte_is_one_sentence(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} has changed") as refused:
        jreid.load(copy, trust_code=True)
    assert "\n" not in str(refused.value)


def test_what_else_is_no_bundle(copy):
    sums = copy / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    for text, part in (
        ("".join(line for line in lines if "config" not in line), "config.json is not in"),
        ("".join([*lines, f"{'0' * 64}  ../run.json\n"]), "../run.json is missing"),
    ):
        sums.write_text(text)
        with pytest.raises(InputError, match=part):
            jreid.load(copy, trust_code=True)
    sums.unlink()
    with pytest.raises(InputError, match="it has no SHA256SUMS"):
        jreid.load(copy, trust_code=True)


@pytest.mark.parametrize("name", [*bundle.NEEDED, "SHA256SUMS"])
def test_a_bundle_without_a_file_is_no_run(copy, name):
    (copy / name).unlink()
    with pytest.raises(InputError, match=f"damaged bundle.*{name}|no config.json"):
        Run(copy).config()
    with pytest.raises(InputError, match="is a bundle"):
        Run(copy).check(configs.load("agw:tiny"))


def test_a_folder_of_checkpoints_makes_no_run_of_a_bundle(copy):
    (copy / "checkpoints").mkdir()
    (copy / bundle.WEIGHTS).write_bytes(b"other")
    with pytest.raises(InputError, match=f"{bundle.WEIGHTS} has changed"):
        Run(copy).config()


def edit(folder, name, change):
    """Changes a JSON file of a bundle and seals it again."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    bundle.manifest.seal(folder)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {},
        {"checkpoint": "first"},
        {"checkpoint": ["last"]},
        {"step": "3"},
        {"step": -1},
        {"step": True},
        {"weights": None},
        {"weights": 7},
        {"sha256": {}},
    ],
)
def test_a_record_without_its_checkpoint_is_one_sentence(copy, fields):
    whole = json.loads((copy / "run.json").read_text())["published"]
    changed = whole | fields if fields else fields
    edit(copy, "run.json", lambda record: record.update(published=changed))
    with pytest.raises(InputError, match=r"run\.json .*published"):
        open_checkpoints(Run(copy))
    edit(copy, "run.json", lambda record: record.pop("published"))
    with pytest.raises(InputError, match="it has no published"):
        open_checkpoints(Run(copy))


def test_other_weights_are_noticed(copy, images, tmp_path):
    (tmp_path / "gallery").mkdir()
    PIL.Image.fromarray(images[0]).save(tmp_path / "gallery" / "a.png")
    place = tmp_path / "gallery", tmp_path / "i.npz"
    jreid.load(copy, trust_code=True).index(*place)
    arrays = bundle.safetensors.numpy.load_file(copy / bundle.WEIGHTS)
    arrays["params/Dense_0/bias"] = arrays["params/Dense_0/bias"] + 1
    bundle.safetensors.numpy.save_file(arrays, copy / bundle.WEIGHTS)
    bundle.manifest.seal(copy)
    with pytest.raises(InputError, match=r"model\.safetensors holds other weights"):
        jreid.load(copy, trust_code=True)
    edit(copy, "run.json", lambda record: record["published"].pop("sha256"))  # an earlier bundle
    other = jreid.load(copy, trust_code=True)
    with pytest.raises(InputError, match="another model"):
        other.index(*place)


def test_files_of_a_hub_beside_a_bundle_do_no_harm(copy):
    (copy / ".gitattributes").write_text("x")
    assert jreid.load(copy, trust_code=True).checkpoint["step"] == 0


def test_a_bundles_config_is_not_trusted(published):
    with pytest.raises(InputError, match="names code outside of jreid"):
        jreid.load(published)


def test_a_bundle_does_not_choose_where_files_are_written(copy, monkeypatch):
    monkeypatch.setattr("jreid.find.Trust.given", True)
    config = json.loads((copy / "config.json").read_text())
    config["data"]["prepared"] = config["data"]["folder"] = SECRET
    (copy / "config.json").write_text(json.dumps(config))
    bundle.manifest.seal(copy)
    data = Run(copy).config().data
    assert (data.folder, data.prepared) == ("data/tiny", "data/prepared")
    for name in ("config.json", "run.json"):
        text = (copy / name).read_text().replace('"name": "tiny"', '"name": "../../tiny"')
        (copy / name).write_text(text)
    bundle.manifest.seal(copy)
    with pytest.raises(InputError, match=r"config\.data\.name='\.\./\.\./tiny'"):
        Run(copy).config()


def test_weights_of_another_network_are_refused(copy):
    arrays = bundle.safetensors.numpy.load_file(copy / bundle.WEIGHTS)
    arrays.popitem()
    bundle.safetensors.numpy.save_file(arrays, copy / bundle.WEIGHTS)
    edit(copy, "run.json", lambda record: record["published"].pop("sha256"))
    with pytest.raises(InputError, match="1 array differs"):
        jreid.load(copy, trust_code=True)


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(
    run, tmp_path, monkeypatch, capsys
):
    output = tmp_path / "there"
    publish = ["publish", f"--workdir={run}", "--trust-code", f"--output={output}"]
    output.mkdir()
    assert main(publish) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    output.rmdir()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jreid.runs.manifest.seal", full)
    assert main(publish) == 2
    assert "No space left" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("license", ["", "mit\nlibrary_name: other"])
def test_what_is_no_name_of_a_license_is_refused(run, tmp_path, capsys, license):
    output = tmp_path / "bundle"
    flags = [f"--workdir={run}", f"--output={output}", f"--license={license}", "--trust-code"]
    assert main(["publish", *flags]) == 2
    assert "--license=" in capsys.readouterr().err and not output.exists()


def test_a_result_of_other_features_is_not_on_the_card(run, tmp_path, capsys):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    result = json.loads((other / "result.json").read_text())
    flipped = configs.override(Run(run)._config(), ["--config.evaluation.flip=true"])
    result["extraction"] = extraction_of(flipped)
    (other / "result.json").write_text(json.dumps(result))
    output = tmp_path / "bundle"
    assert main(["publish", f"--workdir={other}", f"--output={output}", "--trust-code"]) == 0
    assert "evaluation.flip" in capsys.readouterr().err
    assert "850d64771ffa" not in (output / "README.md").read_text()


def test_a_run_without_such_a_checkpoint_is_not_published(
    run, published, tmp_path, capsys, monkeypatch
):
    publish = ["publish", f"--output={tmp_path / 'b'}", "--trust-code", "--checkpoint=best"]
    monkeypatch.setattr("jreid.runs.run.revision", lambda: "another")
    for workdir in (run, published):
        assert main([*publish, f"--workdir={workdir}"]) == 2
        error = capsys.readouterr().err
        assert "has no best checkpoint" in error and "git checkout" not in error
    assert "has its run's last one" in error


def test_verbs_that_need_only_weights_take_a_bundle(published, images, tmp_path, capsys):
    (tmp_path / "gallery").mkdir()
    PIL.Image.fromarray(images[0]).save(tmp_path / "gallery" / "a.png")
    bundle_flags, gallery = [f"--workdir={published}", "--trust-code"], tmp_path / "gallery"
    before = {path.name: path.stat().st_mtime_ns for path in published.iterdir()}
    for verb, *flags in (
        ("search", f"--query={gallery / 'a.png'}", f"--gallery={gallery}"),
        ("embed", f"--images={gallery}", "--modality=visible", f"--output={tmp_path / 'x.npz'}"),
        ("export", "--format=stablehlo", f"--output={tmp_path / 'm.stablehlo'}"),
    ):
        assert main([verb, *bundle_flags, *flags]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["evaluate", *bundle_flags, f"--config.data.folder={tmp_path / 'no'}"]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["train", *bundle_flags]) == 2
    assert "is a bundle, which is not trained further" in capsys.readouterr().err
    assert before == {path.name: path.stat().st_mtime_ns for path in published.iterdir()}


def test_another_run_starts_from_a_bundle(published, monkeypatch):
    from jreid.runs.init_from import start_of_run

    monkeypatch.setattr("jreid.find.Trust.given", True)
    assert len(start_of_run(published, "last").record["sha256"]) == 64
    assert Run(published).record()["data_fingerprint"] is None


class TestHub:
    ADDRESS = "hf:ada/agw@v1"

    def test_an_address_is_downloaded_at_its_revision(
        self, published, monkeypatch, images, tmp_path
    ):
        asked = []

        def download(repository, **options):
            asked.append((repository, options["revision"]))
            assert {*options["allow_patterns"]} == {*bundle.FILES}
            return str(published)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        model = jreid.load(self.ADDRESS, trust_code=True)
        assert model.embed(images, modality="visible").shape == (3, 16)
        output = tmp_path / "m.stablehlo"
        export = ["export", f"--workdir={self.ADDRESS}", "--format=stablehlo", "--trust-code"]
        assert main([*export, f"--output={output}"]) == 0 and output.is_file()
        assert asked == [("ada/agw", "v1")] * 2

    def test_another_repository_is_no_bundle(self, copy, monkeypatch):
        (copy / bundle.WEIGHTS).unlink()
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(copy))
        with pytest.raises(InputError, match=r"it has no model\.safetensors"):
            hub.fetch(self.ADDRESS)

    @pytest.mark.parametrize("address", ["hf:ada/agw", "hf:agw@v1", "hf:ada/agw@", "hf:"])
    def test_a_revision_is_needed(self, address):
        with pytest.raises(InputError, match="give hf:owner/name@revision"):
            hub.fetch(address)

    def test_the_extra_is_named_where_it_is_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(InputError, match=r"jreid\[hub\]"):
            hub.fetch(self.ADDRESS)

    @pytest.mark.parametrize(
        ("kind", "part"),
        [
            ("RevisionNotFoundError", "no such revision"),
            ("RepositoryNotFoundError", "no such repository"),
            ("LocalEntryNotFoundError", "cannot be reached"),
        ],
    )
    def test_what_the_hub_refuses_is_one_sentence(self, monkeypatch, kind, part):
        error = getattr(huggingface_hub.errors, kind)

        def download(*_, **__):
            if kind == "LocalEntryNotFoundError":
                raise error("offline\nand more")
            raise error("no\nsuch", response=SimpleNamespace(headers={}, request=None))

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        with pytest.raises(InputError, match=part) as refused:
            hub.fetch(self.ADDRESS)
        assert "\n" not in str(refused.value) and self.ADDRESS in str(refused.value)

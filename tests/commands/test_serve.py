"""`jreid serve` of a run: it finds what `jreid.load` finds, and says why it cannot start."""

import sys

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient
from helpers.untrained_run import make_run

import jreid
from jreid.__main__ import main
from jreid.retrieval import hits as hits_module
from jreid.serve import server


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("serve") / "run", "--config.image.gray_infrared=true")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "sub").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a <b>.png", "sub/a.jpg", "c.png"):
        PIL.Image.fromarray(rng.integers(0, 255, (60, 30, 3), np.uint8)).save(folder / name)
    return folder


def serve(run, gallery, *flags) -> int:
    workdir, folder = f"--workdir={run}", f"--gallery={gallery}"
    return main(["serve", "--trust-code", workdir, folder, "--port=0", *flags])


def test_a_query_finds_what_the_model_finds(run, gallery, tmp_path, monkeypatch):
    query = gallery / "sub" / "a.jpg"
    answers = []

    def ask(app, bound):
        client = TestClient(app, "http://127.0.0.1")
        # It checks and normalizes the whole gallery, which is done once.
        monkeypatch.setattr(hits_module, "nearest", None)
        for modality in ("infrared", "visible"):
            url, headers = f"/search?modality={modality}", {"Content-Type": "image/jpeg"}
            answers.append(client.post(url, content=query.read_bytes(), headers=headers).json())
        for hit in answers[0]["hits"]:
            assert client.get(hit["thumbnail"]).content.startswith(b"\xff\xd8")
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve", ask)
    assert serve(run, gallery, f"--index={tmp_path}/i.npz") == 130
    assert (tmp_path / "i.npz").exists()
    model = jreid.load(run, trust_code=True)
    for answer in answers:
        (hits,) = model.search(query, gallery, modality=answer["modality"])
        assert [hit["name"] for hit in answer["hits"]] == [hit.name for hit in hits]
        found = [hit["similarity"] for hit in answer["hits"]]
        np.testing.assert_allclose(found, [hit.similarity for hit in hits], atol=2e-6)
    assert answers[1]["hits"][0]["name"] == "sub/a.jpg"


def test_embeddings_are_compared_with_the_gallery_when_the_server_starts(
    run, tmp_path, monkeypatch, capsys
):
    photos, file, apps = tmp_path / "photos", tmp_path / "x.npz", []
    photos.mkdir()
    for gray, name in enumerate(("a.png", "b.png")):
        PIL.Image.new("RGB", (30, 60), (gray,) * 3).save(photos / name)
    embed = ["embed", f"--workdir={run}", "--trust-code", f"--images={photos}"]
    assert main([*embed, "--modality=visible", f"--output={file}"]) == 0
    monkeypatch.setattr(server, "serve", lambda app, bound: apps.append(app))
    assert serve(run, photos, f"--index={file}") == 0
    PIL.Image.new("RGB", (30, 60), (9,) * 3).save(photos / "b.png")
    client = TestClient(apps[0], "http://127.0.0.1")
    query = {"content": (photos / "a.png").read_bytes()}
    query |= {"headers": {"Content-Type": "image/png"}}
    assert client.post("/search?modality=visible", **query).status_code == 200
    assert serve(run, photos, f"--index={file}") == 2
    assert f"{photos / 'b.png'} is no longer the image that {file} has" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--port=65536"], "--port=65536"),
        (["--index=i.txt"], ".npz"),
        (["--gallery=nosuch"], "is not a folder"),
        (["--gallery={empty}"], "holds no .jpg"),
        (["--workdir={empty}"], "holds no run"),
        (["--checkpoint=best"], "no best checkpoint"),
        (["--port={taken}"], "is taken"),
    ],
)
def test_what_cannot_be_served_gets_one_sentence(run, gallery, tmp_path, capsys, flags, part):
    with server.bind(0) as taken:
        values = {"empty": tmp_path, "taken": taken.getsockname()[1]}
        assert serve(run, gallery, *(flag.format(**values) for flag in flags)) == 2
    err = capsys.readouterr().err
    assert part in err.splitlines()[-1] and "Traceback" not in err


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_a_package_that_is_missing_is_named(run, gallery, package, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("jreid.serve", package))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert serve(run, gallery) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert package in sentence and 'pip install "jreid[serve]"' in sentence

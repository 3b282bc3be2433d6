"""`jreid.load`: what can be embedded, and that it is what `jreid embed` writes."""

import contextlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from helpers.paths import ROOT
from helpers.untrained_run import make_run

import jreid
from jreid.__main__ import main
from jreid.errors import InputError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("retrieval") / "run")


@pytest.fixture(scope="module")
def model(run):
    return jreid.load(run, trust_code=True)


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (30 + i, 20, 3), dtype=np.uint8) for i in range(5)]


@pytest.fixture
def folder(tmp_path, arrays):
    """Five images, one a folder deeper."""
    folder = tmp_path / "gallery"
    (folder / "sub").mkdir(parents=True)
    for i, array in enumerate(arrays):
        PIL.Image.fromarray(array).save(folder / ("sub" if i == 4 else "") / f"{i}.png")
    return folder


def test_importing_jreid_imports_no_jax_and_shows_its_face():
    code = "import sys, jreid; print('jax' in sys.modules, 'numpy' in sys.modules, dir(jreid))"
    code += "; jreid.load; print('orbax' in sys.modules, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    names = ["__version__", "cmc_map", "evaluate", "load", "load_features", "nearest", "rerank"]
    wanted = [f"False False {names}", "False False"]  # a bundle needs no Orbax
    assert done.stdout.splitlines() == wanted, done.stderr
    for name in names:
        assert getattr(jreid, name) is not None
    with pytest.raises(AttributeError, match="embedd"):
        jreid.embedd  # noqa: B018


def test_everything_that_holds_the_same_pixels_has_the_same_embeddings(model, arrays, folder):
    paths = [*sorted(folder.glob("*.png")), folder / "sub" / "4.png"]
    wanted = model.embed(folder, modality="visible")
    assert wanted.shape == (5, 16) and wanted.dtype == np.float32
    buffer = np.empty((30, 20, 3), np.uint8)

    def same_buffer():
        for i in (0, 1):
            buffer[:] = PIL.Image.fromarray(arrays[i]).crop((0, 0, 20, 30))
            yield buffer

    for given, expected in (
        (paths, wanted),
        ([str(path) for path in paths], wanted),
        ([PIL.Image.open(path) for path in paths], wanted),
        (arrays, wanted),
        ((array for array in arrays), wanted),
        (str(paths[0]), wanted[:1]),
        (PIL.Image.fromarray(arrays[2]), wanted[2:3]),
        (arrays[3], wanted[3:4]),
        (np.stack([arrays[0], arrays[0]]), wanted[[0, 0]]),
        ([array[:30] for array in arrays[:2]], model.embed(same_buffer(), modality="visible")),
    ):
        np.testing.assert_array_equal(model.embed(given, modality="visible"), expected)


def test_an_image_of_pillow_that_exif_turns_is_embedded_as_it_is_stored(model, folder, caplog):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    given = PIL.Image.open(folder / "0.png")
    wanted = model.embed(given, modality="visible")
    assert not caplog.messages
    given.save(folder / "0.png", exif=exif)
    for turned in (PIL.Image.open(folder / "0.png"), folder / "0.png"):
        np.testing.assert_array_equal(model.embed(turned, modality="visible"), wanted)
    assert [message.split(" has")[0] for message in caplog.messages] == [
        "image 0",
        str(folder / "0.png"),
    ]


def test_features_are_those_of_the_command_and_do_not_depend_on_how_many_there_are(
    run, model, folder, tmp_path, arrays
):
    output = tmp_path / "x.npz"
    embed = ["embed", "--trust-code", f"--workdir={run}", f"--images={folder}"]
    assert main([*embed, "--modality=infrared", f"--output={output}"]) == 0
    few = model.embed(folder, modality="infrared")
    with np.load(output) as file:
        np.testing.assert_allclose(file["features"], few, rtol=1e-5, atol=1e-6)
    # More than a batch, and more than is held in memory at once.
    many = model.embed((arrays[i % 5] for i in range(130)), modality="infrared")
    np.testing.assert_allclose(many, few[np.arange(130) % 5], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (np.zeros((8, 8, 3), np.float32), "float32[8, 8, 3]"),
        (np.zeros((8, 8), np.uint8), "uint8[8, 8]"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 4), np.uint8)], "image 1"),
        (np.zeros((0, 8, 3), np.uint8), "0 x 8"),
        ([3], "int"),
        (3, "int"),
        ([], "no image"),
        (PIL.Image.new("I;16", (4, 4)), "I;16"),
        ("nowhere.png", "nowhere.png"),
        ("hf:/owner/name", "URL"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(model, given, part):
    with pytest.raises(ValueError) as refused:
        model.embed(given, modality="visible")
    assert part in str(refused.value) and "\n" not in str(refused.value)


def test_compiling_is_explained_once_for_each_modality(run, arrays, monkeypatch):
    sentences = []

    @contextlib.contextmanager
    def explained(sentence):
        sentences.append(sentence)
        yield

    monkeypatch.setattr("jreid.engine.model.explained", explained)
    model = jreid.load(run, trust_code=True)
    for modality in ("visible", "visible", "infrared"):
        model.embed(arrays, modality=modality)
    first, second = sentences
    assert "network for visible images" in first and "network for infrared images" in second


def test_embedding_a_generator_keeps_no_image(model, arrays):
    gone = []

    class Array(np.ndarray):
        def __del__(self):
            gone.append(1)

    given = (array.copy().view(Array) for array in arrays)
    assert len(model.embed(given, modality="visible")) == len(gone) == len(arrays)


def test_an_image_is_decoded_once(model, folder, monkeypatch):
    converted, convert = [], PIL.Image.Image.convert
    monkeypatch.setattr(
        PIL.Image.Image, "convert", lambda *of: (converted.append(of), convert(*of))[1]
    )
    model.embed(folder, modality="visible", progress=False)
    assert len(converted) == len([*folder.rglob("*.*")])


def test_a_damaged_file_is_named(model, folder):
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:200])
    with pytest.raises(InputError, match=r"2\.png"):
        model.embed(folder, modality="visible")


def test_a_deep_image_gets_a_remedy_that_a_finished_run_allows(run, model, folder, capsys):
    deep = np.full((8, 8), 1000, np.uint16)
    PIL.Image.fromarray(deep).save(folder / "2.png")
    with pytest.raises(InputError, match=r"2\.png .* convert it to 8 bits") as refused:
        model.embed(folder, modality="visible")
    embed = ["embed", "--trust-code", f"--workdir={run}", f"--images={folder}"]
    assert main([*embed, "--modality=infrared", f"--output={folder}/x.npz"]) == 2
    reported = capsys.readouterr().err
    assert "2.png" in reported and "convert it to 8 bits" in reported
    assert "--config" not in f"{refused.value} {reported}"


def test_what_load_refuses(run, model, tmp_path):
    for arguments, part in (
        ({"run": tmp_path}, "holds no run"),
        ({"run": ""}, "run is empty"),
        ({"run": None}, "run=None is not a path"),
        ({"run": run}, "outside of jreid"),
        ({"run": run, "trust_code": True, "checkpoint": "best"}, "has no best checkpoint"),
        ({"run": run, "trust_code": True, "checkpoint": "first"}, "checkpoint='first'"),
    ):
        with pytest.raises(ValueError, match=part):
            jreid.load(**arguments)
    for image, part in (("", "image is empty"), ("a" * 5000, "does not exist")):
        with pytest.raises(ValueError, match=part):
            model.embed(image, modality="visible")
    with pytest.raises(ValueError, match="thermal"):
        model.embed([], modality="thermal")


def test_a_search_ranks_by_cosine_and_takes_images_features_and_folders(model, arrays, folder):
    features = model.embed(folder, modality="visible")
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    order = np.argsort(-(unit[:2] @ unit.T), axis=1, kind="stable")
    for query in (arrays[:2], features[:2], [folder / "0.png", folder / "1.png"]):
        for gallery in (folder, arrays, features):
            hits = model.search(query, gallery, top=3, modality="visible")
            assert len(hits) == 2
            np.testing.assert_array_equal(hits.rows, order[:, :3])
            np.testing.assert_allclose(
                hits.similarities, np.take_along_axis(unit[:2] @ unit.T, order, 1)[:, :3], atol=1e-5
            )
    halves = features.astype(jnp.bfloat16)
    np.testing.assert_array_equal(model.search(halves[:2], halves, top=1).rows, order[:, :1])
    hits = model.search(arrays[4], folder, top=100, modality="visible")
    assert hits.rows.shape == (1, 5)
    assert hits[0][0].name == hits.names[0][0] == "sub/4.png" and "sub/4.png" in str(hits)
    assert hits._repr_html_().count("data:image/jpeg") == 6
    for top in (0, 1.5, "3"):
        with pytest.raises(ValueError, match=f"top={top!r}"):
            model.search(arrays[4], folder, top=top)
    with pytest.raises(ValueError, match="dimensions"):
        model.search(np.ones((1, 3), np.float32), folder)

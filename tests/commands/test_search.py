"""`jreid search`: a folder ranked, its page, and its index."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import PIL.Image
import pytest
from helpers.untrained_run import make_run

from jreid.__main__ import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("search") / "run")


@pytest.fixture
def gallery(tmp_path):
    (tmp_path / "gallery" / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a <b>.png", "sub/a.jpg"):
        pixels = rng.integers(0, 255, (60, 30, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "gallery" / name)
    return tmp_path / "gallery"


@pytest.fixture
def search(run, gallery):
    return ["search", "--trust-code", f"--workdir={run}", f"--gallery={gallery}"]


def test_a_folder_of_two_images_is_ranked_and_shown(search, gallery, tmp_path, capsys):
    page = tmp_path / "page.html"
    queries = [f"--query={gallery / 'a <b>.png'}", f"--query={gallery / 'sub/a.jpg'}"]
    assert main([*search, *queries, "--modality=visible", f"--html={page}"]) == 0
    out = capsys.readouterr().out
    first, _, second = re.findall(r"^ +\d +(-?\d\.\d{4}) +(.*)$", out, re.MULTILINE)[:3]
    assert first == ("1.0000", "a <b>.png")
    assert second == ("1.0000", "sub/a.jpg")
    text = page.read_text()
    assert text.count("data:image/jpeg") == 6
    assert "a &lt;b&gt;.png" in text and "<b>.png" not in text
    assert not re.search("https?:|url\\(|<script|<link|@import", text)
    opened = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img", "br"):
                opened.append(tag)
            assert tag != "img" or dict(attrs)["alt"]

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Balance().feed(text)
    assert not opened


def test_an_index_is_used_and_refused_for_another_checkpoint(search, gallery, tmp_path, capsys):
    index = tmp_path / "i.npz"
    query = f"--query={gallery / 'a <b>.png'}"
    outputs = []
    for flags in ([], [f"--index={index}"], [f"--index={index}"]):
        assert main([*search, query, *flags]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] == outputs[2]
    before = index.read_bytes()
    another = make_run(tmp_path / "another", "--config.seed=1")
    search[2] = f"--workdir={another}"
    assert main([*search, query, f"--index={index}"]) == 2
    assert "another model" in capsys.readouterr().err
    assert index.read_bytes() == before


def test_an_index_of_another_width_is_refused(search, gallery, tmp_path, capsys):
    index = tmp_path / "i.npz"
    flags = [f"--query={gallery / 'sub/a.jpg'}", f"--index={index}"]
    assert main([*search, *flags]) == 0
    with np.load(index) as arrays:
        np.savez(index, **{**arrays, "features": np.ones((2, 5), np.float32)})
    assert main([*search, *flags]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "16 dimensions" in sentence and "5" in sentence and "give another index" in sentence


def test_an_index_that_lacks_images_of_its_folder_says_so(search, gallery, tmp_path, capsys):
    index = tmp_path / "i.npz"
    flags = [f"--query={gallery / 'sub/a.jpg'}", f"--index={index}"]
    assert main([*search, *flags]) == 0
    assert main([*search[:3], *flags]) == 0
    assert not capsys.readouterr().err
    with np.load(index) as arrays:
        about = json.loads(str(arrays["about"])) | {"of": 5000}
        np.savez(index, **{**arrays, "about": np.array(json.dumps(about))})
    assert main([*search[:3], *flags]) == 0
    assert "has 2 of its folder's 5,000 images" in capsys.readouterr().err


@pytest.mark.parametrize("indexed", [False, True])
def test_images_that_exif_turns_are_counted_once(search, gallery, indexed, tmp_path, capsys):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    for name in ("phone.jpg", "sub/phone.png"):
        PIL.Image.open(gallery / "sub/a.jpg").save(gallery / name, exif=exif)
    flags = [f"--index={tmp_path / 'i.npz'}"] if indexed else []
    assert main([*search, f"--query={gallery / 'sub/a.jpg'}", *flags]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jreid: phone.jpg has an EXIF orientation (such images in all: 2)")
    output = f"--output={tmp_path}/x.npz"
    images = [f"--images={gallery}", "--modality=visible", output]
    assert main(["embed", *search[1:3], *images]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"jreid: {gallery}/phone.jpg has an EXIF orientation (such images in")


def test_an_approximate_search_prints_its_recall(search, gallery, tmp_path, capsys):
    pytest.importorskip("faiss")
    flags = [f"--query={gallery / 'sub/a.jpg'}", f"--index={tmp_path / 'i.npz'}"]
    for _ in range(2):
        assert main([*search, *flags, "--approximate"]) == 0
        assert "approximate: 100.0%" in capsys.readouterr().out
    assert (tmp_path / "i.lists.npz").is_file()


@pytest.mark.parametrize("indexed", [False, True])
def test_files_that_are_left_out_are_named_once(search, gallery, indexed, tmp_path, capsys):
    (gallery / "scan.tif").write_bytes(b"II")
    flags = [f"--index={tmp_path / 'i.npz'}"] if indexed else []
    assert main([*search, f"--query={gallery / 'sub/a.jpg'}", *flags]) == 0
    assert capsys.readouterr().err.count("scan.tif") == 1


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--top=0"], "--top=0"),
        (["--html=page"], ".html"),
        (["--index=i.txt"], ".npz"),
        (["--approximate"], "--index"),
        (["--query=nowhere.png"], "nowhere.png"),
        (["--gallery=pyproject.toml"], "not a folder"),
    ],
)
def test_what_is_refused_before_the_model_is_loaded(search, gallery, flags, part, capsys):
    search[2] = "--workdir=nowhere"
    assert main([*search, f"--query={gallery}", *flags]) == 2
    assert part in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "part"),
    [([], "--gallery is missing"), (["--index=new.npz"], "--index=new.npz does not exist")],
)
def test_a_search_without_a_gallery_is_refused(search, gallery, flags, part, capsys):
    assert main([*search[:3], f"--query={gallery}", *flags]) == 2
    assert part in capsys.readouterr().err


def test_a_broken_image_is_named(search, gallery, capsys):
    (gallery / "sub" / "broken.png").write_bytes(b"\x89PNG")
    assert main([*search, f"--query={gallery / 'sub/a.jpg'}"]) == 2
    assert "sub/broken.png" in capsys.readouterr().err

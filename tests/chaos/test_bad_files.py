"""Datasets, weights and archives that are not what they should be, as the command line meets them.

What each reader does with each fault is tested beside the reader; here is what the user sees.
"""

import io
import pickle
import re
import resource
import shutil
import struct
import tarfile
import time
import zlib

import numpy as np
import pytest
from helpers.command_line import tiny_flags
from helpers.paths import ROOT
from helpers.run_folder import rows_of
from PIL import Image
from safetensors.numpy import save_file

from jreid.__main__ import main


@pytest.fixture
def call(capsys):
    """A function from arguments to the status and what it writes to standard output and error."""

    def call(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "folder")


@pytest.fixture
def train(call, folder, tmp_path):
    flags = ["train", *tiny_flags(folder, tmp_path / "prepared"), "--config.epochs=0"]
    return lambda *more: call(*flags, f"--workdir={tmp_path}/run", *more)


def check(call, folder, dataset="synthetic"):
    return call("data", "check", dataset, f"--source={folder}")


def images_in(folder):
    return sorted(folder.glob("cam*/*/*.jpg"))


def huge_png(width, height):
    """A PNG that says how large it is and holds nothing."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def encoded(format, mode="RGB", size=(16, 32), **options):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(noise)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) << 8)
    image.convert(mode).save(file, format, **options)
    return file.getvalue()


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif)


@pytest.mark.fault("F11")
def test_images_of_every_kind(call, train, folder, tiny_folder):
    bad = {
        "cut.jpg": encoded("JPEG")[:-40],
        "empty.jpg": b"",
        "text.jpg": b"no image",
        "huge.png": huge_png(20_000, 15_000),
        "deep.png": encoded("PNG", "I;16"),
    }
    good = {
        "dot.jpg": encoded("JPEG", size=(1, 1)),
        "cmyk.jpg": encoded("JPEG", "CMYK"),
        "rotated.jpg": rotated(),
    }
    places = {}
    for (name, content), path in zip((bad | good).items(), images_in(folder)[::7], strict=False):
        path.unlink()
        places[name] = path.with_suffix(f".{name.split('.')[1]}")
        places[name].write_bytes(content)
    check(call, tiny_folder)  # so that what is imported does not count
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status, out, _ = check(call, folder)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert status == 1
    assert f"{len(bad)} faults" in out.splitlines()[-1]
    for name in bad:
        assert places[name].relative_to(folder).as_posix() in out, name
    assert grown < 200_000  # kB
    status, _, err = train()
    assert status == 2
    warning, error = (line for line in err.splitlines() if line.startswith("jreid: "))
    assert str(places["rotated.jpg"]) in warning and "EXIF" in warning
    assert str(places["cut.jpg"].relative_to(folder)) in error
    assert "Traceback" not in err


LIST = "idx/train_visible_1.txt"


@pytest.mark.fault("F12")
@pytest.mark.parametrize(
    ("damage", "message", "status"),
    [
        (lambda text: text + "Visible/-1/a.bmp 0\n", "{end} names 'Visible/-1/a.bmp'", 1),
        (lambda text: text + "Visible/x/a.bmp 0\n", "{end} names 'Visible/x/a.bmp'", 1),
        (lambda text: text + "Visible/9999/a.bmp 1\n", "{end} names Visible/9999, a missing", 1),
        (lambda text: text + text.splitlines()[0] + "\n", "{end} names", 1),
        (lambda text: text.replace(" 0\n", " -1\n", 1), ":1 has the label '-1'", 1),
        (lambda text: text.replace(" 0\n", " 1.5\n", 1), ":1 has the label '1.5'", 1),
        (lambda text: text.replace("\n", "\n\n", 1), "note: " + LIST, 0),
        (lambda text: text.replace("\n", "\r\n"), "line ends of another system", 0),
        (lambda text: "\ufeff" + text, ":1 begins with a byte order mark", 0),
    ],
)
def test_wrong_lines_of_a_list(call, render, tmp_path, damage, message, status):
    folder = render(tmp_path / "regdb", "regdb")
    text = (folder / LIST).read_text()
    (folder / LIST).write_text(damage(text), newline="")
    found, out, _ = check(call, folder)
    assert found == status, out
    assert message.format(end=f"{LIST}:{len(text.splitlines()) + 1}") in out
    assert LIST in out


@pytest.mark.fault("F12")
def test_an_identity_of_two_splits(call, folder):
    ids = folder / "exp" / "train_id.txt"
    other = (folder / "exp" / "test_id.txt").read_text().split(",")[0]
    ids.write_text(ids.read_text().strip() + f",{other}\n")
    status, out, _ = check(call, folder)
    assert status == 1
    assert "test_id.txt" in out


@pytest.mark.fault("F14")
def test_fifty_images_under_two_names(call, train, folder):
    images = images_in(folder)
    for path, other in zip(images[:50], images[60:110], strict=True):
        other.write_bytes(path.read_bytes())
    status, out, _ = check(call, folder)
    within = re.search(
        r"note: .* holds the same bytes as .*; repeated images within a split: (\d+)", out
    )
    assert out.count("an image must not be in two splits") + int(within[1]) == 50
    assert status == 1
    status, _, err = train()
    assert status == 2
    assert "an image must not be in two splits" in err


@pytest.mark.slow
@pytest.mark.fault("F15")
def test_odd_names_give_the_numbers_of_plain_ones(call, train, tiny_folder, folder, tmp_path):
    odd = tmp_path / ("d" * 200) / "Menschen, bei Nacht \u4eba"
    shutil.copytree(folder, odd)
    for path in images_in(odd)[::3]:
        path.rename(path.with_suffix(".JPG"))
    for name in ("Thumbs.db", ".DS_Store", "cam1/Thumbs.db", "cam1/.hidden.jpg"):
        (odd / name).write_bytes(b"nobody")
    (odd / "cam1" / "loop").symlink_to(odd)
    (odd / "cam2" / "itself").symlink_to("itself")
    found = []
    for place in (folder, odd):
        workdir = tmp_path / f"of {place.name}"
        assert train(f"--config.data.folder={place}", f"--workdir={workdir}")[0] == 0
        found.append(rows_of(workdir))
    assert found[0] == found[1]


class Hostile:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        import os

        return os.system, (f"touch '{self.canary}'",)


@pytest.mark.fault("F10")
@pytest.mark.slow
@pytest.mark.parametrize("verb", ["import", "train"])
def test_weights_that_are_none(call, tiny_folder, tmp_path, verb):
    canary = tmp_path / "canary"
    wrong = {"bn1.weight": np.ones(3, np.float32), "conv1.weight": np.ones((8, 3, 7, 7), np.int32)}
    save_file(wrong, tmp_path / "wrong.safetensors")
    whole = (tmp_path / "wrong.safetensors").read_bytes()
    files = {
        "wrong.safetensors": (whole, "conv1.weight"),
        "cut.safetensors": (whole[:-9], "cut.safetensors"),
        "page.pth": (b"<!DOCTYPE html><title>Sign in</title>", "HTML page"),
        "page.safetensors": (b"<html>", "HTML page"),
        "half.pth": (b"PK\x03\x04 half", "half.pth"),
        "hostile.pth": (pickle.dumps(Hostile(canary), protocol=2), "hostile.pth"),
        "hostile.safetensors": (pickle.dumps(Hostile(canary)), "hostile.safetensors"),
        "model.h5": (b"\x89HDF", "model.h5"),
    }
    flags = [f"--config={ROOT}/configs/agw.py:tiny", f"--config.data.folder={tiny_folder}"]
    flags += [f"--config.data.prepared={tmp_path}/prepared", f"--workdir={tmp_path}/run"]
    for name, (content, message) in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        given = f"--checkpoint={path}" if verb == "import" else f"--config.weights={path}"
        status, _, err = call(verb, *flags, given)
        assert status == 2, name
        assert message in err
        assert err.count("jreid: ") == 1 and "Traceback" not in err, err
    assert not canary.exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.fault("F24")
def test_weights_that_cannot_be_fetched(call, train, monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    monkeypatch.setattr(hub, "hf_hub_url", lambda **_: "https://jreid.invalid/model.safetensors")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda **_: None)
    start = time.monotonic()
    status, _, err = train("--config.weights=imagenet")
    assert time.monotonic() - start < 30
    assert status == 2
    assert "--config.weights=PATH" in err
    assert err.count("jreid: ") == 1 and "Traceback" not in err


@pytest.mark.fault("F25")
def test_an_archive_is_not_unpacked(call, tmp_path):
    place = tmp_path / "given"
    place.mkdir()
    with tarfile.open(place / "dataset.tar", "w") as archive:
        for name in ("../outside", "/outside", "cam1/0001/0001.jpg"):
            archive.addfile(tarfile.TarInfo(name))
    status, _, err = check(call, place / "dataset.tar", "sysu_mm01")
    assert status == 2
    assert "dataset.tar is not a folder; " in err
    assert [*tmp_path.rglob("*")] == [place, place / "dataset.tar"]

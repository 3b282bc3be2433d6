"""The index of a gallery, by a stub of a model: what is embedded again, and what is refused."""

import os

import numpy as np
import PIL.Image
import pytest

from jreid.data.pixels import ImageError
from jreid.errors import InputError
from jreid.retrieval.index import read_index, update_index


class Embedder:
    """Embeds an image as its mean color, and counts."""

    def __init__(self):
        self.names = []

    def __call__(self, sources):
        for source in sources:
            self.names.append(source.name)
            pixels = source.read().pixels
            yield [source], np.array([[pixels.size, pixels.mean()]], np.float32)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "abc":
        paint(tmp_path / "images", name, ord(name))
    return tmp_path / "images"


@pytest.fixture
def settled(monkeypatch):
    """Files count as old enough for their times to be believed."""
    monkeypatch.setattr("jreid.retrieval.index.SETTLED", -(10**18))


def paint(folder, name, gray):
    PIL.Image.new("RGB", (4, 8), (gray, gray, gray)).save(folder / f"{name}.png")


def update(folder, model="m", modality="visible"):
    embed = Embedder()
    index = update_index(folder.parent / "i.npz", folder, model, modality, embed)
    return index, embed.names


@pytest.mark.parametrize("believed", [True, False])
def test_only_new_and_changed_images_are_embedded(folder, believed, request):
    if believed:
        request.getfixturevalue("settled")
    index, embedded = update(folder)
    assert index.names == embedded == ["a.png", "b.png", "c.png"]
    assert update(folder)[1] == []
    paint(folder, "d", 1)
    (folder / "a.png").unlink()
    (folder / "b.png").rename(folder / "z.png")
    later, embedded = update(folder)
    assert embedded == ["d.png"]
    assert later.names == ["c.png", "d.png", "z.png"]
    np.testing.assert_array_equal(later.features[[0, 2]], index.features[[2, 1]])
    # Another image of the same size and with the same time of change.
    time = (folder / "c.png").stat().st_mtime_ns
    paint(folder, "c", 100)
    os.utime(folder / "c.png", ns=(time, time))
    assert update(folder)[1] == ["c.png"]


def test_equal_images_are_embedded_once(folder):
    paint(folder, "copy", ord("a"))
    index, embedded = update(folder)
    assert len(index.names) == 4 and len(embedded) == 3


def test_files_whose_times_are_known_are_not_read(folder, settled, monkeypatch):
    update(folder)
    monkeypatch.setattr("jreid.retrieval.index.read_file", None)
    assert update(folder)[1] == []


def test_what_was_embedded_before_a_fault_is_kept(folder):
    (folder / "b.png").write_bytes(b"none")

    class Faulty(Embedder):
        def __call__(self, sources):
            yield from super().__call__(sources[:1])
            raise InputError("b.png is no image")

    with pytest.raises(InputError, match=r"b\.png"):
        update_index(folder.parent / "i.npz", folder, "m", "visible", Faulty())
    kept = read_index(folder.parent / "i.npz", "m", "visible")
    assert (kept.names, kept.of) == (["a.png"], 3)
    paint(folder, "b", 5)
    assert update(folder)[1] == ["b.png", "c.png"]
    assert read_index(folder.parent / "i.npz", "m", "visible").of == 3


def test_a_gallery_that_is_killed_keeps_what_was_written_before(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("jreid.retrieval.index.WRITTEN_EVERY", 0.0)
    found = []

    class Killed(Embedder):
        def __call__(self, sources):
            for part in super().__call__(sources):
                if self.names == ["a.png", "b.png"]:  # what a kill leaves after the first
                    found.append(read_index(tmp_path / "i.npz", "m", "visible"))
                    found.append((tmp_path / "i.npz").read_bytes())
                yield part

    update_index(tmp_path / "i.npz", folder, "m", "visible", Killed())
    index, content = found
    assert (index.names, index.of) == (["a.png"], 3)
    (tmp_path / "i.npz").write_bytes(content)
    assert update(folder)[1] == ["b.png", "c.png"]


def test_nothing_is_embedded_for_an_index_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").touch()
    embed = Embedder()
    with pytest.raises(InputError, match=r"file is a file, not a folder"):
        update_index(tmp_path / "file" / "i.npz", folder, "m", "visible", embed)
    assert embed.names == []


def test_an_image_that_changes_after_it_was_hashed_is_refused(folder):
    class Late(Embedder):
        def __call__(self, sources):
            paint(folder, "a", 7)
            return super().__call__(sources)

    with pytest.raises(ImageError, match="changes"):
        update_index(folder.parent / "i.npz", folder, "m", "visible", Late())
    assert not (folder.parent / "i.npz").exists()


def test_another_model_modality_or_gallery_is_refused(folder, tmp_path):
    update(folder)
    before = (tmp_path / "i.npz").read_bytes()
    with pytest.raises(InputError, match="another model"):
        update(folder, model="n")
    with pytest.raises(InputError, match="visible images, not infrared"):
        update(folder, modality="infrared")
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"no .*file"):
        update(folder)
    paint(folder, "e", 9)
    with pytest.raises(InputError, match="has 0, so most of its embeddings would be lost"):
        update(folder)
    assert (tmp_path / "i.npz").read_bytes() == before


def test_a_part_of_the_gallery_does_not_replace_the_whole(folder, tmp_path):
    for name, shade in zip("efgh", (100, 120, 140, 160), strict=True):
        paint(folder, name, shade)
    update(folder)
    before = (tmp_path / "i.npz").read_bytes()
    part = tmp_path / "part"
    part.mkdir()
    path = next(folder.iterdir())
    (part / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"of which .*part has 1, so most"):
        update_index(tmp_path / "i.npz", part, "m", "visible", Embedder())
    assert (tmp_path / "i.npz").read_bytes() == before


def test_another_gallery_of_the_same_names_is_refused(folder, tmp_path):
    update(folder)
    before = (tmp_path / "i.npz").read_bytes()
    for number, path in enumerate(sorted(folder.iterdir())):
        paint(folder, path.stem, 201 + number)
    with pytest.raises(InputError, match="has 0, so most"):
        update(folder)
    assert (tmp_path / "i.npz").read_bytes() == before


def test_what_is_no_index_is_refused_and_stays(folder, tmp_path):
    file = tmp_path / "i.npz"
    update(folder)
    whole = file.read_bytes()
    for content in (b"", b"text", whole[:500], whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(InputError, match="not an index"):
            update(folder)
        assert file.read_bytes() == content
    for name, value in (
        ("features", np.full((3, 2), np.nan)),
        ("features", np.zeros((2, 2), np.float32)),
        ("features", np.zeros((3, 0), np.float32)),
        ("features", np.zeros((), np.float32)),
        ("features", np.zeros((3, 2), np.complex64)),
        ("names", np.zeros(3)),
        ("stamps", np.zeros((3, 2), np.int64)),
        ("about", np.array('{"version": 9}')),
        ("about", np.array({}, object)),
    ):
        file.write_bytes(whole)
        with np.load(file) as arrays:
            changed = {**arrays, name: value}
        np.savez(file, **changed)
        with pytest.raises(InputError, match="not an index"):
            read_index(file, "m", "visible")


def test_embeddings_of_another_width_are_refused(folder, tmp_path):
    update(folder)
    with np.load(tmp_path / "i.npz") as arrays:
        np.savez(tmp_path / "i.npz", **{**arrays, "features": np.ones((3, 5), np.float32)})
    paint(folder, "d", 1)
    with pytest.raises(InputError, match=r"i\.npz holds embeddings of 5 numbers"):
        update(folder)


def test_a_gallery_with_an_unreadable_file_is_refused(folder):
    (folder / "b.png").unlink()
    os.mkfifo(folder / "b.png")
    with pytest.raises(InputError, match=r"b\.png"):
        update(folder)

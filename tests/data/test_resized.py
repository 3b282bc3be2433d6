"""Images that are decoded and resized once give the Batches of the encoded ones."""

import threading
import time
from itertools import islice

import jax
import numpy as np
import pytest
from helpers.augmentation import AUGMENTATION
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jreid.data import resized
from jreid.data.pipeline import training_batches
from jreid.data.resized import resized_images
from jreid.data.samplers import Plan
from jreid.data.transforms import augment, flip_and_crop, resize
from jreid.errors import InputError


@pytest.fixture(scope="module")
def table(tiny_dataset):
    return tiny_dataset.table.of_split("train")


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    """A folder with the table's images in AUGMENTATION's size."""
    folder = tmp_path_factory.mktemp("prepared")
    resized_images(table, AUGMENTATION, folder)
    return folder


@pytest.fixture
def no_decoder(monkeypatch):
    def refuse(*_):
        raise AssertionError("an image is decoded")

    monkeypatch.setattr(resized, "in_parallel", refuse)
    monkeypatch.setattr("jreid.data.pipeline.in_parallel", refuse)


@pytest.mark.parametrize(("order", "gray"), [("flip_first", True), ("crop_first", False)])
def test_batches_are_those_of_the_encoded_images_bit_for_bit(table, tmp_path, order, gray):
    options = AUGMENTATION._replace(order=order, gray_visible=gray, resize="lanczos")
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    plan = Plan("random_identity", table, 4, 2, seed=3, epochs=2)
    given = table, plan, options, 5, 1, NamedSharding(mesh, PartitionSpec("data"))
    images = resized_images(table, options, tmp_path)
    both = zip(training_batches(*given), training_batches(*given, images), strict=True)
    for decoded, copied in islice(both, 3):
        for name, values in decoded.items():
            np.testing.assert_array_equal(copied[name], values)
            assert copied[name].sharding == values.sharding


@pytest.mark.parametrize("padding", [0, 2, 40])  # 40 is more than the image's own size
def test_flips_and_crops_are_the_encoded_image_s(table, padding):
    options, rng = AUGMENTATION._replace(padding=padding), np.random.default_rng(0)
    image = np.asarray(resize(table.image[0], options))
    for corner in [[0, 2 * padding], [2 * padding, 0], *rng.integers(0, 2 * padding + 1, (8, 2))]:
        for flip in (False, True):
            found = np.empty_like(image)
            flip_and_crop(image, flip, np.array(corner), options, found)
            expected = augment(table.image[0], flip, np.array(corner, np.int32), options)
            np.testing.assert_array_equal(found, expected)


def test_a_later_start_decodes_nothing(table, folder, no_decoder, caplog):
    images = resized_images(table, AUGMENTATION, folder)
    assert isinstance(images, np.memmap) and images.shape == (len(table.name), 32, 16, 3)
    np.testing.assert_array_equal(images[7], resize(table.image[7], AUGMENTATION))
    assert not caplog.records


def test_of_runs_that_start_at_once_one_makes_the_file(table, tmp_path, monkeypatch):
    written, few = [], table.take(np.arange(3))

    def write(path, _):
        written.append(path)
        time.sleep(0.3)
        path.touch()

    monkeypatch.setattr(resized, "write_whole", write)
    monkeypatch.setattr(resized, "_read", lambda *_: None)
    given = few, AUGMENTATION, tmp_path
    threads = [threading.Thread(target=resized_images, args=given) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1


def test_what_the_pixels_depend_on_is_in_the_file_s_name(table, folder):
    def key(rows, **changed):
        return resized._key(table.take(np.array(rows)), AUGMENTATION._replace(**changed))

    (path,) = folder.iterdir()
    assert path.name == f"resized-32x16-{key(range(len(table.name)))}.npy"
    others = {
        key([0, 1]),
        key([1, 0]),
        key([0]),
        key([0, 1], size=(16, 32)),
        key([0, 1], resize="lanczos"),
        key([0, 1], gray_visible=True),
    }
    assert len(others) == 6
    assert key([0, 1], padding=5, flip_probability=0.0, order="crop_first") in others


def test_its_size_is_said_before_it_is_made(table, tmp_path, caplog):
    caplog.set_level("INFO", "jreid")
    few = table.take(np.arange(6))
    resized_images(few, AUGMENTATION._replace(size=(1000, 500)), tmp_path)
    assert "needs 0.01 GB for 6 images of 1000 x 500 pixels" in caplog.text


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_what_does_not_fit_is_refused(table, tmp_path, monkeypatch, place, no_decoder):
    function = {"memory": "machine_memory", "disk": "_free_space"}[place]
    monkeypatch.setattr(resized, function, lambda *_: 99)
    needs = f"cache=resized needs 0.00 GB for {len(table.name)} images of 32 x 16 pixels, but"
    with pytest.raises(InputError, match=f"{needs}.*{place}.* set --config.data.cache=encoded"):
        resized_images(table, AUGMENTATION, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_image_that_cannot_be_decoded_is_named_and_leaves_no_file(table, tmp_path):
    images = table.image.copy()
    images[5] = images[5][:100]
    with pytest.raises(InputError, match=f"^{table.name[5]} cannot be decoded"):
        resized_images(table._replace(image=images), AUGMENTATION, tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.fault("B4")
@pytest.mark.parametrize("damage", ["header", "pixel", "cut", "empty"])
def test_a_damaged_file_is_refused(table, tmp_path, damage):
    few = table.take(np.arange(3))
    resized_images(few, AUGMENTATION, tmp_path)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage in ("header", "pixel"):
        content[20 if damage == "header" else -1000] ^= 1
    path.write_bytes({"cut": content[:-9], "empty": b""}.get(damage, content))
    with pytest.raises(InputError, match=f"{path} is damaged .*remove it"):
        resized_images(few, AUGMENTATION, tmp_path)

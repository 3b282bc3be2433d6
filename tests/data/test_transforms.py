"""The image operations against Pillow, numpy and their invariants, alone and within tf.data."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from jreid.data import transforms
from jreid.errors import InputError

OPTIONS = transforms.Augmentation(
    size=(48, 24),
    resize="bilinear",
    order="flip_first",
    flip_probability=0.5,
    padding=10,
    padding_fill=127,
    erase_probability=0.5,
    erase_area=(0.02, 0.33),
    erase_ratio=(0.3, 3.3),
    erase_fill=0.0,
)
MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])
SEEDS = transforms.row_seeds(0, 0, 400)


def picture(height=61, width=37, mode="RGB", seed=0):
    """A smooth gradient with some noise, so that resizing has both to deal with."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / a + x / b) for a, b in ((5, 9), (11, 4), (8, -7))]
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 3))
    pixels = np.clip(128 + 100 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def in_dataset(function, *elements):
    """The results of mapping over a dataset, where tensors are symbolic."""
    return list(tf.data.Dataset.from_tensor_slices(elements).map(function).as_numpy_iterator())


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 75}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("JPEG", {"quality": 60, "progressive": True}),
        ("PNG", {}),
        ("BMP", {}),
    ],
)
def test_decode_equals_pillow_bit_for_bit(mode, kind, options):
    data = encode(picture(mode=mode), kind, **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    alone = transforms.decode(tf.constant(data))
    assert alone.dtype == tf.uint8
    np.testing.assert_array_equal(alone, expected)
    np.testing.assert_array_equal(in_dataset(transforms.decode, [data])[0], expected)


def test_decode_leaves_exif_orientation_alone():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert transforms.decode(encode(picture(), "JPEG", exif=exif)).shape == (61, 37, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_decode_refuses_what_is_no_whole_image(kind):
    whole = encode(picture(), kind)
    for broken in (b"", b"no image", whole[: len(whole) // 2]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            transforms.decode(tf.constant(broken))


@pytest.mark.parametrize(
    ("method", "resample", "most"),
    [  # Lanczos overshoots next to saturated pixels, where Pillow clips between its two passes.
        ("bilinear", Image.Resampling.BILINEAR, 1),
        ("lanczos", Image.Resampling.LANCZOS, 6),
    ],
)
@pytest.mark.parametrize("size", [(48, 24), (96, 64), (61, 37), (40, 80)])
def test_resize_is_close_to_pillow(method, resample, most, size):
    image = picture()
    expected = np.asarray(image.resize(size[::-1], resample)).astype(np.float32)
    pixels = np.asarray(image)
    for result in (
        transforms.resize(tf.constant(pixels), size, method).numpy(),
        in_dataset(lambda image: transforms.resize(image, size, method), pixels[None])[0],
    ):
        assert result.dtype == np.float32 and result.shape == (*size, 3)
        assert np.all(result == np.round(result)) and result.min() >= 0 and result.max() <= 255
        difference = np.abs(result - expected)
        assert difference.mean() < 0.25 and difference.max() <= most


def test_resize_to_the_same_size_changes_nothing():
    pixels = np.asarray(picture())
    for method in transforms.RESIZE:
        np.testing.assert_array_equal(transforms.resize(pixels, (61, 37), method), pixels)


def test_flip_mirrors_left_and_right_as_often_as_told():
    image = tf.random.stateless_uniform([5, 4, 3], [1, 2])

    def flipped(probability):
        results = in_dataset(lambda seed: transforms.flip(image, seed, probability), SEEDS)
        mirrored = [np.array_equal(result, image.numpy()[:, ::-1]) for result in results]
        same = [np.array_equal(result, image) for result in results]
        assert all(a != b for a, b in zip(mirrored, same, strict=True))
        return np.mean(mirrored)

    assert flipped(0.0) == 0 and flipped(1.0) == 1
    assert abs(flipped(0.3) - 0.3) < 0.08


def test_pad_and_crop_takes_every_window_of_the_padded_image():
    image = np.arange(1, 5 * 4 * 3 + 1, dtype=np.float32).reshape(5, 4, 3)
    padded = np.pad(image, [(2, 2), (2, 2), (0, 0)], constant_values=-7)
    windows = {
        padded[top : top + 5, left : left + 4].tobytes(): (top, left)
        for top in range(5)
        for left in range(5)
    }
    crops = in_dataset(lambda seed: transforms.pad_and_crop(image, seed, 2, -7), SEEDS)
    corners = [windows[crop.tobytes()] for crop in crops]
    assert len(set(corners)) == 25
    np.testing.assert_allclose(np.mean(corners, axis=0), 2, atol=0.25)
    alone = transforms.pad_and_crop(tf.constant(image), SEEDS[0], 2, -7)
    np.testing.assert_array_equal(alone, crops[0])


def test_no_padding_leaves_the_image():
    image = tf.random.stateless_uniform([5, 4, 3], [1, 2])
    np.testing.assert_array_equal(transforms.pad_and_crop(image, [3, 4], 0, 127), image)


def erased_boxes(height, width, *rule, fill=-9.0):
    """Top, left, height and width of each seed's erased box, after checking that it is a box."""
    image = tf.random.stateless_uniform([height, width, 3], [1, 2])
    boxes = []
    for result in in_dataset(lambda seed: transforms.erase(image, seed, *rule, fill), SEEDS):
        changed = np.any(result != image, axis=-1)
        np.testing.assert_array_equal(result[changed], np.float32(fill))
        if changed.any():
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            assert changed.sum() == len(rows) * len(columns)
            boxes.append((rows[0], columns[0], len(rows), len(columns)))
            assert np.all(changed[rows[0] :][: len(rows), columns[0] :][:, : len(columns)])
    return np.array(boxes).reshape(-1, 4)


def test_erase_draws_area_and_ratio_within_bounds_and_places_anywhere():
    top, left, tall, wide = erased_boxes(96, 80, 1.0, (0.02, 0.33), (0.3, 3.3)).T
    assert len(top) == len(SEEDS)
    area = tall * wide / (96 * 80)
    assert area.min() > 0.02 * 0.9 and area.max() < 0.33 * 1.05
    assert abs(area.mean() - 0.175) < 0.02  # uniform
    ratio = np.log(tall / wide)
    assert ratio.min() > np.log(0.3) - 0.12 and ratio.max() < np.log(3.3) + 0.12
    assert abs(ratio.mean()) < 0.12 and abs(ratio.std() - np.log(11) / 12**0.5) < 0.08
    for start, span, length in ((top, tall, 96), (left, wide, 80)):
        assert np.max(start + span) == length and start.min() == 0
        place = start / (length - span)
        assert abs(place.mean() - 0.5) < 0.05


def test_erase_as_often_as_told():
    rule = ((0.02, 0.33), (0.3, 3.3))
    assert len(erased_boxes(20, 10, 0.0, *rule)) == 0
    assert abs(len(erased_boxes(20, 10, 0.3, *rule)) / len(SEEDS) - 0.3) < 0.08


def test_erase_tries_ten_times_and_then_gives_up():
    # A box of ratio 1 fits 80 x 20 while its side is below 20: a quarter of these areas do.
    fit = (19.5**2 / 1600 - 0.05) / 0.95
    for size in ((80, 20), (20, 80)):
        boxes = erased_boxes(*size, 1.0, (0.05, 1.0), (1.0, 1.0))
        assert abs(len(boxes) / len(SEEDS) - (1 - (1 - fit) ** 10)) < 0.05
        assert boxes[:, 2:].max() == 19
    assert len(erased_boxes(80, 20, 1.0, (0.5, 1.0), (1.0, 1.0))) == 0


def test_normalize_is_imagenets():
    pixels = np.asarray(picture())
    result = transforms.normalize(tf.constant(pixels))
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, (pixels / 255 - MEAN) / STD, atol=1e-6)


def test_prepare_is_decode_resize_normalize():
    image = picture()
    data = encode(image, "PNG")
    pixels = np.asarray(image.resize((24, 48), Image.Resampling.LANCZOS)) / 255
    for result in (
        transforms.prepare(tf.constant(data), (48, 24), "lanczos").numpy(),
        in_dataset(lambda data: transforms.prepare(data, (48, 24), "lanczos"), [data])[0],
    ):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, (pixels - MEAN) / STD, atol=2.01 / 255 / 0.224)


def test_augment_with_nothing_random_is_prepare():
    still = OPTIONS._replace(flip_probability=0.0, padding=0, erase_probability=0.0)
    data = encode(picture(), "JPEG")
    np.testing.assert_array_equal(
        transforms.augment(data, SEEDS[0], still), transforms.prepare(data, (48, 24), "bilinear")
    )


def test_augment_normalises_the_padding_and_erases_after_it():
    black = encode(Image.new("RGB", (24, 48)), "PNG")
    options = OPTIONS._replace(padding=3, erase_probability=1.0)
    results = in_dataset(lambda seed: transforms.augment(black, seed, options), SEEDS[:30])
    colours = np.unique(np.concatenate(results).reshape(-1, 3), axis=0)
    expected = [-MEAN / STD, [0, 0, 0], (127 / 255 - MEAN) / STD]
    np.testing.assert_allclose(colours, np.sort(expected, axis=0), atol=1e-6)


def test_orders_differ_in_what_the_flip_mirrors():
    """Crop first: the padding is mirrored with the image. Flip first: it stays where it was."""
    data = encode(Image.new("RGB", (24, 48), "white"), "PNG")
    still = OPTIONS._replace(padding=3, erase_probability=0.0, flip_probability=0.0)
    plain = transforms.augment(data, SEEDS[2], still).numpy()
    assert np.any(plain != plain[:, ::-1])
    flipping = still._replace(flip_probability=1.0)
    np.testing.assert_array_equal(transforms.augment(data, SEEDS[2], flipping), plain)
    crop_first = transforms.augment(data, SEEDS[2], flipping._replace(order="crop_first"))
    np.testing.assert_array_equal(crop_first, plain[:, ::-1])


def test_flip_crop_and_erase_draw_independently():
    """Whether an image is flipped says nothing of where it is cropped and whether it is erased."""
    ramp = np.tile(np.arange(24, dtype=np.uint8)[None, :, None] * 10, (48, 1, 3))
    data = encode(Image.fromarray(ramp), "PNG")
    options = OPTIONS._replace(padding=4, padding_fill=255)
    whole = options._replace(erase_probability=0.0)
    results = in_dataset(lambda seed: transforms.augment(data, seed, options), SEEDS)
    unerased = in_dataset(lambda seed: transforms.augment(data, seed, whole), SEEDS)
    erased = np.any(np.array(results) != np.array(unerased), axis=(1, 2, 3))
    values = np.round((np.array(unerased)[:, 24, 8:16, 0] * STD[0] + MEAN[0]) * 25.5)
    flipped = values[:, 0] > values[:, -1]
    shift = values.min(axis=1)  # the leftmost column seen
    for side in (flipped, ~flipped):
        assert len(set(shift[side])) == 9 and abs(shift[side].mean() - 8) < 0.6
        assert abs(erased[side].mean() - 0.5) < 0.12


def test_the_same_bytes_whatever_the_parallelism():
    images = [encode(picture(seed=seed), "JPEG") for seed in range(24)]

    def run(calls):
        rows = tf.data.Dataset.from_tensor_slices((images, SEEDS[:24]))
        mapped = rows.map(lambda image, seed: transforms.augment(image, seed, OPTIONS), calls)
        return np.stack(list(mapped.as_numpy_iterator()))

    one = run(1)
    assert one.shape == (24, 48, 24, 3) and one.dtype == np.float32
    assert run(8).tobytes() == one.tobytes()
    pairs = zip(images[:8], SEEDS[:8], strict=True)
    alone = [transforms.augment(image, seed, OPTIONS) for image, seed in pairs]
    np.testing.assert_allclose(np.stack(alone), one[:8], atol=1e-6)


def test_row_seeds_are_a_function_of_seed_step_and_row():
    seeds = transforms.row_seeds(7, 1000, 64)
    assert seeds.shape == (64, 2) and seeds.dtype == np.int32
    np.testing.assert_array_equal(transforms.row_seeds(7, 1000, 5), seeds[:5])
    others = [transforms.row_seeds(*key, 64) for key in ((7, 1001), (8, 1000), (1000, 7))]
    assert len(np.unique(np.concatenate([seeds, *others]), axis=0)) == 256
    assert seeds.min() < -(2**30) and seeds.max() > 2**30


def test_an_unknown_option_names_the_choices():
    data = encode(picture(), "PNG")
    with pytest.raises(InputError, match=r"'cubic' is unknown.*bilinear, lanczos"):
        transforms.prepare(data, (48, 24), "cubic")
    with pytest.raises(InputError, match=r"'any' is unknown.*flip_first, crop_first"):
        transforms.augment(data, SEEDS[0], OPTIONS._replace(order="any"))

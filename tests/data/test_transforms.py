"""The draws' distributions; the image operations against Pillow and numpy, alone and in tf.data."""

import io
import itertools

import jax
import numpy as np
import pytest
import tensorflow as tf
from helpers.augmentation import AUGMENTATION
from PIL import Image

from jreid.data import augmentation, pixels, transforms
from jreid.errors import InputError

OPTIONS = AUGMENTATION._replace(size=(48, 24), padding=10)
MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])


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


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_gray_equals_pillow_bit_for_bit(mode):
    noise = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    corners = np.stack(np.meshgrid([0, 255], [0, 255], [0, 255]), -1).reshape(1, 8, 3)
    for image in (picture(mode=mode), Image.fromarray(noise), Image.fromarray(np.uint8(corners))):
        pixels = np.asarray(image.convert("RGB"))
        expected = np.asarray(image.convert("RGB").convert("L").convert("RGB"))
        for result in (transforms.gray(pixels), in_dataset(transforms.gray, pixels[None])[0]):
            assert result.dtype == np.uint8
            np.testing.assert_array_equal(result, expected)


def test_augment_mirrors_left_and_right_if_asked():
    data, still = encode(picture(), "PNG"), OPTIONS._replace(padding=0)
    plain, mirrored = (
        transforms.augment(data, flip, [0, 0], still).numpy() for flip in (False, True)
    )
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])
    assert np.any(plain != mirrored)


@pytest.mark.parametrize("flip", [False, True])
def test_pad_and_crop_takes_the_given_lines(flip):
    lines = np.arange(1, 5 * 4 + 1, dtype=np.uint8).reshape(5, 4)
    padded = np.pad(lines[::-1] if flip else lines, [(2, 2), (0, 0)], constant_values=127)
    crops = in_dataset(
        lambda start: transforms.pad_and_crop(tf.constant(lines), start, 2, 127, flip),
        np.arange(5, dtype=np.int32),
    )
    for start, crop in enumerate(crops):
        np.testing.assert_array_equal(crop, padded[start : start + 5])


def test_augment_crops_the_padded_image_at_the_corner():
    data = encode(picture(48, 24), "PNG")
    options = OPTIONS._replace(padding=2)
    image = np.asarray(picture(48, 24))
    padded = np.pad(image, [(2, 2), (2, 2), (0, 0)], constant_values=127)
    for top, left in ((0, 3), (4, 1), (2, 2)):
        crop = transforms.augment(data, False, tf.constant([top, left]), options)
        np.testing.assert_array_equal(crop, padded[top : top + 48, left : left + 24])


def test_no_padding_leaves_the_lines():
    lines = tf.constant(np.asarray(picture())[..., 0])
    np.testing.assert_array_equal(transforms.pad_and_crop(lines, 0, 0, 127), lines)


def test_draws_are_a_function_of_seed_step_and_row():
    draws = augmentation.sample_augmentation(7, 1000, 64, OPTIONS)
    assert [len(drawn) for drawn in draws] == [64] * 3
    assert [drawn.dtype for drawn in draws] == [bool, np.int32, np.int32]
    for rows in (1, 5, 63):
        few = augmentation.sample_augmentation(7, 1000, rows, OPTIONS)
        for drawn, whole in zip(few, draws, strict=True):
            np.testing.assert_array_equal(drawn, whole[:rows])
    for some, whole in zip(draws.take([3, 60]), draws, strict=True):
        np.testing.assert_array_equal(some, whole[[3, 60]])
    keys = ((7, 1000), (7, 1001), (8, 1000), (1000, 7))
    corners = [augmentation.sample_augmentation(*key, 64, OPTIONS).corner for key in keys]
    assert all((a != b).any() for a, b in itertools.combinations(corners, 2))


@pytest.mark.parametrize("order", augmentation.ORDERS)
def test_draws_flip_as_often_and_crop_as_widely_as_asked(order):
    options = OPTIONS._replace(flip_probability=0.3, padding=4, order=order)
    flip, corner, _ = augmentation.sample_augmentation(0, 0, 4000, options)
    assert abs(flip.mean() - 0.3) < 0.03
    for side in (flip, ~flip):  # whether an image is flipped says nothing of its crop
        for place in corner[side].T:
            shares = np.bincount(place) / len(place)
            assert len(shares) == 9 and np.abs(shares - 1 / 9).max() < 0.04
        assert abs(np.corrcoef(corner[side].T)[0, 1]) < 0.1
    for never in (0.0, 1.0):
        flip = augmentation.sample_augmentation(
            0, 0, 99, OPTIONS._replace(flip_probability=never)
        ).flip
        assert (flip == bool(never)).all()


def test_orders_differ_in_what_the_flip_mirrors():
    """Crop first: the padding is mirrored with the image. Flip first: it stays where it was."""
    data = encode(Image.new("RGB", (24, 48), "white"), "PNG")
    flipping = OPTIONS._replace(padding=3, flip_probability=1.0)

    def augmented(options):
        flip, corner, _ = augmentation.sample_augmentation(0, 0, 1, options)
        return transforms.augment(data, flip[0], corner[0], options).numpy()

    plain = augmented(flipping._replace(flip_probability=0.0))
    assert np.any(plain != plain[:, ::-1])
    np.testing.assert_array_equal(augmented(flipping), plain)
    crop_first = augmented(flipping._replace(order="crop_first"))
    np.testing.assert_array_equal(crop_first, plain[:, ::-1])


def boxes(height, width, probability, area, ratio, rows=2000):
    """Top, left, height and width of the erased boxes, `[m, 4]`; rows without one are left out."""
    options = OPTIONS._replace(
        size=(height, width), erase_probability=probability, erase_area=area, erase_ratio=ratio
    )
    drawn = augmentation.sample_augmentation(0, 0, rows, options).box
    erased = drawn[:, 2] > 0
    assert (drawn[~erased] == 0).all() and (drawn[erased, 2:] > 0).all()
    return drawn[erased]


def test_erased_boxes_have_area_and_ratio_within_bounds_and_lie_anywhere():
    top, left, tall, wide = boxes(96, 80, 1.0, (0.02, 0.33), (0.3, 3.3)).T
    assert len(top) == 2000
    area = tall * wide / (96 * 80)
    assert area.min() > 0.02 * 0.9 and area.max() < 0.33 * 1.05
    assert abs(area.mean() - 0.175) < 0.01  # uniform
    ratio = np.log(tall / wide)
    assert ratio.min() > np.log(0.3) - 0.12 and ratio.max() < np.log(3.3) + 0.12
    assert abs(ratio.mean()) < 0.06 and abs(ratio.std() - np.log(11) / 12**0.5) < 0.05
    for start, span, length in ((top, tall, 96), (left, wide, 80)):
        assert np.max(start + span) == length and start.min() == 0
        place = start / (length - span)
        assert abs(place.mean() - 0.5) < 0.03


def test_erased_as_often_as_asked():
    rule = ((0.02, 0.33), (0.3, 3.3))
    assert len(boxes(20, 10, 0.0, *rule)) == 0
    assert abs(len(boxes(20, 10, 0.3, *rule)) / 2000 - 0.3) < 0.04


def test_an_erased_box_is_tried_for_ten_times():
    # A box of ratio 1 fits 80 x 20 while its side is below 20: a quarter of these areas do.
    fit = (19.5**2 / 1600 - 0.05) / 0.95
    for size in ((80, 20), (20, 80)):
        found = boxes(*size, 1.0, (0.05, 1.0), (1.0, 1.0))
        assert abs(len(found) / 2000 - (1 - (1 - fit) ** 10)) < 0.03
        assert found[:, 2:].max() == 19
    assert len(boxes(80, 20, 1.0, (0.5, 1.0), (1.0, 1.0))) == 0


def test_the_first_box_that_fits_is_taken():
    u = np.random.default_rng(0).random((4, 10, 50))
    options = OPTIONS._replace(size=(80, 20), erase_area=(0.05, 1.0), erase_ratio=(0.5, 2.0))
    for row, box in enumerate(augmentation.sample_boxes(u, options).T):
        expected = (0, 0, 0, 0)
        for area, ratio, top, left in u[:, :, row].T:
            pixels, ratio = 1600 * (0.05 + 0.95 * area), 0.5 * 4**ratio
            tall, wide = round((pixels * ratio) ** 0.5), round((pixels / ratio) ** 0.5)
            if tall < 80 and wide < 20:
                expected = (int(top * (81 - tall)), int(left * (21 - wide)), tall, wide)
                break
        np.testing.assert_array_equal(box, expected)


def test_finish_normalizes_and_then_erases_the_given_box():
    images = np.stack([np.asarray(picture(9, 7, seed=seed)) for seed in range(3)])
    drawn = np.int32([[2, 1, 4, 3], [0, 0, 0, 0], [0, 4, 9, 3]])
    expected = (images / 255 - MEAN) / STD
    normalized = transforms.normalize_and_erase(
        images, drawn, OPTIONS._replace(erase_probability=0.0)
    )
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized, expected, atol=1e-6)
    for image, (top, left, tall, wide) in zip(expected, drawn, strict=True):
        image[top : top + tall, left : left + wide] = 0.25
    finish = jax.jit(lambda images, boxes: transforms.normalize_and_erase(images, boxes, options))
    options = OPTIONS._replace(erase_fill=0.25)
    np.testing.assert_allclose(finish(images, drawn), expected, atol=1e-6)


def test_gray_comes_before_the_resize():
    image = picture()
    data, grayed = encode(image, "PNG"), encode(image.convert("L"), "PNG")
    expected = pixels.preprocess(grayed, (48, 24), "bilinear")
    np.testing.assert_array_equal(pixels.preprocess(data, (48, 24), "bilinear", True), expected)
    for visible, same in ((True, grayed), (False, data)):
        expected = transforms.augment(same, True, [3, 4], OPTIONS)
        for options, modality in (
            (OPTIONS._replace(gray_visible=True), visible),
            (OPTIONS._replace(gray_infrared=True), not visible),
        ):
            (result,) = in_dataset(
                lambda data, visible, options=options: transforms.augment(
                    data, True, [3, 4], options, visible
                ),
                [data],
                [modality],
            )
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("fill", [-1, 256, 123.675])
def test_augment_refuses_a_padding_value_that_no_pixel_has(fill):
    with pytest.raises(InputError, match="padding_fill"):
        transforms.augment(b"", False, [0, 0], OPTIONS._replace(padding_fill=fill))


@pytest.mark.parametrize("method", ["bilinear", "lanczos"])
@pytest.mark.parametrize("shape", [(61, 37), (350, 171), (1, 1), (7, 300), (128, 64)])
def test_training_and_embedding_see_the_same_pixels(method, shape):
    """TensorFlow's in `augment` with nothing random, Pillow's and numpy's in `preprocess`."""
    data = encode(picture(*shape), "JPEG")
    for size in ((96, 48), (31, 90)):
        options = OPTIONS._replace(size=size, resize=method)
        trained = transforms.augment(data, False, [10, 10], options).numpy()  # crops the center
        assert trained.dtype == np.uint8
        embedded = pixels.preprocess(data, size, method)
        assert embedded.dtype == np.float32
        np.testing.assert_array_equal(trained * pixels.SCALE + pixels.SHIFT, embedded)


def test_augment_fills_the_padding_before_the_normalization():
    black = encode(Image.new("RGB", (24, 48)), "PNG")
    image = transforms.augment(black, True, [0, 0], OPTIONS._replace(padding=3)).numpy()
    assert (image[:3] == 127).all() and (image[:, :3] == 127).all() and (image[3:, 3:] == 0).all()


def test_the_same_bytes_whatever_the_parallelism():
    images = [encode(picture(seed=seed), "JPEG") for seed in range(24)]
    flip, corner, _ = augmentation.sample_augmentation(0, 0, 24, OPTIONS)

    def run(calls):
        rows = tf.data.Dataset.from_tensor_slices((images, flip, corner))
        mapped = rows.map(lambda *row: transforms.augment(*row, OPTIONS), calls)
        return np.stack(list(mapped.as_numpy_iterator()))

    one = run(1)
    assert one.shape == (24, 48, 24, 3) and one.dtype == np.uint8
    assert run(8).tobytes() == one.tobytes()
    rows = zip(images[:8], flip[:8], corner[:8], strict=True)
    alone = [transforms.augment(*row, OPTIONS) for row in rows]
    np.testing.assert_array_equal(np.stack(alone), one[:8])


def test_an_unknown_option_names_the_choices():
    data = encode(picture(), "PNG")
    with pytest.raises(InputError, match=r"image\.resize=cubic .*bilinear, lanczos"):
        pixels.preprocess(data, (48, 24), "cubic")
    with pytest.raises(InputError, match=r"image\.resize=cubic .*bilinear, lanczos"):
        transforms.augment(data, False, [0, 0], OPTIONS._replace(resize="cubic"))
    with pytest.raises(InputError, match=r"image\.order=any .*crop_first, flip_first"):
        augmentation.sample_augmentation(0, 0, 1, OPTIONS._replace(order="any"))

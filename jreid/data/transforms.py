"""From encoded bytes to a network's input: decode, resize, augment, normalise; in TensorFlow.

Every random function takes a seed `[2]` int32 and is a pure function of it. An image is
`[h, w, 3]`, uint8 as decoded, float32 in 0..255 from `resize` on, about -2..3 once normalised.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from jreid.errors import InputError

Tensor = Any  # a tf.Tensor: naming its type would import TensorFlow, which takes seconds

RESIZE = {"bilinear": "bilinear", "lanczos": "lanczos3"}  # ours -> TensorFlow's name
ORDERS = ("flip_first", "crop_first")
ERASE_ATTEMPTS = 10
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Augmentation(NamedTuple):
    """What `augment` does to a training image.

    Attributes:
        size: height and width in pixels.
        resize: `bilinear` or `lanczos`.
        order: `flip_first` flips before pad-and-crop (MPANet, IDKL), `crop_first` after it (AGW).
        flip_probability: of mirroring left and right.
        padding: pixels added to each side before cropping back to `size`.
        padding_fill: their value, 0..255, before normalisation.
        erase_probability: of erasing a rectangle.
        erase_area: least and greatest area of the rectangle as a fraction of the image's.
        erase_ratio: least and greatest height / width of the rectangle.
        erase_fill: the rectangle's value after normalisation; 0 is ImageNet's mean colour.
    """

    size: tuple[int, int]
    resize: str
    order: str
    flip_probability: float
    padding: int
    padding_fill: float
    erase_probability: float
    erase_area: tuple[float, float]
    erase_ratio: tuple[float, float]
    erase_fill: float


def row_seeds(seed: int, step: int, rows: int) -> Int[np.ndarray, "rows 2"]:
    """One augmentation seed, `[2]` int32, for each row of a step's global batch.

    Row r's seed is a function of `(seed, step, r)` alone, not of `rows`. Draw them for the global
    batch, both modalities together, and slice them by process: then the augmentation does not
    depend on the number of processes.
    """
    rng = np.random.default_rng([seed, step, *b"augment"])
    bounds = np.iinfo(np.int32)
    return rng.integers(bounds.min, bounds.max, (rows, 2), dtype=np.int32, endpoint=True)


def augment(image: Tensor, seed: Tensor, options: Augmentation) -> Tensor:
    """A training image from its encoded bytes: float32 `[H, W, 3]`, normalised.

    Raises:
        InputError: an unknown resize method or order.
    """
    import tensorflow as tf

    if options.order not in ORDERS:
        raise InputError(
            f"the order {options.order!r} is unknown: choose one of {', '.join(ORDERS)}"
        )
    flip_seed, crop_seed, erase_seed = tf.unstack(tf.random.split(seed, num=3))
    image = resize(decode(image), options.size, options.resize)
    if options.order == "flip_first":
        image = flip(image, flip_seed, options.flip_probability)
    image = pad_and_crop(image, crop_seed, options.padding, options.padding_fill)
    if options.order == "crop_first":
        image = flip(image, flip_seed, options.flip_probability)
    return erase(
        normalize(image),
        erase_seed,
        options.erase_probability,
        options.erase_area,
        options.erase_ratio,
        options.erase_fill,
    )


def prepare(image: Tensor, size: tuple[int, int], method: str) -> Tensor:
    """An image to embed from its encoded bytes: float32 `[H, W, 3]`, normalised."""
    return normalize(resize(decode(image), size, method))


def decode(image: Tensor) -> Tensor:
    """Encoded JPEG, PNG or BMP bytes to uint8 `[h, w, 3]`; gray is repeated over the channels.

    A JPEG equals Pillow's bit for bit. Like the released loaders, it is not turned by its EXIF
    orientation. Bytes that are no image, or cut off, raise TensorFlow's InvalidArgumentError.
    """
    import tensorflow as tf

    decoded = tf.cond(
        tf.io.is_jpeg(image),
        lambda: tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(image, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(decoded, [None, None, 3])


def resize(image: Tensor, size: tuple[int, int], method: str) -> Tensor:
    """To `size` (height, width) with antialiasing: whole numbers 0..255 in float32.

    The kernels are Pillow's. Pillow also rounds and clips between the two axes, so that about a
    fifth of the values differ by 1, a few at saturated edges by more.

    Raises:
        InputError: an unknown method.
    """
    import tensorflow as tf

    if method not in RESIZE:
        raise InputError(
            f"the resize method {method!r} is unknown: choose one of {', '.join(RESIZE)}"
        )
    resized = tf.image.resize(image, size, RESIZE[method], antialias=True)
    return tf.round(tf.clip_by_value(resized, 0.0, 255.0))


def flip(image: Tensor, seed: Tensor, probability: float) -> Tensor:
    """Mirrors left and right with this probability."""
    import tensorflow as tf

    flipped = tf.random.stateless_uniform([], seed) < probability
    return tf.cond(flipped, lambda: tf.reverse(image, [1]), lambda: image)


def pad_and_crop(image: Tensor, seed: Tensor, padding: int, fill: float) -> Tensor:
    """Pads every side by `padding` pixels of value `fill`, then crops at random to the old size."""
    import tensorflow as tf

    margins = [[padding, padding], [padding, padding], [0, 0]]
    padded = tf.pad(image, margins, constant_values=fill)
    corner = tf.random.stateless_uniform([2], seed, 0, 2 * padding + 1, tf.int32)
    cropped = tf.slice(padded, tf.concat([corner, [0]], 0), tf.shape(image))
    return tf.ensure_shape(cropped, image.shape)


def erase(
    image: Tensor,
    seed: Tensor,
    probability: float,
    area: tuple[float, float],
    ratio: tuple[float, float],
    fill: float,
) -> Tensor:
    """Random erasing (Zhong et al., AAAI 2020) by torchvision's rule.

    A rectangle's area is uniform within `area` (a fraction of the image's), its height / width
    log-uniform within `ratio`. The first of ten draws that is smaller than the image both ways is
    placed uniformly and set to `fill`; without such a draw the image stays as it is.
    """
    import tensorflow as tf

    height, width = tf.shape(image)[0], tf.shape(image)[1]
    draws = tf.random.stateless_uniform([4 * ERASE_ATTEMPTS + 1], seed)
    u_area, u_ratio, u_top, u_left = tf.split(draws[1:], 4)
    pixels = tf.cast(height * width, tf.float32) * (area[0] + u_area * (area[1] - area[0]))
    log_ratio = math.log(ratio[0]) + u_ratio * (math.log(ratio[1]) - math.log(ratio[0]))
    heights = tf.cast(tf.round(tf.sqrt(pixels * tf.exp(log_ratio))), tf.int32)
    widths = tf.cast(tf.round(tf.sqrt(pixels / tf.exp(log_ratio))), tf.int32)

    fits = (heights < height) & (widths < width)
    first = tf.argmax(tf.cast(fits, tf.int32))
    rows = _inside(height, heights[first], u_top[first])
    columns = _inside(width, widths[first], u_left[first])
    erased = tf.reduce_any(fits) & (draws[0] < probability)
    box = rows[:, None, None] & columns[:, None]
    return tf.cond(erased, lambda: tf.where(box, fill, image), lambda: image)


def normalize(image: Tensor) -> Tensor:
    """From 0..255 to ImageNet's mean and standard deviation by channel, float32."""
    import tensorflow as tf

    return (tf.cast(image, tf.float32) / 255.0 - IMAGENET_MEAN) / IMAGENET_STD


def _inside(length: Tensor, span: Tensor, u: Tensor) -> Tensor:
    """`[length]` bool: a run of `span` at a place that u in [0, 1) picks uniformly."""
    import tensorflow as tf

    places = tf.cast(length - span + 1, tf.float32)
    start = tf.cast(u * places, tf.int32)
    index = tf.range(length)
    return (index >= start) & (index < start + span)

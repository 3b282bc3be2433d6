"""From encoded bytes to a network's input: decode, resize, augment, normalise.

What is random is drawn by `draw`, in numpy; the rest does as it is told. TensorFlow works on one
image `[h, w, 3]` of uint8 at a time. Training images are normalised and erased by JAX, a batch at a
time on the devices: a fourth of the bytes is copied there.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from jreid.errors import InputError

Tensor = Any  # a tf.Tensor: naming its type would import TensorFlow, which takes seconds

RESIZE = {"bilinear": "triangle", "lanczos": "lanczos3"}  # ours -> TensorFlow's kernel
ORDERS = ("flip_first", "crop_first")
ERASE_ATTEMPTS = 10
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SCALE = np.float32(1 / 255 / np.array(IMAGENET_STD))  # (x / 255 - mean) / std = x * SCALE + SHIFT
SHIFT = np.float32(-np.array(IMAGENET_MEAN) / IMAGENET_STD)
LUMA = (19595, 38470, 7471)  # of red, green, blue, in 1 / 65536


class Augmentation(NamedTuple):
    """What `augment` does to a training image.

    Attributes:
        size: height and width in pixels.
        resize: `bilinear` or `lanczos`.
        order: `flip_first` flips before pad-and-crop (MPANet, IDKL), `crop_first` after it (AGW).
        flip_probability: of mirroring left and right.
        padding: pixels added to each side before cropping back to `size`.
        padding_fill: their value before normalisation, a whole number of 0..255.
        erase_probability: of erasing a rectangle.
        erase_area: least and greatest area of the rectangle as a fraction of the image's.
        erase_ratio: least and greatest height / width of the rectangle.
        erase_fill: the rectangle's value after normalisation; 0 is ImageNet's mean colour.
        gray_visible: whether visible images are made gray (PFINet's task transformation).
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
    gray_visible: bool = False


class Draws(NamedTuple):
    """What is random about the rows of a batch.

    Attributes:
        flip: whether the image is mirrored left and right.
        corner: top and left of the crop within the padded image, `padding` where it is centred;
            the crop follows the flip.
        box: top, left, height and width of the rectangle to erase; height and width 0 is none.
    """

    flip: Bool[np.ndarray, " rows"]
    corner: Int[np.ndarray, "rows 2"]
    box: Int[np.ndarray, "rows 4"]

    def take(self, index: Any) -> "Draws":
        """The draws of some rows."""
        return Draws(*(drawn[index] for drawn in self))


def draw(seed: int, step: int, rows: int, options: Augmentation) -> Draws:
    """The draws of a step's global batch.

    Row r's are a function of `(seed, step, r)` and the options alone, not of `rows`. Draw them for
    the global batch, both modalities together, and slice them by process: then the augmentation
    does not depend on the number of processes.

    Raises:
        InputError: an unknown order.
    """
    if options.order not in ORDERS:
        raise InputError(
            f"the order {options.order!r} is unknown: choose one of {', '.join(ORDERS)}"
        )
    rng = np.random.default_rng([seed, step, *b"augment"])
    # A row's numbers follow the row's before it.
    u_flip, u_top, u_left, u_erase, *u_boxes = rng.random((rows, 4 + 4 * ERASE_ATTEMPTS)).T
    flip = u_flip < options.flip_probability
    corner = np.floor(np.stack([u_top, u_left], 1) * (2 * options.padding + 1)).astype(np.int32)
    if options.order == "crop_first":  # the same as to flip first and to crop at the mirrored place
        corner[flip, 1] = 2 * options.padding - corner[flip, 1]
    boxes = draw_boxes(np.reshape(u_boxes, (4, ERASE_ATTEMPTS, rows)), options)
    return Draws(flip, corner, np.where(u_erase < options.erase_probability, boxes, 0).T)


def draw_boxes(
    u: Float[np.ndarray, "4 attempts rows"], options: Augmentation
) -> Int[np.ndarray, "4 rows"]:
    """Rectangles of random erasing (Zhong et al., AAAI 2020) by torchvision's rule.

    A rectangle's area is uniform within `erase_area`, its height / width log-uniform within
    `erase_ratio`. The first attempt that is smaller than the image both ways is placed uniformly;
    without one there is no rectangle.

    Args:
        u: uniform in [0, 1), for the area, the ratio, the top and the left.
    """
    (height, width), (least, most) = options.size, options.erase_area
    pixels = height * width * (least + u[0] * (most - least))
    flattest, steepest = (math.log(ratio) for ratio in options.erase_ratio)
    ratio = np.exp(flattest + u[1] * (steepest - flattest))
    tall, wide = np.round(np.sqrt(pixels * ratio)), np.round(np.sqrt(pixels / ratio))
    top, left = np.floor(u[2] * (height - tall + 1)), np.floor(u[3] * (width - wide + 1))
    fits = (tall < height) & (wide < width)
    first = np.argmax(fits, axis=0), np.arange(u.shape[-1])
    boxes = np.stack([side[first] for side in (top, left, tall, wide)])
    return np.where(fits.any(axis=0), boxes, 0).astype(np.int32)


def augment(
    image: Tensor,
    flip: Tensor | bool,
    corner: Tensor,
    options: Augmentation,
    visible: Tensor | bool = True,
) -> Tensor:
    """A training image from its encoded bytes, uint8 `[H, W, 3]`: all but normalised and erased.

    Args:
        flip: whether to mirror left and right.
        corner: top and left of the crop within the padded image.
        visible: whether the image is visible, not infrared; `gray_visible` asks for it.

    Raises:
        InputError: an unknown resize method, or a padding value that no pixel has.
    """
    import tensorflow as tf

    if options.padding_fill not in range(256):
        raise InputError(
            f"config.image.padding_fill is {options.padding_fill}: give a whole number of 0..255."
        )
    image = decode(image)
    if options.gray_visible:
        image = tf.cond(visible, lambda: gray(image), lambda: image)
    padding, fill = options.padding, int(options.padding_fill)
    columns = resize_to_columns(image, options.size, options.resize)
    columns = pad_and_crop(columns, corner[1], padding, fill, flip)
    return _rows(pad_and_crop(_turn(columns), corner[0], padding, fill))


def finish(
    images: UInt8[Array, "n h w 3"], boxes: Int[Array, "n 4"], options: Augmentation
) -> Float[Array, "n h w 3"]:
    """A batch that `augment` made, normalised and then erased; float32, in JAX.

    Args:
        boxes: top, left, height and width of the rectangle to erase.
    """
    n, h, w, _ = images.shape
    scale, shift = (np.tile(value, w)[None, None] for value in (SCALE, SHIFT))
    # In rows of w * 3 values, since compilers are slow at doing the same to each 3 values; by
    # way of int32, which takes XLA less time on CPUs.
    pixels = images.reshape(n, h, w * 3).astype(jnp.int32).astype(jnp.float32) * scale + shift
    if options.erase_probability > 0:
        top, left, tall, wide = boxes.T[..., None]
        rows, columns = np.arange(h)[None], np.repeat(np.arange(w), 3)[None]
        inside_rows = (rows >= top) & (rows < top + tall)
        inside_columns = (columns >= left) & (columns < left + wide)
        inside = inside_rows[:, :, None] & inside_columns[:, None, :]
        pixels = jnp.where(inside, jnp.float32(options.erase_fill), pixels)
    return pixels.reshape(images.shape)


def prepare(image: Tensor, size: tuple[int, int], method: str, as_gray: bool = False) -> Tensor:
    """An image to embed from its encoded bytes: float32 `[H, W, 3]`, normalised."""
    image = gray(decode(image)) if as_gray else decode(image)
    return normalize(resize(image, size, method))


def decode(image: Tensor) -> Tensor:
    """Encoded JPEG, PNG or BMP bytes to uint8 `[h, w, 3]`; gray is repeated over the channels.

    Pillow's pixels bit for bit, of the bytes that `forms.to_decodable` gives for a file. Like the
    released loaders, it does not turn an image by its EXIF orientation. Bytes that are no image, or
    cut off, raise TensorFlow's InvalidArgumentError.
    """
    import tensorflow as tf

    decoded = tf.cond(
        tf.io.is_jpeg(image),
        lambda: tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(image, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(decoded, [None, None, 3])


def gray(image: Tensor) -> Tensor:
    """Luma (ITU-R 601) repeated over the channels, uint8 `[h, w, 3]`: Pillow's, bit for bit."""
    import tensorflow as tf

    luma = tf.tensordot(tf.cast(image, tf.int32), tf.constant(LUMA), 1)
    luma = tf.bitwise.right_shift(luma + 0x8000, 16)
    return tf.repeat(tf.cast(luma, tf.uint8)[..., None], 3, axis=-1)


def resize(image: Tensor, size: tuple[int, int], method: str) -> Tensor:
    """To `size` (height, width) with antialiasing: uint8 `[H, W, 3]`.

    The kernels are Pillow's. Pillow also rounds and clips between the two axes, so that about a
    fifth of the values differ by 1, a few at saturated edges by more. The values are those of
    `tf.image.resize`, rounded, which takes twice the time since it goes along the columns pixel by
    pixel.

    Raises:
        InputError: an unknown method.
    """
    return _rows(_turn(resize_to_columns(image, size, method)))


def resize_to_columns(image: Tensor, size: tuple[int, int], method: str) -> Tensor:
    """What `resize` returns, turned: uint8 `[W, 3 * H]`, where a column is one run of bytes."""
    import tensorflow as tf

    if method not in RESIZE:
        raise InputError(
            f"the resize method {method!r} is unknown: choose one of {', '.join(RESIZE)}"
        )
    kernel, (height, width), across = RESIZE[method], size, tf.shape(image)[1]
    rows = _resize_rows(_flat_rows(image), height, kernel)
    columns = _resize_rows(tf.reshape(tf.transpose(rows), [across, 3 * height]), width, kernel)
    # Rounds, clips (Lanczos overshoots) and casts, at once.
    levels = tf.raw_ops.QuantizeV2(
        input=columns, min_range=0.0, max_range=255.0, T=tf.quint8, mode="SCALED"
    )
    return tf.bitcast(levels.output, tf.uint8)


def pad_and_crop(
    lines: Tensor, start: Tensor, padding: int, fill: int, flip: Tensor | bool = False
) -> Tensor:
    """Reverses the lines `[n, m]` if told, pads both ends by lines of `fill`, crops back to n.

    Args:
        start: the crop's first line, int32 within 0..2 * padding.
    """
    import tensorflow as tf

    n = lines.shape[0]
    padded = tf.pad(lines, [[padding, padding], [0, 0]], constant_values=np.uint8(fill))
    index = start + np.arange(n, dtype=np.int32)
    return tf.gather(padded, tf.where(flip, n - 1 + 2 * padding - index, index))


def normalize(image: Tensor) -> Tensor:
    """From 0..255 to ImageNet's mean and standard deviation by channel, float32."""
    import tensorflow as tf

    # Constants of the image's shape: TensorFlow is slow at repeating 3 values.
    scale, shift = (np.broadcast_to(value, image.shape) for value in (SCALE, SHIFT))
    return tf.cast(image, tf.float32) * scale + shift


def _flat_rows(image: Tensor) -> Tensor:
    """`[h, w, 3]` as `[h, w * 3]`: TensorFlow is slow at doing the same to each 3 values."""
    import tensorflow as tf

    return tf.reshape(image, [tf.shape(image)[0], tf.shape(image)[1] * 3])


def _turn(columns: Tensor) -> Tensor:
    """`[w, 3 * h]` to `[h, w * 3]`."""
    import tensorflow as tf

    width, height = columns.shape[0], columns.shape[1] // 3
    return tf.transpose(tf.reshape(columns, [width * 3, height]))


def _rows(flat: Tensor) -> Tensor:
    """`[h, w * 3]` to `[h, w, 3]`."""
    import tensorflow as tf

    return tf.reshape(flat, [flat.shape[0], flat.shape[1] // 3, 3])


def _resize_rows(rows: Tensor, height: int, kernel: str) -> Tensor:
    """`[h, m]` to float32 `[height, m]`, with antialiasing."""
    import tensorflow as tf

    scale = tf.cast(height, tf.float32) / tf.cast(tf.shape(rows)[0], tf.float32)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=rows[None, :, None, :],  # one column of m channels
        size=[height, 1],
        scale=tf.stack([scale, 1.0]),
        translation=[0.0, 0.0],
        kernel_type=kernel,
        antialias=True,
    )
    return resized[0, :, 0]

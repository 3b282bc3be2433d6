"""From encoded bytes to a training step's input: decode, resize, augment, normalize.

Random parameters are sampled in `augmentation` and applied here. TensorFlow works on one image `[h,
w, 3]` of uint8 at a time; images that are already resized are flipped and cropped by numpy.
Training images are normalized and erased by JAX, a batch at a time on the devices: a fourth of the
bytes is copied there.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jreid.data.augmentation import Augmentation
from jreid.data.pixels import RESIZE, SCALE, SHIFT
from jreid.errors import InputError
from jreid.find import require_choice

Tensor = Any  # a tf.Tensor: naming its type would import TensorFlow, which takes seconds

LUMA = (19595, 38470, 7471)  # of red, green, blue, in 1 / 65536


def augment(
    image: Tensor,
    flip: Tensor | bool,
    corner: Tensor,
    options: Augmentation,
    visible: Tensor | bool = True,
) -> Tensor:
    """A training image from its encoded bytes, uint8 `[H, W, 3]`: before normalization and erasing.

    Args:
        flip: whether to mirror left and right.
        corner: top and left of the crop within the padded image.
        visible: whether the image is visible, not infrared; decides whether it is made gray.

    Raises:
        InputError: an unknown resize method, or a padding value outside of 0..255.
    """
    padding, fill = options.padding, require_fill(options)
    columns = _decode_to_columns(image, options, visible)
    columns = pad_and_crop(columns, corner[1], padding, fill, flip)
    return _rows(pad_and_crop(_turn(columns), corner[0], padding, fill))


def resize(image: Tensor, options: Augmentation, visible: Tensor | bool = True) -> Tensor:
    """What `augment` flips and crops, from encoded bytes: uint8 `[H, W, 3]`, gray if asked.

    Raises:
        InputError: an unknown resize method.
    """
    return _rows(_turn(_decode_to_columns(image, options, visible)))


def flip_and_crop(
    image: UInt8[np.ndarray, "h w 3"],
    flip: bool,
    corner: Int[np.ndarray, " 2"],
    options: Augmentation,
    out: UInt8[np.ndarray, "h w 3"],
) -> None:
    """Writes what `augment` makes of an image, into `out`; the image is the result of `resize`.

    Raises:
        InputError: a padding value outside of 0..255.
    """
    out[...] = require_fill(options)
    (top, to_top), (left, to_left) = (
        _overlap(int(start) - options.padding, size)
        for start, size in zip(corner, options.size, strict=True)
    )
    if not flip:
        out[to_top, to_left] = image[top, left]
        return
    for channel in range(3):  # a loop over 3 values for each pixel takes four times as long
        out[to_top, to_left, channel] = image[top, ::-1, channel][:, left]


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """The lines of an image that a window of its size shows, moved by `shift`; and where."""
    shown = max(0, size - abs(shift))
    first, to = (shift, 0) if shift > 0 else (0, -shift)
    return slice(first, first + shown), slice(to, to + shown)


def require_fill(options: Augmentation) -> int:
    """The value of padded pixels; InputError if it is not one of a pixel."""
    if options.padding_fill not in range(256):
        raise InputError(
            f"config.image.padding_fill is {options.padding_fill}: give an integer of 0..255."
        )
    return int(options.padding_fill)


def _decode_to_columns(image: Tensor, options: Augmentation, visible: Tensor | bool) -> Tensor:
    """The resized image as `resize_to_columns`, from encoded bytes."""
    import tensorflow as tf

    image = decode(image)
    if options.gray_visible or options.gray_infrared:
        made_gray = tf.where(visible, options.gray_visible, options.gray_infrared)
        image = tf.cond(made_gray, lambda: gray(image), lambda: image)
    return resize_to_columns(image, options.size, options.resize)


def normalize_and_erase(
    images: UInt8[Array, "n h w 3"], boxes: Int[Array, "n 4"], options: Augmentation
) -> Float[Array, "n h w 3"]:
    """A batch from `augment`, normalized and then erased; float32, in JAX.

    Args:
        boxes: top, left, height and width of the rectangle to erase.
    """
    n, h, w, _ = images.shape
    scale, shift = (np.tile(value, w)[None, None] for value in (SCALE, SHIFT))
    # In rows of w * 3 values, since loops over 3 values are slow; through int32, which is faster
    # with XLA on CPUs.
    pixels = images.reshape(n, h, w * 3).astype(jnp.int32).astype(jnp.float32) * scale + shift
    if options.erase_probability > 0:
        top, left, tall, wide = boxes.T[..., None]
        rows, columns = np.arange(h)[None], np.repeat(np.arange(w), 3)[None]
        inside_rows = (rows >= top) & (rows < top + tall)
        inside_columns = (columns >= left) & (columns < left + wide)
        inside = inside_rows[:, :, None] & inside_columns[:, None, :]
        pixels = jnp.where(inside, jnp.float32(options.erase_fill), pixels)
    return pixels.reshape(images.shape)


def decode(image: Tensor) -> Tensor:
    """Encoded JPEG, PNG or BMP bytes to uint8 `[h, w, 3]`; gray is repeated over the channels.

    Pillow's pixels bit for bit, of the bytes that `forms.to_decodable` gives for a file. Like the
    released loaders, it ignores the EXIF orientation. Bytes that are incomplete or not an image
    raise TensorFlow's InvalidArgumentError.
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


def resize_to_columns(image: Tensor, size: tuple[int, int], method: str) -> Tensor:
    """The result of `pixels.resize`, transposed: uint8 `[W, 3 * H]`, each column contiguous.

    The kernels are Pillow's. Pillow also rounds and clips between the two axes, so that about a
    fifth of the values differ by 1, a few at saturated edges by more. The values are those of
    `tf.image.resize`, rounded, which takes twice the time, since it processes the columns pixel by
    pixel.

    Raises:
        InputError: an unknown method.
    """
    import tensorflow as tf

    require_choice("image.resize", method, RESIZE)
    kernel, (height, width), across = RESIZE[method], size, tf.shape(image)[1]
    rows = _resize_rows(_flat_rows(image), height, kernel)
    columns = _resize_rows(tf.reshape(tf.transpose(rows), [across, 3 * height]), width, kernel)
    # Rounds, clips (Lanczos overshoots) and casts in one operation.
    levels = tf.raw_ops.QuantizeV2(
        input=columns, min_range=0.0, max_range=255.0, T=tf.quint8, mode="SCALED"
    )
    return tf.bitcast(levels.output, tf.uint8)


def pad_and_crop(
    lines: Tensor, start: Tensor, padding: int, fill: int, flip: Tensor | bool = False
) -> Tensor:
    """Flips the lines `[n, m]` if asked, pads both ends by lines of `fill`, crops back to n.

    Args:
        start: the crop's first line, int32 within 0..2 * padding.
    """
    import tensorflow as tf

    n = lines.shape[0]
    padded = tf.pad(lines, [[padding, padding], [0, 0]], constant_values=np.uint8(fill))
    index = start + np.arange(n, dtype=np.int32)
    return tf.gather(padded, tf.where(flip, n - 1 + 2 * padding - index, index))


def _flat_rows(image: Tensor) -> Tensor:
    """`[h, w, 3]` as `[h, w * 3]`: TensorFlow is slow in loops over 3 values."""
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

"""Images to embed, without TensorFlow: decode by Pillow, resize, normalize.

The pixels are those of training bit for bit: `transforms` does the same by TensorFlow.
"""

import contextlib
import functools
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float, Shaped, UInt8

from jreid.find import require_choice

MAX_PIXELS = 50_000_000  # a file with more pixels is an error before it is decoded
MAX_SIDE = 20_000  # resizing takes memory for each column, however low the image is
KEPT_SIDE = 4_096  # of longer sides the weights are not kept
FORMATS = ("JPEG", "PNG", "BMP")
RESIZE = {"bilinear": "triangle", "lanczos": "lanczos3"}  # our name -> the kernel's usual name
RADIUS = {"bilinear": 1.0, "lanczos": 3.0}  # of the kernels, in pixels of the coarser image
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SCALE = np.float32(1 / 255 / np.array(IMAGENET_STD))  # (x / 255 - mean) / std = x * SCALE + SHIFT
SHIFT = np.float32(-np.array(IMAGENET_MEAN) / IMAGENET_STD)


class ImageError(Exception):
    """The fault of an image: the predicate of a sentence that begins with its name."""


def preprocess(
    image: bytes | UInt8[np.ndarray, "h w 3"],
    size: tuple[int, int],
    method: str,
    as_gray: bool = False,
) -> Float[np.ndarray, "H W 3"]:
    """An image to embed from its encoded bytes or its pixels: float32 `[H, W, 3]`, normalized.

    Args:
        as_gray: whether to convert it to gray first, by Pillow's luma.

    Raises:
        ImageError: bytes that are not an image.
        InputError: an unknown resize method.
    """
    pixels = decode(image) if isinstance(image, bytes) else image
    columns, H = _resize_to_columns(to_gray(pixels) if as_gray else pixels, size, method), size[0]
    columns *= np.repeat(SCALE, H)
    columns += np.repeat(SHIFT, H)
    return _turn(columns)


def decode(content: bytes, as_gray: bool = False) -> UInt8[np.ndarray, "h w 3"]:
    """Encoded JPEG, PNG or BMP bytes as Pillow's RGB pixels; gray is repeated over the channels.

    Raises:
        ImageError: damaged, too large, or of another format.
    """
    with opened(content) as image:
        image.info.pop("transparency", None)  # Pillow warns that it drops a palette's
        pixels = np.asarray(image.convert("RGB"))
    return to_gray(pixels) if as_gray else pixels


def to_gray(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Pillow's luma, repeated over the channels."""
    import PIL.Image

    return np.asarray(PIL.Image.fromarray(pixels).convert("L").convert("RGB"))


@contextlib.contextmanager
def opened(content: bytes, most: int = MAX_PIXELS) -> Iterator[Any]:
    """An image file's bytes as Pillow's image, which the block may decode.

    Args:
        most: the number of pixels, above which nothing is decoded.

    Raises:
        ImageError: damaged, too large, or of another format; also what Pillow raises in the block.
    """
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > most:
                raise ImageError(f"has {image.width} x {image.height} pixels, more than {most:,}")
            if max(image.size) > MAX_SIDE:
                raise ImageError(
                    f"has {image.width} x {image.height} pixels, a side of more than {MAX_SIDE:,}"
                )
            yield image
    except PIL.UnidentifiedImageError:
        raise ImageError("is not a JPEG, PNG or BMP image") from None
    except PIL.Image.DecompressionBombError:
        raise ImageError(f"has more than {most:,} pixels") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"cannot be read ({error})") from error


def resize(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], method: str
) -> UInt8[np.ndarray, "H W 3"]:
    """To `size` (height, width) with antialiasing, rounded once at the end.

    Not `jax.image.resize`, which has the same kernels: it compiles again for every size of image,
    and a dataset of detected people has thousands of sizes.

    Raises:
        InputError: an unknown method.
    """
    return _turn(_resize_to_columns(image, size, method).astype(np.uint8))


def _turn(columns: Shaped[np.ndarray, "W 3*H"]) -> Shaped[np.ndarray, "H W 3"]:
    return columns.reshape(len(columns), 3, -1).transpose(2, 0, 1)


def _resize_to_columns(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], method: str
) -> Float[np.ndarray, "W 3*H"]:
    """The result of `resize` as float32 columns, each with its reds, then greens, then blues.

    Numpy is slow if it processes an image 3 values at a time.
    """
    require_choice("image.resize", method, RESIZE)
    (h, w, _), (H, W) = image.shape, size
    of_height, of_width = (
        (_weights if max(image.shape) <= KEPT_SIDE else _weights.__wrapped__)(*sides, method)
        for sides in ((h, H), (w, W))
    )
    rows = of_height @ image.reshape(h, w * 3).astype(np.float32)
    levels = of_width @ rows.T.reshape(w, 3 * H)
    levels.clip(0, 255, out=levels)
    levels += np.float32(0.5)
    return np.floor(levels, out=levels)


@functools.lru_cache(maxsize=4096)
def _weights(n: int, N: int, method: str) -> scipy.sparse.csr_array:
    """The matrix `[N, n]` that resizes n pixels to N, float32, as TensorFlow computes it."""
    step = np.float32(1 / (np.float32(N) / np.float32(n)))  # input pixels per output pixel
    stretch = max(step, np.float32(1))
    reach = np.float32(RADIUS[method]) * stretch
    centers = (np.arange(N, dtype=np.float32) + np.float32(0.5)) * step
    first = np.ceil(centers - reach - np.float32(0.5)).astype(int).clip(0, n - 1)
    last = np.floor(centers + reach - np.float32(0.5)).astype(int).clip(0, n - 1)
    source = first[:, None] + np.arange((last - first).max() + 1)
    offset = np.abs(source.astype(np.float32) + np.float32(0.5) - centers[:, None])
    values = _kernel(offset * (1 / stretch), method)
    values[source > last[:, None]] = 0
    total = np.add.accumulate(values, axis=1)[:, -1:]  # in order, as TensorFlow adds
    values *= 1 / total
    rows = np.broadcast_to(np.arange(N)[:, None], values.shape)
    inside = source <= last[:, None]
    return scipy.sparse.csr_array(
        (values[inside], (rows[inside], source[inside])), shape=(N, n), dtype=np.float32
    )


def _kernel(distance: Float[np.ndarray, "N m"], method: str) -> Float[np.ndarray, "N m"]:
    if method == "bilinear":
        return np.maximum(1 - distance, 0)
    pi, radius = np.float32(np.pi), np.float32(RADIUS[method])
    x = np.maximum(distance, np.float32(1e-3))
    values = radius * _sin(pi * x) * _sin(pi * x / radius) / (pi * pi * x * x)
    return np.where(distance > radius, 0, np.where(distance <= 1e-3, 1, values))


def _sin(x: Float[np.ndarray, "N m"]) -> Float[np.ndarray, "N m"]:
    return np.sin(x.astype(np.float64)).astype(np.float32)  # numpy's float32 sine is less exact

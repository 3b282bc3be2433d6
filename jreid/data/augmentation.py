"""The random parameters of training images, sampled for each row of a batch, in numpy."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jreid.find import require_choice

ORDERS = ("flip_first", "crop_first")
ERASE_ATTEMPTS = 10


class Augmentation(NamedTuple):
    """The options of `augment`, for training images.

    Attributes:
        size: height and width in pixels.
        resize: `bilinear` or `lanczos`.
        order: `flip_first` flips before pad-and-crop (MPANet, IDKL), `crop_first` after it (AGW).
        flip_probability: of mirroring left and right.
        padding: pixels added to each side before cropping back to `size`.
        padding_fill: their value before normalization, an integer of 0..255.
        erase_probability: of erasing a rectangle.
        erase_area: least and greatest area of the rectangle as a fraction of the image's.
        erase_ratio: least and greatest height / width of the rectangle.
        erase_fill: the rectangle's value after normalization; 0 is ImageNet's mean color.
        gray_visible: whether visible images are made gray (PFINet's task transformation).
        gray_infrared: whether infrared images are made gray, for images in false colors.
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
    gray_infrared: bool = False


class AugmentationParams(NamedTuple):
    """The random parameters of the rows of a batch.

    Attributes:
        flip: whether the image is mirrored left and right.
        corner: top and left of the crop within the padded image, `padding` where it is centered;
            the crop follows the flip.
        box: top, left, height and width of the rectangle to erase; height and width 0 is none.
    """

    flip: Bool[np.ndarray, " rows"]
    corner: Int[np.ndarray, "rows 2"]
    box: Int[np.ndarray, "rows 4"]

    def take(self, index: Any) -> "AugmentationParams":
        """The parameters of some rows."""
        return AugmentationParams(*(drawn[index] for drawn in self))


def sample_augmentation(
    seed: int, step: int, rows: int, options: Augmentation
) -> AugmentationParams:
    """Samples the parameters of a step's global batch.

    Those of row r depend only on `(seed, step, r)` and the options, not on `rows`. Sample them for
    the global batch, both modalities together, and slice them by process: then the augmentation
    does not depend on the number of processes.

    Raises:
        InputError: an unknown order.
    """
    require_choice("image.order", options.order, ORDERS)
    rng = np.random.default_rng([seed, step, *b"augment"])
    # Each row continues the random numbers of the previous one.
    u_flip, u_top, u_left, u_erase, *u_boxes = rng.random((rows, 4 + 4 * ERASE_ATTEMPTS)).T
    flip = u_flip < options.flip_probability
    corner = np.floor(np.stack([u_top, u_left], 1) * (2 * options.padding + 1)).astype(np.int32)
    if options.order == "crop_first":
        # Equal to flipping first and cropping at the mirrored position.
        corner[flip, 1] = 2 * options.padding - corner[flip, 1]
    boxes = sample_boxes(np.reshape(u_boxes, (4, ERASE_ATTEMPTS, rows)), options)
    return AugmentationParams(
        flip, corner, np.where(u_erase < options.erase_probability, boxes, 0).T
    )


def sample_boxes(
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

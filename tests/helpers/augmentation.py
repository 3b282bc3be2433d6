"""Augmentation as AGW has it, of small images."""

from helpers.small_method import SIZE
from jreid.data.augmentation import Augmentation

AUGMENTATION = Augmentation(
    size=SIZE,
    resize="bilinear",
    order="flip_first",
    flip_probability=0.5,
    padding=2,
    padding_fill=127,
    erase_probability=0.5,
    erase_area=(0.02, 0.33),
    erase_ratio=(0.3, 3.3),
    erase_fill=0.0,
)

"""The cameras' backdrops: each place is one picture; an image shows a part of it.

Cameras of one location, visible and infrared, see the same place.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageFilter

from jreid.synthetic.canvas import Picture
from jreid.synthetic.places import HEIGHT, PLACES, WALL_FOOT, WIDTH, Brush
from jreid.synthetic.randomness import SIDE, Purpose, generator, noise_bank


def backdrop(
    seed: int,
    location: int,
    infrared: bool,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
) -> Picture:
    """A part of a place, 0 to 1: `box` is left, top, right, bottom; `size` is height, width."""
    scene = _scene(seed, location)[infrared]
    crop = scene.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)
    picture = np.asarray(crop, np.float32) / 255
    return np.ascontiguousarray(np.atleast_3d(picture).transpose(2, 0, 1))


@cache
def _scene(seed: int, location: int) -> tuple[Image.Image, Image.Image]:
    """A place in the visible and the infrared, with dirt and grain; an infrared lamp falls off."""
    brush = Brush()
    PLACES[location](brush, generator(seed, Purpose.SCENE, location))
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    dirt = 0.25 * np.exp(-(((rows - WALL_FOOT) / 14) ** 2))  # where wall and floor meet
    repeats = (-(-HEIGHT // SIDE), -(-WIDTH // SIDE))
    grain = np.tile(noise_bank(seed)[0], repeats)[:HEIGHT, :WIDTH]
    tone = (1 - dirt) * (1 + 0.03 * grain)
    lamp = np.clip(0.35 + 0.5 * (rows - WALL_FOOT) / (HEIGHT - WALL_FOOT), 0.3, 0.8)
    visible = _softened(brush.visible) * tone[..., None]
    infrared = _softened(brush.infrared) * tone * lamp
    return _image(visible), _image(infrared)


def _softened(image: Image.Image) -> np.ndarray:
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.5)), np.float32)


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

"""Renders one image of a person, from the choice of a view to the sensor.

The order is from back to front: backdrop, shadow, person, an object before the person, sensor.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from jreid.synthetic import places
from jreid.synthetic.cameras import OVERSAMPLING, Camera, expose
from jreid.synthetic.canvas import Canvas
from jreid.synthetic.figure import Figure, Part
from jreid.synthetic.head import head_parts
from jreid.synthetic.limbs import arm_parts, leg_parts
from jreid.synthetic.occluders import occlude
from jreid.synthetic.pedestrians import Person
from jreid.synthetic.randomness import noise_patch
from jreid.synthetic.scenes import backdrop
from jreid.synthetic.skeleton import Pose, leg_joints, sample_pose
from jreid.synthetic.trunk import bag_parts, trunk_parts

CROP_JITTER = 0.03  # of the crop's height, sideways; half of it up and down

PERSON_TO_CAMERA = 0.66  # a person's height as a share of the camera's height above the floor


class View(NamedTuple):
    """A crop of a place, and the person's position in it."""

    box: tuple[float, float, float, float]  # left, top, right, bottom in the place's picture
    feet: tuple[float, float]  # column and row in the crop's pixels
    scale: float  # pixels of a body height


def photograph(
    person: Person, camera: Camera, seed: int, size: tuple[int, int], rng: np.random.Generator
) -> Image.Image:
    """One RGB crop of `person`, `size` (height, width); in the infrared all channels are equal.

    The height is twice the width; `seed` is the dataset's; the look of its places depends on it.
    """
    shape = (OVERSAMPLING * size[0], OVERSAMPLING * size[1])
    view = _choose_view(shape, rng)
    picture = backdrop(seed, camera.location, camera.infrared, view.box, shape)
    canvas = Canvas(picture, camera.light, camera.ambient, noise_patch(seed, shape, rng))
    _cast_shadow(canvas, camera, view)
    draw_person(canvas, person, sample_pose(camera.pitch, rng), view.feet, view.scale)
    occlude(canvas, rng)
    return expose(canvas.picture, camera, rng)


def _choose_view(shape: tuple[int, int], rng: np.random.Generator) -> View:
    """Perspective gives the person's size at a random point of the floor; the box is not tight."""
    height, width = shape
    foot = rng.uniform(0.74, 0.97) * places.HEIGHT
    tall = PERSON_TO_CAMERA * (foot - places.HORIZON)
    crop = tall / rng.uniform(0.86, 0.97)  # height of a box half as wide
    across = rng.uniform(crop / 4, places.WIDTH - crop / 4)
    below = (crop - tall) * rng.uniform(0.2, 0.8)
    left, top = across - crop / 4, foot + below - crop
    box = (left, max(top, 0.0), left + crop / 2, min(top + crop, places.HEIGHT))
    feet = (
        width * (0.5 + CROP_JITTER * rng.standard_normal()),
        height * (1 - below / crop) + CROP_JITTER * 0.5 * height * rng.standard_normal(),
    )
    return View(box, feet, scale=height * tall / crop)


def _cast_shadow(canvas: Canvas, camera: Camera, view: View) -> None:
    """A soft shadow on the floor, away from the lamp."""
    strength = 0.25 if camera.infrared else 0.5
    (column, row), scale = view.feet, view.scale
    x = (canvas.x - column + camera.light[0] * 0.12 * scale) / (0.2 * scale)
    y = (canvas.y - row - 0.005 * scale) / (0.035 * scale)
    canvas.picture *= 1 - strength * np.exp(-(x * x) - y * y)


def draw_person(
    canvas: Canvas, person: Person, pose: Pose, feet: tuple[float, float], scale: float
) -> None:
    """Paints a person whose body height is `scale` pixels and whose feet are at (column, row)."""
    ankle = min(leg_joints(person, pose, side).ankle[1] for side in (-1, 1))
    sunk = scale * (ankle - 0.04) * math.cos(pose.pitch)  # one foot is on the ground
    figure = Figure(canvas, person, pose, (feet[0], feet[1] + sunk), scale)
    parts: list[Part] = []
    for side in (-1, 1):
        parts += leg_parts(figure, side) + arm_parts(figure, side)
    parts += trunk_parts(figure) + head_parts(figure) + bag_parts(figure)
    for part in sorted(parts, key=lambda part: part.nearness):
        part.paint()

"""Neck and head, face, hair and hats, and the scarf. Lengths in body heights.

The head is a ball with a larger ball of hair over it. Points on both are given as directions from
the center: left, up and front, each -1 to 1.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from jreid.synthetic.canvas import Picture, Plane, mix, soft_step
from jreid.synthetic.figure import Figure, Part
from jreid.synthetic.materials import Material
from jreid.synthetic.skeleton import Point, lean_at

HEAD_LAYER, SCARF_LAYER = 0.3, 0.31
HEAD_RADII = (0.05, 0.07, 0.06)


class Style(NamedTuple):
    """Hair or a hat, `volume` times the head, where up > `base` + `slant` * front."""

    volume: float
    base: float
    slant: float


_LOOSE = Style(1.15, 0.0, 0.8)
STYLES = {
    "short": Style(1.1, 0.12, 0.55),
    "curly": Style(1.42, 0.0, 0.75),
    "bob": _LOOSE,
    "long": _LOOSE,
    "tail": _LOOSE,
    "cap": Style(1.12, 0.25, 0.0),
    "beanie": Style(1.18, 0.22, 0.0),
}


def head_parts(figure: Figure) -> list[Part]:
    """The head, a scarf, and long hair, which falls behind the trunk or over the back."""
    person = figure.person
    parts = [Part(HEAD_LAYER, partial(_paint_head, figure))]
    if person.scarf:
        parts.append(Part(SCARF_LAYER, partial(_paint_scarf, figure, person.scarf)))
    if person.hair in ("long", "bob"):
        layer = 0.2 - 0.6 * figure.cos if figure.cos > 0 else 0.4
        parts.append(Part(layer, partial(_paint_mane, figure)))
    return parts


def _paint_head(figure: Figure) -> None:
    person, lean = figure.person, lean_at(figure.person, 0.9)
    neck, chin = (0.0, 0.83, lean - 0.005), (0.0, 0.90, lean + 0.01)
    center = (0.0, 0.932, lean + 0.018)
    figure.limb((neck, chin), (0.032, 0.029), person.skin, 0.0)
    figure.ball(center, HEAD_RADII, partial(_dress_face, figure))
    if person.hair != "bald":
        _paint_hair(figure, center)


def _paint_hair(figure: Figure, center: Point) -> None:
    person, pose, (_, y, z) = figure.person, figure.pose, center
    volume = STYLES[person.hair].volume
    middle = (0.0, y + 0.004 * volume, z - 0.006 * volume)
    x_radius, y_radius, z_radius = (radius * volume for radius in HEAD_RADII)
    figure.ball(middle, (x_radius, y_radius, z_radius), partial(_dress_hair, figure), 0.25)
    if person.hair == "cap":
        tip = (-0.085 * math.sin(pose.head), 0.945, z + 0.085 * math.cos(pose.head))
        brim = ((0.0, 0.957, z + 0.04), tip)
        figure.limb(brim, (0.026, 0.018), person.hair_material, 0.0)
    if person.hair == "tail":
        tail = [(0.0, 0.96, z - 0.06), (0.0, 0.93, z - 0.1), (0.0, 0.8, z - 0.1)]
        figure.limb(tail, (0.016, 0.024, 0.010), person.hair_material, 0.25)


def _paint_mane(figure: Figure) -> None:
    lean = lean_at(figure.person, 0.9)
    color = figure.canvas.color(figure.person.hair_material)
    low = 0.72 if figure.person.hair == "long" else 0.86
    profile = [
        (low, 0.05, 0.03, -0.035),
        (0.83, 0.062, 0.035, -0.025),
        (0.90, 0.058, 0.045, -0.01),
        (0.97, 0.045, 0.045, -0.005),
    ]
    # Sorted, because a bob's lower end is above the second row.
    rows = np.array(sorted(profile)) + np.array([0, 0, 0, lean])
    figure.tube(rows, lambda height, azimuth: (color, 1.0), 0.25)


def _paint_scarf(figure: Figure, material: Material) -> None:
    lean, color = lean_at(figure.person, 0.9), figure.canvas.color(material)
    rows = [(0.82, 0.068, 0.062, lean), (0.845, 0.066, 0.06, lean), (0.875, 0.05, 0.05, lean)]
    figure.tube(np.array(rows), lambda height, azimuth: (color, 1.0), 0.3)


def _dress_hair(figure: Figure, left: Plane, up: Plane, front: Plane) -> tuple[Picture, Plane]:
    person = figure.person
    _, base, slant = STYLES[person.hair]
    strands = 1 + 0.08 * np.sin(21 * left + 9 * up) + 0.08 * np.sin(17 * front - 8 * up)
    if person.hair == "beanie":
        strands = strands * (1 - 0.35 * soft_step(0.03 - abs(up - 0.42), 20))  # the turned-up edge
    color = figure.canvas.color(person.hair_material)
    return color * strands, soft_step(up - base - slant * front, 5)


def _dress_face(figure: Figure, left: Plane, up: Plane, front: Plane) -> tuple[Picture, float]:
    person, canvas = figure.person, figure.canvas

    def spots(x: float, y: float, width: float, height: float) -> Plane:
        """A spot at `x` left of the middle and its mirror image, on the face's side only."""
        distance = ((np.abs(left) - x) / width) ** 2 + ((up - y) / height) ** 2
        return np.exp(-distance) * (front > 0)

    eyes, brows = spots(0.36, 0.10, 0.15, 0.09), spots(0.36, 0.27, 0.22, 0.06)
    mouth, nose = spots(0.0, -0.48, 0.26, 0.07), spots(0.0, -0.14, 0.1, 0.2)
    dark = 0.75 * eyes + 0.45 * brows + 0.4 * mouth
    albedo = canvas.color(person.skin) * (1 - np.minimum(dark, 0.85) + 0.12 * nose)
    if person.beard:
        beard = 0.8 * soft_step(-0.28 - up, 5) * soft_step(front + 0.1, 5) * (1 - mouth)
        albedo = mix(albedo, canvas.color(person.hair_material), beard)
    if canvas.infrared:
        albedo = albedo + 0.6 * spots(0.36, 0.1, 0.08, 0.08)  # eyes reflect the lamp
    return albedo, 1.0

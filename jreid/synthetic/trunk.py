"""Hips and skirt, the upper garment with its opening, print and straps, and the bag.

All are upright tubes. Their cloth is given by height (0 ground, 1 top of the head) and by azimuth
around the body (radians, 0 at the front).
"""

import math
from functools import partial

import numpy as np
from jaxtyping import Float

from jreid.synthetic.canvas import Picture, Plane, cloth_albedo, mix, soft_step
from jreid.synthetic.figure import Figure, Part
from jreid.synthetic.pedestrians import Person
from jreid.synthetic.skeleton import lean_at

HIP_LAYER, TRUNK_LAYER = -2.0, 0.0
TRUNK_RADIUS = 0.1  # converts an azimuth to body heights around the body, for patterns
WAIST = 0.6  # upper end of skirts and trousers

BAGS = {  # rows of (height, half width, half depth)
    "backpack": [(0.55, 0.07, 0.05), (0.57, 0.08, 0.06), (0.74, 0.075, 0.055), (0.81, 0.05, 0.03)],
    "shoulder": [(0.43, 0.028, 0.07), (0.44, 0.03, 0.085), (0.56, 0.026, 0.08), (0.57, 0.02, 0.07)],
    "hand": [(0.27, 0.03, 0.075), (0.28, 0.032, 0.085), (0.40, 0.026, 0.06), (0.41, 0.02, 0.05)],
}

Profile = Float[np.ndarray, "rows 4"]  # (height, half width, half depth, forward), ascending


def trunk_parts(figure: Figure) -> list[Part]:
    """The hips, or the skirt, and the trunk above them."""
    return [
        Part(HIP_LAYER, partial(_paint_hips, figure)),
        Part(TRUNK_LAYER, partial(_paint_upper, figure)),
    ]


def _paint_hips(figure: Figure) -> None:
    person, dress = figure.person, partial(_dress_hips, figure)
    if person.lower == "skirt":
        flare = 0.05 + 0.3 * (person.width - 0.9)
        figure.tube(_cut(figure, person.lower_hem, WAIST, flare), dress)
    else:
        figure.tube(_cut(figure, 0.445, WAIST), dress, fade=0.05, halo=0.0)


def _paint_upper(figure: Figure) -> None:
    profile = _cut(figure, figure.person.hem, 0.855, flare=0.12)
    figure.tube(profile, partial(_dress_upper, figure))


def _body(person: Person) -> Profile:
    """The clothed body's trunk."""
    body = np.array(
        [
            (0.43, 0.08 * person.hips, 0.066),
            (0.49, 0.088 * person.hips, 0.074),
            (0.55, 0.088 * person.hips, 0.076),
            (0.62, 0.08, 0.066),  # waist
            (0.72, 0.093 * person.shoulders, 0.074),
            (0.80, 0.102 * person.shoulders, 0.062),
            (0.828, 0.078 * person.shoulders, 0.052),
            (0.845, 0.045, 0.042),  # neck
            (0.87, 0.034, 0.034),
        ]
    )
    body[:6, 1:] *= 0.55 + 0.45 * person.build
    body[3, 1:] *= 0.8 + 0.2 * person.build**1.5
    body[:7, 1:] += person.ease
    forward = [[lean_at(person, height)] for height in body[:, 0]]
    return np.hstack([body, forward])


def _cut(figure: Figure, low: float, high: float, flare: float = 0.0) -> Profile:
    """The trunk between two heights; below the hips it widens by `flare` and by the stride."""
    person, pose, body = figure.person, figure.pose, _body(figure.person)
    heights = np.unique(np.r_[low, body[:, 0], high])
    heights = heights[(heights >= low) & (heights <= high)]
    wide, deep, forward = (np.interp(heights, body[:, 0], body[:, i]) for i in (1, 2, 3))
    below = np.maximum(0.5 - heights, 0)
    stride = 0.55 * abs(math.sin(pose.phase)) * person.stride * pose.stride
    return np.stack(
        [heights, wide + flare * below, deep + (flare * 0.7 + stride) * below, forward], 1
    )


def _edge_sharpness(figure: Figure) -> float:
    """Sharpness of a seam across the trunk: four pixels wide, at least 1/50 of the height."""
    return 1.0 / max(4.0 / figure.scale, 0.02)


def _dress_hips(figure: Figure, height: Plane, azimuth: Plane) -> tuple[Picture, float]:
    down = WAIST - height
    albedo = cloth_albedo(figure.canvas, figure.person.lower_cloth, azimuth * TRUNK_RADIUS, down)
    belt = soft_step(height - 0.565, _edge_sharpness(figure)) + 0 * azimuth
    return mix(albedo, 0.35 * albedo, 0.8 * belt), 1.0


def _dress_upper(figure: Figure, height: Plane, azimuth: Plane) -> tuple[Picture, Plane]:
    person, canvas = figure.person, figure.canvas
    around, down, turn = azimuth * TRUNK_RADIUS, 0.83 - height, np.abs(azimuth)
    albedo = cloth_albedo(canvas, person.upper_cloth, around, down) + 0 * azimuth
    mask = np.ones_like(azimuth)
    if person.upper_cloth.pattern == "print":
        disc = _print_disc(person.upper_cloth.size, height, azimuth)
        albedo = mix(albedo, canvas.color(person.upper_cloth.accent), disc)
    if person.upper in ("jacket", "coat"):  # open, with the inner cloth in the gap
        gap = 0.16 + 0.5 * np.maximum(height - 0.7, 0) + 0.35 * np.maximum(0.6 - height, 0)
        opened = soft_step(gap - turn, 10)
        albedo = mix(albedo, 0.85 * cloth_albedo(canvas, person.inner, around, down), opened)
        mask = 1 - opened * soft_step(0.5 - height, _edge_sharpness(figure) * 4)
        albedo = albedo * (1 - 0.45 * soft_step(0.04 - abs(turn - gap), 25))
    elif person.upper != "shirt":
        albedo = albedo * (1 - 0.4 * soft_step(0.04 - turn, 22))  # buttons or a zip
    if person.upper == "hoodie":
        hood = np.hypot((np.pi - turn) / 0.9, (height - 0.82) / 0.075)
        albedo = albedo * (1 - 0.35 * soft_step(0.12 - abs(hood - 1), 12))
    if person.upper == "vest":
        quilt = np.sin(2 * np.pi * height / 0.055)
        albedo = albedo * (1 - 0.3 * soft_step(quilt - 0.8, 4))
    neckline = soft_step(height - 0.815 - 0.05 * np.minimum(turn, 1.0), 60)
    albedo = mix(albedo, canvas.color(person.skin), neckline)
    return mix(albedo, canvas.color(person.bag_material), _strap(person, height, azimuth)), mask


def _print_disc(size: float, height: Plane, azimuth: Plane) -> Plane:
    """The mask of a print on the chest."""
    wide, tall = 0.35 + 3 * size, 0.3 * size + 0.02
    return soft_step(1 - np.hypot(azimuth / wide, (height - 0.72) / tall), 6)


def _strap(person: Person, height: Plane, azimuth: Plane) -> Plane:
    """The mask of the bag's straps on the trunk."""
    if person.bag == "backpack":
        return soft_step(0.14 - abs(abs(azimuth) - 0.62), 12) * soft_step(height - 0.66, 60)
    if person.bag == "shoulder":
        return soft_step(0.016 - abs(0.1 * np.sin(azimuth) + 0.75 * (height - 0.70)), 90)
    return np.zeros_like(azimuth)


def bag_parts(figure: Figure) -> list[Part]:
    """The bag on the back, or at the right side."""
    person = figure.person
    if person.bag == "none":
        return []
    if person.bag == "backpack":
        side, forward, weight = 0.0, lean_at(person, 0.7) - 0.115 - person.ease, 4
    else:
        side, forward, weight = -0.14 - person.ease, 0.0, 2
    # It is outside of everything: the weight keeps arms and head from coming in between.
    near = weight * figure.project((side, 0.5, forward))[2]
    return [Part(near, partial(_paint_bag, figure, side, forward))]


def _paint_bag(figure: Figure, side: float, forward: float) -> None:
    person, rows = figure.person, BAGS[figure.person.bag]
    material = figure.canvas.color(person.bag_material)
    seam_height = (rows[0][0] + rows[-1][0]) / 2 + 0.02

    def dress(height: Plane, azimuth: Plane) -> tuple[Picture, float]:
        seam = soft_step(0.006 - abs(height - seam_height), 150) + 0 * azimuth
        return material * (1 - 0.4 * seam), 1.0

    figure.tube(np.array([(*row, forward) for row in rows]), dress, 0.06, side=side)
    if person.bag == "hand":
        handle = ((side, 0.41, 0.0), (side * 0.95, 0.47, 0.0))
        figure.limb(handle, (0.008, 0.008), person.bag_material)

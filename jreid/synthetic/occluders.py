"""Objects in front of the person: a pillar, a plant, a railing or a cabinet."""

import math

import numpy as np

from jreid.synthetic.canvas import Canvas
from jreid.synthetic.materials import Material

OCCLUSION = 0.12  # share of images with an object in front of the person

LEAVES = 26  # of a plant


def occlude(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paints an object of random kind, position and material over a share of all images."""
    if rng.random() >= OCCLUSION:
        return
    tone = np.clip(rng.uniform(0.15, 0.65) + rng.normal(0, 0.05, 3), 0, 1).tolist()
    material = Material((tone[0], tone[1], tone[2]), float(rng.uniform(0.1, 0.8)))
    kind = rng.choice(["pillar", "plant", "railing", "cabinet"])
    if kind == "pillar":
        _pillar(canvas, material, rng)
    elif kind == "railing":
        _railing(canvas, material, rng)
    elif kind == "cabinet":
        _cabinet(canvas, material, rng)
    else:
        _plant(canvas, rng)


def _pillar(canvas: Canvas, material: Material, rng: np.random.Generator) -> None:
    middle = (rng.choice([0.0, 1.0]) + 0.06 * rng.standard_normal()) * canvas.width
    half = rng.uniform(0.1, 0.22) * canvas.width
    box = (middle - half, 0, middle + half, canvas.height)
    _slab(canvas, box, material, round_side=True)


def _railing(canvas: Canvas, material: Material, rng: np.random.Generator) -> None:
    height, width = canvas.height, canvas.width
    for level in rng.uniform(0.55, 0.65) + np.array([0.0, 0.12, 0.24]):
        _slab(canvas, (-9, level * height, width + 9, (level + 0.018) * height), material)
    post = rng.uniform(0, width)
    _slab(canvas, (post, 0.55 * height, post + 0.05 * width, height), material, round_side=True)


def _cabinet(canvas: Canvas, material: Material, rng: np.random.Generator) -> None:
    """A low piece of furniture with a lighter top."""
    height, width = canvas.height, canvas.width
    middle, half = rng.uniform(0.0, 1.0) * width, rng.uniform(0.3, 0.55) * width
    left, top, right = middle - half, rng.uniform(0.68, 0.86) * height, middle + half
    _slab(canvas, (left, top, right, height + 9), material)
    red, green, blue = material.visible
    lid = Material((1.3 * red, 1.3 * green, 1.3 * blue), 0.7 * material.infrared)
    _slab(canvas, (left - 3, top, right + 3, top + 0.03 * height), lid)


def _slab(
    canvas: Canvas,
    box: tuple[float, float, float, float],
    material: Material,
    round_side: bool = False,
) -> None:
    """An upright rectangle (left, top, right, bottom), flat or round like a column."""
    left, top, right, bottom = box
    window = canvas.window(*box)
    x, y = canvas.pixels(window)
    alpha = np.clip(np.minimum(x - left, right - x) + 0.5, 0, 1)
    alpha = alpha * np.clip(np.minimum(y - top, bottom - y) + 0.5, 0, 1)
    across = np.clip((2 * x - left - right) / (right - left), -1, 1) * round_side + 0 * y
    normal = (across, 0 * across, np.sqrt(1 - 0.9 * across * across))
    canvas.paint(window, alpha, canvas.color(material), normal, 0.06)


def _plant(canvas: Canvas, rng: np.random.Generator) -> None:
    """Leaves from the crop's lower edge; green in the visible, bright in the infrared."""
    height, width = canvas.height, canvas.width
    middle = rng.choice([0.1, 0.9]) * width
    for _ in range(LEAVES):
        x = middle + rng.normal(0, 0.2) * width
        y = height * (1.0 - abs(rng.normal(0, 0.17)))
        _leaf(canvas, x, y, rng)


def _leaf(canvas: Canvas, x: float, y: float, rng: np.random.Generator) -> None:
    """An ellipse around (x, y), turned from the upright."""
    length, width = rng.uniform(0.06, 0.12) * canvas.height, 0.018 * canvas.height
    turn = rng.uniform(-1.2, 1.2)
    window = canvas.window(x - length, y - length, x + length, y + length)
    xs, ys = canvas.pixels(window)
    if not xs.size or not ys.size:  # outside of the picture
        return
    dx, dy = xs - x, ys - y
    u = (dx * math.sin(turn) - dy * math.cos(turn)) / length
    v = (dx * math.cos(turn) + dy * math.sin(turn)) / width
    alpha = np.clip((1 - np.hypot(u, v)) * width, 0, 1)
    tone = rng.uniform(0.6, 1.1)
    leaf = Material((0.16 * tone, 0.36 * tone, 0.14 * tone), 0.8 * tone)
    facing = np.sqrt(np.maximum(1 - 0.8 * v * v, 0.1)) + 0 * u
    canvas.paint(window, alpha, canvas.color(leaf), (0 * alpha, 0 * alpha, facing), 0.0)

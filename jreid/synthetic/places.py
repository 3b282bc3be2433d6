"""The places that the cameras film: two rooms, a park, a street and a passage.

A `Brush` paints each shape in a visible and an infrared picture together. Floors are tiled in
perspective; walls, trees and most things in front of them end at the row `WALL_FOOT`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

HEIGHT, WIDTH = 640, 1280  # of a place's pictures, in pixels
HORIZON, WALL_FOOT = 90, 370  # rows

CARS = ((0.66, 0.67, 0.68), (0.14, 0.19, 0.32), (0.5, 0.12, 0.12), (0.13, 0.13, 0.14))

Points = Sequence[tuple[float, float]]
Color = Sequence[float] | np.ndarray  # red, green, blue, cut to 0 to 1


class Brush:
    """Paints the same shapes in a visible and an infrared picture of a place."""

    def __init__(self) -> None:
        self.visible = Image.new("RGB", (WIDTH, HEIGHT))
        self.infrared = Image.new("L", (WIDTH, HEIGHT))
        self._draw_visible = ImageDraw.Draw(self.visible)
        self._draw_infrared = ImageDraw.Draw(self.infrared)

    def fill(self, points: Points, color: Color, infrared: float) -> None:
        """A polygon."""
        red, green, blue = (_level(value) for value in color)
        self._draw_visible.polygon(points, fill=(red, green, blue))
        self._draw_infrared.polygon(points, fill=_level(infrared))

    def box(self, x: float, y: float, w: float, h: float, color: Color, infrared: float) -> None:
        """A rectangle with its upper left corner at (x, y)."""
        self.fill([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], color, infrared)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, color: Color, infrared: float
    ) -> None:
        """An ellipse around (x, y)."""
        turn = np.linspace(0, 2 * np.pi, 24)
        xs, ys = (x + rx * np.cos(turn)).tolist(), (y + ry * np.sin(turn)).tolist()
        self.fill(list(zip(xs, ys, strict=True)), color, infrared)


def _level(value: float) -> int:
    return int(255 * min(max(value, 0), 1))


def _tiles(
    brush: Brush,
    colors: tuple[Color, Color],
    infrared: tuple[float, float],
    columns: int,
    rows: int,
) -> None:
    """A floor of two kinds of tiles; their lines meet in the middle of the horizon."""
    # Even steps away from the camera are even steps of 1 / (row - horizon).
    depth = 1 / np.linspace(1 / (WALL_FOOT - HORIZON), 1 / (HEIGHT + 60 - HORIZON), rows + 1)
    tile = WIDTH / columns / 260
    for row in range(rows):
        far, near = depth[row], depth[row + 1]
        for column in range(-columns, columns):
            kind = (row + column) % 2
            corners = ((far, 0), (far, 1), (near, 1), (near, 0))
            points = [(WIDTH / 2 + tile * (column + k) * d, HORIZON + d) for d, k in corners]
            brush.fill(points, colors[kind], infrared[kind])


def _room(brush: Brush, rng: np.random.Generator) -> None:
    wall = rng.uniform(0.62, 0.82) * np.array([1.0, 0.98, 0.93]) + rng.normal(0, 0.02, 3)
    brush.box(0, 0, WIDTH, WALL_FOOT, wall, 0.6)
    floor = rng.uniform(0.35, 0.6) * np.array([1.0, 0.95, 0.88])
    _tiles(brush, (floor, 0.93 * floor), (0.5, 0.46), columns=14, rows=9)
    brush.box(0, WALL_FOOT - 16, WIDTH, 16, 0.6 * wall, 0.35)
    x = 30.0
    while x < WIDTH - 120:
        kind, wide = rng.integers(4), rng.uniform(90, 190)
        wood = rng.uniform(0.2, 0.7) * np.array([1.0, 0.85, 0.68])
        if kind == 0:
            _door(brush, x, wide, wood, rng)
        elif kind == 1:
            _window(brush, x, wide)
        elif kind == 2:
            _sideboard(brush, x, wide, wood, rng)
        else:
            _poster(brush, x, 0.6 * wide, rng)
        x += wide + rng.uniform(30, 120)


def _door(brush: Brush, x: float, wide: float, wood: np.ndarray, rng: np.random.Generator) -> None:
    brush.box(x, 60, wide, WALL_FOOT - 60, wood, rng.uniform(0.3, 0.7))
    brush.box(x + 8, 70, wide - 16, WALL_FOOT - 78, 0.85 * wood, rng.uniform(0.3, 0.7))
    brush.ellipse(x + wide - 22, 225, 5, 5, (0.8, 0.8, 0.75), 0.9)


def _window(brush: Brush, x: float, wide: float) -> None:
    frame = (0.9, 0.9, 0.9)
    brush.box(x, 30, wide, 170, frame, 0.8)
    brush.box(x + 7, 37, wide - 14, 156, (0.75, 0.85, 0.95), 0.15)
    brush.box(x + wide / 2 - 3, 37, 6, 156, frame, 0.8)


def _sideboard(
    brush: Brush, x: float, wide: float, wood: np.ndarray, rng: np.random.Generator
) -> None:
    brush.box(x, 210, wide, WALL_FOOT - 180, wood, rng.uniform(0.2, 0.8))
    brush.box(x - 4, 204, wide + 8, 10, 1.2 * wood, rng.uniform(0.2, 0.8))
    for k in range(3):
        brush.box(x + 8 + k * wide / 3, 222, wide / 3 - 12, 150, 0.9 * wood, 0.5)


def _poster(brush: Brush, x: float, wide: float, rng: np.random.Generator) -> None:
    paper = rng.uniform(0.3, 0.8) + rng.normal(0, 0.04, 3)
    brush.box(x, 120, wide, 120, paper, rng.uniform(0.2, 0.9))
    brush.box(x + 10, 135, wide - 20, 30, (0.9, 0.9, 0.85), rng.uniform(0.2, 0.9))


def _park(brush: Brush, rng: np.random.Generator) -> None:
    brush.box(0, 0, WIDTH, WALL_FOOT, (0.72, 0.76, 0.78), 0.1)
    brush.box(0, 150, WIDTH, WALL_FOOT, (0.2, 0.27, 0.16), 0.4)
    for x in range(0, WIDTH, 40):
        _foliage(brush, rng, x, 40, rng.uniform(90, 170), WALL_FOOT - 6)
    brush.box(0, WALL_FOOT - 8, WIDTH, HEIGHT, (0.38, 0.45, 0.26), 0.65)
    _tiles(brush, ((0.6, 0.58, 0.55), (0.57, 0.55, 0.52)), (0.4, 0.38), columns=5, rows=7)
    for x in range(60, WIDTH, 230):
        _tree(brush, x + rng.uniform(-40, 40), WALL_FOOT + rng.uniform(0, 25), rng)


def _tree(brush: Brush, x: float, foot: float, rng: np.random.Generator) -> None:
    """A trunk with a darker side, and a crown."""
    trunk = [(x - 13, foot), (x - 7, 0), (x + 7, 0), (x + 13, foot)]
    shade = [(x - 13, foot), (x - 7, 0), (x - 2, 0), (x - 4, foot)]
    brush.fill(trunk, (0.3, 0.25, 0.2), 0.45)
    brush.fill(shade, (0.22, 0.18, 0.15), 0.35)
    _foliage(brush, rng, x, 60, -40, 170)


def _foliage(
    brush: Brush, rng: np.random.Generator, middle: float, spread: float, top: float, foot: float
) -> None:
    """A crown of leaves, lighter towards its top."""
    for depth in np.sort(rng.beta(1.4, 1.2, int(2.2 * spread)))[::-1]:
        y = top + (foot - top) * depth
        tone = 1.25 - 0.7 * depth + rng.normal(0, 0.14)
        x, radius = middle + rng.normal(0, spread), rng.uniform(4, 13)
        leaves = (0.27 * tone, 0.38 * tone, 0.2 * tone)
        brush.ellipse(x, y, radius, 0.7 * radius, leaves, 0.7 * tone)


def _street(brush: Brush, rng: np.random.Generator) -> None:
    brush.box(0, 0, WIDTH, WALL_FOOT, (0.5, 0.38, 0.32), 0.45)
    for y in range(0, WALL_FOOT, 14):  # brick courses
        brush.box(0, y, WIDTH, 1.5, (0.6, 0.5, 0.45), 0.55)
    _tiles(brush, ((0.42, 0.42, 0.43), (0.4, 0.4, 0.41)), (0.25, 0.24), columns=9, rows=6)
    for x in range(20, WIDTH, 210):
        brush.box(x, 20, 110, 180, (0.8, 0.8, 0.78), 0.6)  # a window
        brush.box(x + 8, 28, 94, 164, (0.22, 0.28, 0.34), 0.1)
        paint = CARS[rng.integers(len(CARS))]
        if rng.random() < 0.6:
            _car(brush, x, paint, rng.uniform(0.2, 0.8))


def _car(brush: Brush, x: float, paint: Color, infrared: float) -> None:
    """A parked car, seen from the side."""
    body = [(-60, 365), (-55, 300), (-20, 290), (10, 245), (90, 245), (120, 295), (140, 305),
            (140, 365)]  # fmt: skip
    brush.fill([(x + dx, y) for dx, y in body], paint, infrared)
    glass = [(x - 8, 292), (x + 14, 253), (x + 84, 253), (x + 108, 292)]
    brush.fill(glass, (0.15, 0.18, 0.2), 0.08)
    for wheel in (x - 20, x + 105):
        brush.ellipse(wheel, 362, 22, 22, (0.08, 0.08, 0.08), 0.12)


def _passage(brush: Brush, rng: np.random.Generator) -> None:
    brush.box(0, 0, WIDTH, WALL_FOOT, (0.3, 0.3, 0.3), 0.3)
    _tiles(brush, ((0.5, 0.5, 0.5), (0.45, 0.45, 0.45)), (0.5, 0.42), columns=8, rows=8)
    for x in range(-40, WIDTH, 190):
        brush.box(x + 60, 40, 90, WALL_FOOT - 60, (0.1, 0.1, 0.1), rng.uniform(0.02, 0.12))
        tone = rng.uniform(0.5, 0.7)  # a column with a darker side and a base
        brush.box(x, 0, 46, WALL_FOOT + 12, (tone,) * 3, tone)
        brush.box(x + 34, 0, 12, WALL_FOOT + 12, (0.7 * tone,) * 3, 0.7 * tone)
        brush.box(x - 5, WALL_FOOT - 8, 56, 24, (0.85 * tone,) * 3, 0.85 * tone)


# By the cameras' location.
PLACES: dict[int, Callable[[Brush, np.random.Generator], None]] = {
    1: _room,
    2: _room,
    4: _park,
    5: _street,
    6: _passage,
}

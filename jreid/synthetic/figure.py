"""One drawing of a person: the projection, and the three shapes that everything is made of.

The projection is parallel. Every pixel of a shape knows its surface normal (for shading) and its
place on the body (so that patterns turn with the body). A part near another darkens it a little.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jreid.synthetic.canvas import WRINKLES, Canvas, Picture, Plane, cloth_albedo
from jreid.synthetic.materials import Cloth, Material
from jreid.synthetic.pedestrians import Person
from jreid.synthetic.skeleton import Point, Pose

CONTACT_SHADOW = 0.35  # how much a part darkens the body next to it
SHADOW_REACH = 0.025  # body heights around limbs and trunk
BALL_SHADOW_REACH = 0.012

# Albedo, and a mask: of heights [h, 1] and azimuths [h, w] around the body, 0 at its front; and of
# directions left, up and front from a ball's middle.
TubeDress = Callable[[np.ndarray, np.ndarray], tuple[Picture, Plane | float]]
BallDress = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[Picture, Plane | float]]


class Part(NamedTuple):
    """Something to paint; the parts with the least `nearness` to the camera come first."""

    nearness: float
    paint: Callable[[], None]


class Figure:
    """A person in a pose on a canvas.

    `feet` is the point on the ground below the body, (column, row); a body height is `scale`
    pixels. Body axes and lengths are those of `skeleton`.
    """

    def __init__(
        self, canvas: Canvas, person: Person, pose: Pose, feet: tuple[float, float], scale: float
    ) -> None:
        self.canvas, self.person, self.pose = canvas, person, pose
        self.feet, self.scale = feet, scale
        self.sin, self.cos = math.sin(pose.yaw), math.cos(pose.yaw)

    def project(self, point: Point) -> tuple[float, float, float]:
        """Image column and row in pixels, and the distance towards the camera."""
        x, y, z = point
        near = z * self.cos - x * self.sin
        column = self.feet[0] + self.scale * (x * self.cos + z * self.sin)
        row = self.feet[1] - self.scale * (
            y * math.cos(self.pose.pitch) - near * math.sin(self.pose.pitch)
        )
        return column, row, near

    def limb(
        self,
        points: Sequence[Point],
        radii: Sequence[float],
        cloth: Cloth | Material,
        folds: float = WRINKLES,
        offset: float = 0.0,
        flat: bool = False,
        halo: float = CONTACT_SHADOW,
    ) -> None:
        """A round tube along points of the body with a radius at each.

        The cloth's pattern begins `offset` body heights down; `flat` cuts the end off square.
        """
        canvas, scale = self.canvas, self.scale
        places = [self.project(point)[:2] for point in points]
        radii = [radius * scale for radius in radii]
        reach = max(radii)
        columns, rows = zip(*places, strict=True)
        window = canvas.window(
            min(columns) - reach, min(rows) - reach, max(columns) + reach, max(rows) + reach
        )
        xs, ys = canvas.pixels(window)
        edge = nx = ny = down = np.full((1, 1), -1e9, np.float32)
        for i, (start, end) in enumerate(pairwise(points)):
            cut = flat and i == len(points) - 2
            depth, qx, qy, along = _segment(xs, ys, places[i : i + 2], radii[i : i + 2], cut)
            closer = depth > edge
            length = float(np.linalg.norm(np.subtract(end, start)))
            nx, ny = np.where(closer, qx, nx), np.where(closer, qy, ny)
            down = np.where(closer, offset + along * length, down)
            edge = np.where(closer, depth, edge)
            offset += length
        if isinstance(cloth, Cloth):
            around = np.arcsin(np.clip(nx, -1, 1)) * reach / scale
            albedo = cloth_albedo(canvas, cloth, around, down)
        else:
            albedo = canvas.color(cloth)
        # The contact shadow grows from the root, where the limb joins the body.
        shadow = self._shadow(edge, halo, SHADOW_REACH) * np.clip(14 * down - 1, 0, 1)
        nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0.04))
        canvas.paint(window, np.clip(edge + 0.5, 0, 1), albedo, (nx, ny, nz), folds, shadow)

    def tube(
        self,
        profile: Float[np.ndarray, "rows 4"],
        dress: TubeDress,
        folds: float = WRINKLES,
        fade: float = 0.0,
        halo: float = CONTACT_SHADOW,
        side: float = 0.0,
    ) -> None:
        """An upright tube of elliptic section: rows of (height, half width, half depth, forward).

        Heights ascend. The lower end fades out over `fade` body heights; `side` shifts the tube to
        the person's left.
        """
        canvas, scale = self.canvas, self.scale
        upright = scale * math.cos(self.pose.pitch)  # pixels per body height
        low, high = float(profile[0, 0]), float(profile[-1, 0])
        reach = scale * float(np.max(profile[:, 1:3]) + np.max(np.abs(profile[:, 3])))
        column, row = self.feet[0] + scale * side * self.cos, self.feet[1]
        window = canvas.window(
            column - reach, row - high * upright, column + reach, row - low * upright
        )
        xs, ys = canvas.pixels(window)
        height = (row - ys) / upright
        wide, deep, forward = (
            np.interp(height[:, 0], profile[:, 0], profile[:, i])[:, None].astype(np.float32)
            for i in (1, 2, 3)
        )
        half = scale * np.hypot(wide * self.cos, deep * self.sin)  # width of the outline
        across = (xs - column - scale * forward * self.sin) / half
        turn = np.arctan2(deep * self.sin, wide * self.cos)
        azimuth = np.arcsin(np.clip(across, -1, 1)) - turn
        azimuth = (azimuth + np.pi) % (2 * np.pi) - np.pi
        edge = (1 - np.abs(across)) * half
        ends = np.clip((high - height) * scale, 0, 1)
        ends = ends * np.clip((height - low) / (fade + 1 / scale), 0, 1)
        albedo, mask = dress(height, azimuth)
        alpha = np.clip(edge + 0.5, 0, 1) * ends * mask
        shadow = self._shadow(edge, halo, SHADOW_REACH) * ends
        canvas.paint(window, alpha, albedo, _tube_normal(across, half), folds, shadow)

    def ball(self, center: Point, radii: Point, dress: BallDress, folds: float = 0.0) -> None:
        """An ellipsoid with half axes (X, Y, Z) that turns with the head."""
        canvas, scale = self.canvas, self.scale
        column, row, _ = self.project(center)
        turn = self.pose.yaw + self.pose.head
        sin, cos = math.sin(turn), math.cos(turn)
        half = scale * math.hypot(radii[0] * cos, radii[2] * sin)
        tall = scale * radii[1]
        window = canvas.window(column - half, row - tall, column + half, row + tall)
        xs, ys = canvas.pixels(window)
        nx, ny = np.broadcast_arrays((xs - column) / half, (ys - row) / tall)
        square = nx * nx + ny * ny
        nz = np.sqrt(np.maximum(1 - square, 0.0025))
        left, front = nx * cos - nz * sin, nx * sin + nz * cos
        up = -ny * math.cos(self.pose.pitch) + nz * math.sin(self.pose.pitch)
        albedo, mask = dress(left, up, front)
        edge = (1 - np.sqrt(square)) * min(half, tall)
        shadow = self._shadow(edge, CONTACT_SHADOW, BALL_SHADOW_REACH) * mask
        canvas.paint(window, np.clip(edge + 0.5, 0, 1) * mask, albedo, (nx, ny, nz), folds, shadow)

    def _shadow(self, edge: Plane, strength: float, reach: float) -> Plane:
        """The contact shadow around an outline, `edge` pixels inside of it."""
        return strength * np.clip(1 + edge / (reach * self.scale), 0, 1)


def _segment(
    xs: Float[np.ndarray, "1 w"],
    ys: Float[np.ndarray, "h 1"],
    places: Sequence[tuple[float, float]],
    radii: Sequence[float],
    cut: bool,
) -> tuple[Plane, Plane, Plane, Plane]:
    """A tapered tube between two places, in pixels.

    Returns how deep each pixel is inside the outline, the normal's x and y, and the share of the
    way along the axis.
    """
    (ax, ay), (bx, by) = places
    dx, dy, ex, ey = xs - ax, ys - ay, bx - ax, by - ay
    along = (dx * ex + dy * ey) / (ex * ex + ey * ey + 1e-3)
    beyond = (1 - along) * math.hypot(ex, ey)
    along = np.clip(along, 0, 1)
    radius = radii[0] + (radii[1] - radii[0]) * along
    qx, qy = (dx - along * ex) / radius, (dy - along * ey) / radius
    depth = (1 - np.sqrt(qx * qx + qy * qy)) * radius
    if cut:
        depth = np.minimum(depth, beyond)
    return depth, qx, qy, along


def _tube_normal(across: Plane, half: Float[np.ndarray, "h 1"]) -> tuple[Plane, Plane, Plane]:
    """Normal of an upright tube at -1 to 1 `across` its outline of half width `half`."""
    slope = np.gradient(half[:, 0])[:, None] if half.size > 1 else 0 * half
    ny = np.clip(-slope, -1, 1) * 0.7 + 0 * across
    nz = np.sqrt(np.maximum(1 - across * across, 0.04)) * np.sqrt(1 - 0.45 * ny * ny)
    return across, ny, nz

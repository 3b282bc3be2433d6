"""A picture on which shaded, patterned surfaces are painted, in visible or infrared light.

A surface has a reflectance and a normal at every pixel of a window of the picture;
`cloth_albedo` gives the reflectance of patterned cloth.
"""

import numpy as np
from jaxtyping import Float

from jreid.synthetic.materials import Cloth, Material

WRINKLES = 0.13  # strength of folds in cloth

Plane = Float[np.ndarray, "h w"]  # h or w is 1 if the value does not change along it
Picture = Float[np.ndarray, "c h w"]  # c is 3, or 1 in the infrared
Window = tuple[slice, slice]  # rows and columns of a picture


class Canvas:
    """A picture that people are painted on, `[C, H, W]` in 0 to 1; C is 3, or 1 in the infrared.

    `light` points to the lamp (image right, image down, towards the camera); `ambient` is the share
    of light that comes from everywhere; `folds` `[H, W]` is a smooth noise of unit deviation.
    """

    def __init__(
        self, picture: Picture, light: tuple[float, float, float], ambient: float, folds: Plane
    ) -> None:
        self.picture, self.light, self.ambient, self.folds = picture, light, ambient, folds
        self.infrared = len(picture) == 1
        self.height, self.width = picture.shape[1:]
        self.y = np.arange(self.height, dtype=np.float32)[:, None] + 0.5  # of the pixels' centers
        self.x = np.arange(self.width, dtype=np.float32)[None, :] + 0.5
        self.covered = np.zeros((self.height, self.width), np.float32)  # by painted parts

    def color(self, material: Material) -> Float[np.ndarray, "c 1 1"]:
        """The material's reflectance in this picture's spectrum."""
        values = [material.infrared] if self.infrared else material.visible
        return np.array(values, np.float32)[:, None, None]

    def window(self, left: float, top: float, right: float, bottom: float) -> Window:
        """Rows and columns of a rectangle and a small margin, cut to the picture."""
        rows = slice(max(int(top) - 2, 0), min(max(int(bottom) + 3, 0), self.height))
        return rows, slice(max(int(left) - 2, 0), min(max(int(right) + 3, 0), self.width))

    def pixels(self, window: Window) -> tuple[Float[np.ndarray, "1 w"], Float[np.ndarray, "h 1"]]:
        """Columns x and rows y of a window's pixels."""
        return self.x[:, window[1]], self.y[window[0]]

    def paint(
        self,
        window: Window,
        alpha: Plane,
        albedo: Picture,
        normal: tuple[Plane, Plane, Plane],
        folds: float = WRINKLES,
        halo: Plane | None = None,
    ) -> None:
        """Paints a shaded surface over the window; `halo` darkens what is already around it."""
        lit = normal[0] * self.light[0] + normal[1] * self.light[1] + normal[2] * self.light[2]
        shade = self.ambient + (1 - self.ambient) * np.maximum(lit, 0)
        shade *= 1 + folds * self.folds[window]
        picture, covered = self.picture[:, *window], self.covered[window]
        if halo is not None:
            picture *= 1 - halo * covered
        picture += alpha * (albedo * shade - picture)
        covered += alpha * (1 - covered)


def soft_step(value: np.ndarray, sharpness: float) -> np.ndarray:
    """0 where `value` is negative and 1 where positive, over a ramp of width 1 / `sharpness`."""
    return np.clip(value * sharpness + 0.5, 0, 1)


def mix(albedo: Picture, color: Picture, weight: Plane) -> Picture:
    """`albedo` where the weight is 0 and `color` where it is 1."""
    return albedo + weight * (color - albedo)


def cloth_albedo(canvas: Canvas, cloth: Cloth, around: Plane, down: Plane) -> Picture:
    """Reflectance of a cloth at places `around` the body and `down` it, both in body heights.

    It is `[C, h, w]`, or `[C, 1, 1]` if the cloth has one color. Prints, side stripes and cuffs are
    drawn by the parts that have them.
    """
    base = canvas.color(cloth.base)
    if cloth.pattern in ("plain", "print", "side", "cuffs"):
        return base
    return mix(base, canvas.color(cloth.accent), _accent_share(cloth, around, down))


def _accent_share(cloth: Cloth, around: Plane, down: Plane) -> Plane:
    turn = 2 * np.pi / cloth.size
    if cloth.pattern == "stripes":
        return soft_step(np.sin(turn * down) + 0 * around, 1.5)
    if cloth.pattern == "bars":
        return soft_step(np.sin(turn * around) + 0 * down, 1.5)
    if cloth.pattern == "checks":
        across, along = soft_step(np.sin(turn * around), 1.5), soft_step(np.sin(turn * down), 1.5)
        return 0.5 * (across + along)
    if cloth.pattern == "blocks":
        return soft_step(0.05 + cloth.size - down, 60.0) + 0 * around
    if cloth.pattern == "band":
        return soft_step(0.035 - abs(down - 0.06 - cloth.size), 60.0) + 0 * around
    if cloth.pattern == "blotches":  # three waves that do not line up
        shift = 2000 * cloth.size  # so that all cloths have different blotches
        wave = np.sin(0.9 * turn * around + shift) + np.sin(0.8 * turn * down - 2 * shift)
        return soft_step(wave + np.sin(turn * (around * 0.6 - 1.1 * down) + 3 * shift), 2.0)
    raise ValueError(f"pattern {cloth.pattern!r} is unknown")

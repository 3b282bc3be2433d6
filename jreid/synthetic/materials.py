"""The materials of people and things: reflectance in two spectra, and random dyes.

A dye's color predicts little of its near-infrared reflectance. So the two spectra share shapes and
patterns more than tones.
"""

from typing import NamedTuple

import numpy as np

MUTED = 0.5  # how far dyes are drawn towards their gray
NIR_LUMINANCE = 0.75  # weight of its luminance in a dye's infrared reflectance; the rest is chance
NIR_PATTERN_KEPT = 0.95  # share of patterns that keep their contrast in the near infrared
NIR_POLARITY_KEPT = 0.85  # share of those that are light in the same places as in the visible

Color = tuple[float, float, float]
Palette = tuple[tuple[Color, float], ...]  # colors and how common each is


class Material(NamedTuple):
    """Reflectance in the visible (sRGB, 0 to 1) and in the near infrared (0 to 1)."""

    visible: Color
    infrared: float


class Cloth(NamedTuple):
    """A base and an accent material in a pattern whose period is `size` body heights."""

    base: Material
    accent: Material
    pattern: str
    size: float


DYES: Palette = (
    ((0.09, 0.09, 0.10), 5.0),  # black
    ((0.28, 0.29, 0.31), 3.0),
    ((0.55, 0.56, 0.58), 2.5),
    ((0.88, 0.87, 0.85), 3.5),  # white
    ((0.12, 0.16, 0.32), 3.0),  # navy
    ((0.25, 0.38, 0.60), 3.0),
    ((0.55, 0.70, 0.85), 1.5),
    ((0.70, 0.14, 0.16), 2.0),  # red
    ((0.45, 0.12, 0.20), 1.2),
    ((0.85, 0.50, 0.58), 1.2),  # pink
    ((0.88, 0.72, 0.22), 1.2),  # yellow
    ((0.85, 0.42, 0.15), 0.8),
    ((0.15, 0.42, 0.28), 1.5),  # green
    ((0.40, 0.42, 0.24), 1.5),
    ((0.76, 0.66, 0.50), 2.0),  # beige
    ((0.40, 0.27, 0.18), 1.5),
    ((0.42, 0.26, 0.52), 1.0),  # purple
    ((0.15, 0.55, 0.58), 1.0),
)
DENIM: Palette = (
    ((0.12, 0.13, 0.16), 3.0),
    ((0.17, 0.22, 0.36), 3.0),
    ((0.35, 0.45, 0.60), 2.0),
    ((0.62, 0.55, 0.42), 1.5),
    ((0.45, 0.45, 0.45), 1.5),
    ((0.85, 0.83, 0.80), 0.8),
    ((0.36, 0.38, 0.25), 1.0),
    ((0.35, 0.20, 0.16), 0.8),
)
LEATHER: Palette = (
    ((0.10, 0.09, 0.09), 3.0),
    ((0.30, 0.18, 0.12), 2.0),
    ((0.55, 0.38, 0.22), 1.0),
)
SKIN: Palette = (
    ((0.93, 0.77, 0.67), 0.27),
    ((0.87, 0.68, 0.54), 0.27),
    ((0.78, 0.57, 0.42), 0.22),
    ((0.58, 0.39, 0.27), 0.14),
    ((0.38, 0.25, 0.18), 0.1),
)
HAIR: Palette = (
    ((0.07, 0.06, 0.06), 0.3),
    ((0.13, 0.09, 0.07), 0.25),
    ((0.26, 0.16, 0.10), 0.2),
    ((0.62, 0.47, 0.27), 0.1),
    ((0.45, 0.20, 0.10), 0.07),
    ((0.60, 0.59, 0.58), 0.08),
)
SOLES: Palette = (((0.88, 0.87, 0.85), 1.0), ((0.15, 0.14, 0.14), 1.0))


def luminance(color: Color) -> float:
    """Rec. 709 luma of a color."""
    return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]


def choose(rng: np.random.Generator, **weights: float) -> str:
    """One of the names, with probabilities given by the weights."""
    share = np.fromiter(weights.values(), float)
    return str(rng.choice(list(weights), p=share / share.sum()))


def pick_color(rng: np.random.Generator, palette: Palette) -> Color:
    """A color of the palette, common ones with a higher probability."""
    share = np.array([weight for _, weight in palette])
    return palette[int(rng.choice(len(palette), p=share / share.sum()))][0]


def dye(rng: np.random.Generator, palette: Palette = DYES) -> Material:
    """A random cloth material: its infrared reflectance depends on its luminance and on chance."""
    picked = pick_color(rng, palette)
    color = (1 - MUTED) * np.array(picked) + MUTED * luminance(picked)
    color = np.clip(color * rng.uniform(0.85, 1.15) + rng.normal(0, 0.03, 3), 0.03, 0.95)
    visible = (float(color[0]), float(color[1]), float(color[2]))
    mixed = NIR_LUMINANCE * luminance(visible) + (1 - NIR_LUMINANCE) * rng.uniform(0, 1)
    return Material(visible, float(0.12 + 0.83 * mixed))


def _accent(rng: np.random.Generator, base: Material) -> Material:
    """A material that stands out from `base` in the visible and mostly in the infrared too."""
    accent = dye(rng)
    while abs(luminance(accent.visible) - luminance(base.visible)) < 0.22:
        accent = dye(rng)
    if rng.random() < NIR_PATTERN_KEPT:
        lighter = luminance(accent.visible) > luminance(base.visible)
        direction = 1 if lighter == (rng.random() < NIR_POLARITY_KEPT) else -1
        if not 0.3 < base.infrared < 0.7:  # a lighter or a darker tone exists on one side only
            direction = 1 if base.infrared < 0.5 else -1
        infrared = base.infrared + direction * rng.uniform(0.3, 0.5)
    else:
        infrared = base.infrared + rng.uniform(-0.05, 0.05)
    return accent._replace(infrared=float(np.clip(infrared, 0.06, 0.97)))


def cloth(rng: np.random.Generator, base: Material, **patterns: float) -> Cloth:
    """A cloth of this base with an accent, in a random pattern of these names and weights."""
    return Cloth(base, _accent(rng, base), choose(rng, **patterns), float(rng.uniform(0.04, 0.1)))

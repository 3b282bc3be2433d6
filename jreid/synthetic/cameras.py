"""The cameras of SYSU-MM01 and of a campus, and how their sensors make an image file from light.

An ideal picture is changed by the lamp, the exposure, the blur of the lens and sensor noise.
"""

import io
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageFilter

from jreid.synthetic.canvas import Picture, Plane

EXPOSURE_SPREAD = 0.08  # standard deviation of the logarithm of the exposure
WHITE_BALANCE_SPREAD = 0.03  # standard deviation of the logarithm of each channel's gain
INFRARED_FALL_OFF = 0.4  # light lost in an infrared image's corners

OVERSAMPLING = 2  # how many times larger than photographs pictures are drawn, for smooth edges


class Camera(NamedTuple):
    """A camera: its place, lamp and sensor."""

    number: int
    location: int
    infrared: bool
    pitch: float  # radians downwards
    exposure: float
    white_balance: tuple[float, float, float]
    light: tuple[float, float, float]  # towards the lamp: image right, image down, camera
    ambient: float
    blur: tuple[float, float]  # pixels of the final image
    noise: tuple[float, float]  # standard deviation, 0 to 1
    quality: tuple[int, int]  # of the JPEG


ABOVE, BESIDE_THE_LENS = (0.2, -0.75, 0.6), (0.0, -0.1, 0.99)  # positions of the lamps
NEUTRAL = (1.0, 1.0, 1.0)

CAMERAS = (
    Camera(
        number=1, location=1, infrared=False, pitch=0.18,
        exposure=1.0, white_balance=(1.06, 1.0, 0.9), light=ABOVE, ambient=0.5,
        blur=(0.2, 0.6), noise=(0.008, 0.02), quality=(72, 92),
    ),
    Camera(
        number=2, location=2, infrared=False, pitch=0.28,
        exposure=0.85, white_balance=(0.95, 1.02, 1.0), light=(-0.4, -0.7, 0.6), ambient=0.45,
        blur=(0.3, 0.8), noise=(0.01, 0.025), quality=(65, 88),
    ),
    Camera(
        number=3, location=2, infrared=True, pitch=0.28,
        exposure=1.0, white_balance=NEUTRAL, light=BESIDE_THE_LENS, ambient=0.4,
        blur=(0.3, 0.8), noise=(0.005, 0.01), quality=(65, 88),
    ),
    Camera(
        number=4, location=4, infrared=False, pitch=0.14,
        exposure=1.1, white_balance=(1.0, 1.01, 1.0), light=(0.7, -0.55, 0.45), ambient=0.4,
        blur=(0.2, 0.7), noise=(0.006, 0.015), quality=(70, 92),
    ),
    Camera(
        number=5, location=5, infrared=False, pitch=0.22,
        exposure=0.75, white_balance=(0.94, 0.99, 1.07), light=(-0.5, -0.6, 0.6), ambient=0.6,
        blur=(0.3, 0.9), noise=(0.01, 0.025), quality=(60, 85),
    ),
    Camera(
        number=6, location=6, infrared=True, pitch=0.2,
        exposure=0.95, white_balance=NEUTRAL, light=BESIDE_THE_LENS, ambient=0.35,
        blur=(0.4, 0.9), noise=(0.008, 0.014), quality=(60, 85),
    ),
)  # fmt: skip


def _campus_camera(
    number: int,
    location: int,
    pitch: float,
    exposure: float,
    white_balance: tuple[float, float, float],
    light: tuple[float, float, float],
) -> Camera:
    """In low light: darker and noisier than SYSU-MM01's."""
    return Camera(
        number, location, False, pitch, exposure, white_balance, light, ambient=0.5,
        blur=(0.3, 0.8), noise=(0.012, 0.03), quality=(65, 90),
    )  # fmt: skip


# Visible cameras, by day; `by_night` gives the infrared ones.
CAMPUS_CAMERAS = (
    _campus_camera(1, 4, 0.16, 0.90, (1.02, 1.0, 0.96), (0.6, -0.6, 0.5)),
    _campus_camera(2, 5, 0.24, 0.65, (0.95, 1.0, 1.06), (-0.5, -0.6, 0.6)),
    _campus_camera(3, 6, 0.20, 0.80, (1.05, 1.0, 0.92), ABOVE),
    _campus_camera(4, 1, 0.26, 0.85, (1.06, 1.0, 0.90), ABOVE),
    _campus_camera(5, 2, 0.18, 0.75, (0.95, 1.02, 1.0), (-0.4, -0.7, 0.6)),
    _campus_camera(6, 4, 0.28, 0.65, (0.96, 1.0, 1.05), (-0.7, -0.5, 0.5)),
    _campus_camera(7, 5, 0.15, 0.85, (1.03, 1.0, 0.97), (0.5, -0.6, 0.6)),
    _campus_camera(8, 6, 0.27, 0.60, (0.93, 1.0, 1.08), (-0.3, -0.75, 0.6)),
    _campus_camera(9, 1, 0.14, 0.70, (1.0, 1.03, 1.0), (0.4, -0.7, 0.6)),
)


def by_night(camera: Camera) -> Camera:
    """The same camera at night, with its own infrared lamp."""
    return camera._replace(
        infrared=True, exposure=1.0, white_balance=NEUTRAL, light=BESIDE_THE_LENS, ambient=0.4,
        noise=(0.006, 0.014),
    )  # fmt: skip


def expose(picture: Picture, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """The photograph of an ideal picture: RGB, in the infrared with three equal channels."""
    light, gain = _light_and_gain(picture.shape, camera, rng)
    picture = picture * light * gain
    picture = picture / (1 + np.maximum(picture - 0.8, 0))  # highlights roll off
    levels = (255 * np.clip(picture, 0, 1)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)).squeeze())
    blur = ImageFilter.GaussianBlur(rng.uniform(*camera.blur))
    values = np.asarray(image.reduce(OVERSAMPLING).filter(blur), np.float32)
    noise = rng.standard_normal(values.shape, np.float32)
    values = values + 255 * rng.uniform(*camera.noise) * noise
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")


def _light_and_gain(
    shape: tuple[int, ...], camera: Camera, rng: np.random.Generator
) -> tuple[Plane, Float[np.ndarray, "c 1 1"]]:
    """The light's unevenness over a picture of this shape, and each channel's gain."""
    channels, height, width = shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    gain = np.full(channels, camera.exposure * math.exp(EXPOSURE_SPREAD * rng.normal()))
    if camera.infrared:
        light = _spotlight(x, y, rng)
    else:
        gain *= np.array(camera.white_balance) * np.exp(WHITE_BALANCE_SPREAD * rng.normal(size=3))
        light = 1 + rng.uniform(-0.12, 0.12) * x + rng.uniform(-0.12, 0.12) * y
    return light, gain.astype(np.float32)[:, None, None]


def _spotlight(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """An infrared camera's own lamp; x and y are -1 to 1 across and down the picture."""
    spot = 0.5 * (x - rng.uniform(-0.4, 0.4)) ** 2 + (y - rng.uniform(-0.5, 0.2)) ** 2
    return 1.15 - INFRARED_FALL_OFF * np.minimum(0.5 * spot, 1.4)


def jpeg(photograph: Image.Image, camera: Camera, rng: np.random.Generator) -> bytes:
    """The photograph's file as JPEG, of a random quality."""
    content = io.BytesIO()
    photograph.save(content, "jpeg", quality=int(rng.integers(*camera.quality)))
    return content.getvalue()

"""The pose of a person who stands or walks in one image, and the positions of the joints.

Body axes: X to the person's left, Y up from the ground, Z forward; lengths in body heights.
"""

import math
from typing import NamedTuple

import numpy as np

from jreid.synthetic.pedestrians import Person

YAW_SPREAD = 0.3  # radians around front, side and back
STANDING = 0.2  # share of images in which the person stands
PHONE = 0.08  # share of images with a hand at the ear

THIGH, SHIN = 0.47, 0.455  # shares of the hip's height
UPPER_ARM, FOREARM = 0.17, 0.14
SHOULDER = 0.785  # height

Point = tuple[float, float, float]


class Pose(NamedTuple):
    """What differs by image; radians, except `stride` (a factor), `phone` (a hand at the ear)."""

    yaw: float  # 0 faces the camera, pi/2 the image's right, pi away
    pitch: float  # how far the camera looks down
    phase: float  # of the walk
    stride: float
    phone: bool
    head: float  # how far the head turns


def sample_pose(pitch: float, rng: np.random.Generator) -> Pose:
    """Draws a pose in front of a camera that looks down by `pitch` radians."""
    yaw = rng.choice([0.0, 0.5 * np.pi, np.pi, 1.5 * np.pi], p=[0.36, 0.14, 0.36, 0.14])
    return Pose(
        yaw=float(yaw + YAW_SPREAD * rng.standard_normal()),
        pitch=float(pitch + rng.uniform(-0.05, 0.05)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.uniform(0.05, 0.2) if rng.random() < STANDING else rng.uniform(0.7, 1.1)),
        phone=bool(rng.random() < PHONE),
        head=float(rng.normal(0, 0.25)),
    )


class Leg(NamedTuple):
    """A leg's joints."""

    hip: Point
    knee: Point
    ankle: Point


class Arm(NamedTuple):
    """An arm's joints, and where the hand ends."""

    shoulder: Point
    elbow: Point
    wrist: Point
    hand: Point


def between(a: Point, b: Point, share: float) -> Point:
    """The point at a share of the way from `a` to `b`."""
    x, y, z = (p + (q - p) * share for p, q in zip(a, b, strict=True))
    return x, y, z


def lean_at(person: Person, height: float) -> float:
    """How far the body at this height is in front of the hips."""
    return person.lean * (height - 0.5)


def _swing_phase(pose: Pose, side: int) -> float:
    return pose.phase + (0 if side > 0 else math.pi)


def leg_joints(person: Person, pose: Pose, side: int) -> Leg:
    """The left (`side` 1) or right (-1) leg in mid-stride: the knee bends as the foot trails."""
    length = 0.5 * person.leg
    stride = person.stride * pose.stride * (0.6 if person.lower == "skirt" else 1.0)
    phase = _swing_phase(pose, side)
    thigh = stride * math.sin(phase) + 0.05  # radians from the vertical, forwards
    shin = thigh - 0.06 - 1.3 * stride * max(math.cos(phase), 0.0)
    hip = (side * 0.046 * person.hips, length, 0.0)
    knee = (
        hip[0] * 0.95,
        length * (1 - THIGH * math.cos(thigh)),
        length * THIGH * math.sin(thigh),
    )
    ankle = (
        hip[0] * 0.85,
        knee[1] - length * SHIN * math.cos(shin),
        knee[2] + length * SHIN * math.sin(shin),
    )
    return Leg(hip, knee, ankle)


def arm_joints(person: Person, pose: Pose, side: int) -> Arm:
    """The left (`side` 1) or right (-1) arm, which swings against the leg below it."""
    phones = pose.phone and side > 0
    swing = -person.swing * pose.stride * math.sin(_swing_phase(pose, side))
    bend = 0.25 + 0.5 * max(swing, 0.0)
    if phones:
        swing, bend = 0.5, 2.2
    outwards = 0.10 + 0.1 * (person.build - 0.86)
    wide = 0.087 * person.shoulders * (0.6 + 0.4 * person.build) + person.ease * 0.5
    shoulder = (side * wide, SHOULDER, lean_at(person, SHOULDER))
    elbow = (
        shoulder[0] + side * UPPER_ARM * math.sin(outwards),
        SHOULDER - UPPER_ARM * math.cos(swing),
        shoulder[2] + UPPER_ARM * math.sin(swing),
    )
    wrist = (
        elbow[0] - side * (0.01 + 0.05 * phones),
        elbow[1] - FOREARM * math.cos(swing + bend),
        elbow[2] + FOREARM * math.sin(swing + bend),
    )
    return Arm(shoulder, elbow, wrist, between(elbow, wrist, 1.3))

"""Legs with trousers, shoes and boots, and arms with sleeves. Lengths in body heights.

Each part is a tube of skin with wider tubes of cloth over it.
"""

import math
from functools import partial

from jreid.synthetic.figure import Figure, Part
from jreid.synthetic.skeleton import SHIN, THIGH, Arm, Leg, Point, arm_joints, between, leg_joints

# Legs are behind the trunk; trousers are in front of shoes, boots in front of trousers.
LEG_LAYER, SHOE_LAYER, BOOT_LAYER = -3.0, -3.01, -2.99


def leg_parts(figure: Figure, side: int) -> list[Part]:
    """The left (`side` 1) or right (-1) leg and its shoe."""
    person = figure.person
    leg = leg_joints(person, figure.pose, side)
    near = figure.project(leg.knee)[2]
    shoe_layer = BOOT_LAYER if person.boot else SHOE_LAYER
    return [
        Part(shoe_layer + near, partial(_paint_shoe, figure, leg, side)),
        Part(LEG_LAYER + near, partial(_paint_leg, figure, leg, side)),
    ]


def _paint_shoe(figure: Figure, leg: Leg, side: int) -> None:
    person, (_, knee, ankle) = figure.person, leg
    tiptoe = 0.3 * max(knee[2] - ankle[2], 0.0)  # the heel lifts as the foot trails
    toe = (ankle[0] + side * 0.02, ankle[1] - 0.02 - tiptoe, ankle[2] + 0.095)
    heel = (ankle[0], ankle[1] - 0.018, ankle[2] - 0.01)
    sole = [(x, y - 0.012, z) for x, y, z in (heel, toe)]
    figure.limb(sole, (0.022, 0.018), person.sole, 0.0)
    figure.limb((heel, toe), (0.024, 0.019), person.shoes, 0.05)
    if person.boot:
        top = between(ankle, knee, 0.6)
        figure.limb((heel, ankle, top), (0.025, 0.028, 0.038), person.shoes, 0.05, flat=True)


def _paint_leg(figure: Figure, leg: Leg, side: int) -> None:
    person = figure.person
    if person.lower_hem > 0.05:
        plump = math.sqrt(person.build)
        radii = (0.057 * plump, 0.036 * plump, 0.036 * plump, 0.022)
        calf = between(leg.knee, leg.ankle, 0.35)
        figure.limb((leg.hip, leg.knee, calf, leg.ankle), radii, person.skin, 0.04)
    if person.lower != "skirt":
        _paint_trouser_leg(figure, leg, side)


def _paint_trouser_leg(figure: Figure, leg: Leg, side: int) -> None:
    cloth = figure.person.lower_cloth
    points, radii = _trouser_tube(figure, leg)
    figure.limb(points, radii, cloth, flat=True)
    if cloth.pattern == "cuffs":
        wide = radii[-1] * 1.06
        band = (between(points[-2], points[-1], 0.72), points[-1])
        figure.limb(band, (wide, wide), cloth.accent, flat=True, halo=0.0)
    outside_seen = side * figure.sin < 0.3
    if cloth.pattern == "side" and outside_seen:
        seam = [(x + side * 0.85 * r, y, z) for (x, y, z), r in zip(points, radii, strict=True)]
        figure.limb(seam, [0.011] * len(seam), cloth.accent, flat=True, halo=0.0)


def _trouser_tube(figure: Figure, leg: Leg) -> tuple[list[Point], list[float]]:
    """Points and radii from the hip down to the hem, above or below the knee."""
    person, (hip, knee, ankle) = figure.person, leg
    plump, loose = math.sqrt(person.build), 0.4 + 0.6 * person.width
    drop = 1 - person.lower_hem / hip[1]
    if drop < THIGH:
        return [hip, between(hip, knee, drop / THIGH)], [0.062 * plump, 0.05 * plump]
    end = between(knee, ankle, min((drop - THIGH) / SHIN, 1.0))
    radii = [0.061 * plump, 0.043 * plump * loose, 0.031 * plump * person.width]
    return [hip, knee, end], radii


def arm_parts(figure: Figure, side: int) -> list[Part]:
    """The left (`side` 1) or right (-1) arm."""
    arm = arm_joints(figure.person, figure.pose, side)
    near = (figure.project(arm.elbow)[2] + figure.project(arm.hand)[2]) / 2
    return [Part(near, partial(_paint_arm, figure, arm))]


def _paint_arm(figure: Figure, arm: Arm) -> None:
    person, (shoulder, elbow, wrist, hand) = figure.person, arm
    plump, ease = math.sqrt(person.build), person.ease * 0.5
    bare = [radius * plump for radius in (0.031, 0.024, 0.018)]
    figure.limb((wrist, hand), (0.016, 0.017), person.skin, 0.0)
    figure.limb((shoulder, elbow, wrist), bare, person.skin, 0.03)
    wear = [radius * plump + ease for radius in (0.033, 0.030, 0.024)]
    if person.sleeve > 1:
        points = (shoulder, elbow, between(elbow, wrist, person.sleeve - 1))
        figure.limb(points, wear, person.upper_cloth, offset=0.03, flat=True)
    elif person.sleeve > 0:
        points = (shoulder, between(shoulder, elbow, person.sleeve))
        radii = (wear[0], wear[0] * 0.95)
        figure.limb(points, radii, person.upper_cloth, offset=0.03, flat=True)

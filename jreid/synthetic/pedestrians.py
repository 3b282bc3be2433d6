"""A person: proportions, garments, hair and bag; `sample_person` draws an identity."""

from dataclasses import dataclass

import numpy as np

from jreid.synthetic.materials import (
    DENIM,
    DYES,
    HAIR,
    LEATHER,
    SKIN,
    SOLES,
    Cloth,
    Material,
    choose,
    cloth,
    dye,
    luminance,
    pick_color,
)

SLEEVES = {  # shortest and longest: 0 none, 1 to the elbow, 2 to the wrist
    "shirt": (0.45, 0.9),
    "blouse": (1.3, 2.0),
    "hoodie": (2.0, 2.0),
    "jacket": (2.0, 2.0),
    "coat": (2.0, 2.0),
    "vest": (0.0, 0.0),
}


@dataclass(frozen=True)
class Person:
    """An identity: all that stays the same from image to image. Lengths in body heights."""

    build: float
    shoulders: float
    hips: float
    leg: float
    stride: float
    swing: float
    lean: float
    skin: Material
    hair: str
    hair_material: Material
    beard: bool
    upper: str
    upper_cloth: Cloth
    inner: Cloth
    sleeve: float  # 0 none, 1 to the elbow, 2 to the wrist
    hem: float  # height of the upper garment's lower edge
    ease: float  # looseness of the upper garment
    lower: str
    lower_cloth: Cloth
    lower_hem: float  # height of the lower garment's lower edge
    width: float  # looseness of the trousers
    shoes: Material
    sole: Material
    boot: bool
    bag: str
    bag_material: Material
    scarf: Material | None


def _hems(rng: np.random.Generator, upper: str, lower: str) -> tuple[float, float]:
    """Heights of the upper and the lower garment's lower edges."""
    coat, jacket = rng.uniform(0.22, 0.42), rng.uniform(0.47, 0.54)
    hem = {"coat": coat, "jacket": jacket}.get(upper, rng.uniform(0.45, 0.585))
    if lower == "skirt":
        return hem, rng.uniform(0.12, 0.42)
    if lower == "shorts":
        return hem, rng.uniform(0.27, 0.4)
    return hem, float(rng.choice([0.03, 0.03, 0.1]))


def _cloths(rng: np.random.Generator, lower: str) -> tuple[Cloth, Cloth]:
    """The cloths of the upper and the lower garment; one cloth if they are a dress."""
    upper_cloth = cloth(
        rng, dye(rng), plain=3, stripes=1.6, bars=0.7, checks=1.4, blocks=1.5, band=1, print=1.6,
        blotches=0.7,
    )  # fmt: skip
    lower_cloth = cloth(
        rng, dye(rng, DENIM), plain=5, side=1.2, checks=0.5, cuffs=0.5,
        stripes=0.8 if lower == "skirt" else 0.0,
    )  # fmt: skip
    dress = lower == "skirt" and rng.random() < 0.35
    return upper_cloth, upper_cloth if dress else lower_cloth


def sample_person(rng: np.random.Generator) -> Person:
    """Draws an identity."""
    slender = rng.random()  # 0 broad-shouldered, 1 narrow-shouldered with wider hips
    upper = choose(rng, shirt=3, blouse=2, hoodie=1.6, jacket=2.2, coat=1.8, vest=1)
    lower = choose(rng, trousers=5, shorts=1.4, skirt=0.4 + 2.2 * slender)
    hem, lower_hem = _hems(rng, upper, lower)
    skin_tone, hair_tone = pick_color(rng, SKIN), pick_color(rng, HAIR)
    hair = choose(
        rng, bald=0.6, short=3 - 2 * slender, curly=1, bob=0.3 + 1.4 * slender, cap=1.1, beanie=0.9,
        long=0.3 + 2 * slender, tail=0.2 + 1.3 * slender,
    )  # fmt: skip
    hat = hair in ("cap", "beanie")
    upper_cloth, lower_cloth = _cloths(rng, lower)
    boot = bool(rng.random() < 0.25)
    return Person(
        build=float(rng.uniform(0.86, 1.25)),
        shoulders=float(1.06 - 0.16 * slender + rng.normal(0, 0.02)),
        hips=float(0.94 + 0.14 * slender + rng.normal(0, 0.02)),
        leg=float(rng.uniform(0.95, 1.05)),
        stride=float(rng.uniform(0.3, 0.55)),
        swing=float(rng.uniform(0.15, 0.6)),
        lean=float(rng.normal(0.03, 0.04)),
        skin=Material(skin_tone, float(0.58 + 0.2 * luminance(skin_tone) + rng.normal(0, 0.03))),
        hair=hair,
        hair_material=dye(rng) if hat else Material(hair_tone, float(rng.uniform(0.12, 0.5))),
        beard=bool(slender < 0.5 and rng.random() < 0.3),
        upper=upper,
        upper_cloth=upper_cloth,
        inner=cloth(rng, dye(rng), plain=3, stripes=1, print=1),
        sleeve=float(rng.uniform(*SLEEVES[upper])),
        hem=float(hem),
        ease=float(rng.uniform(0.0, 0.016) + 0.012 * (upper in ("hoodie", "jacket", "vest"))),
        lower=lower,
        lower_cloth=lower_cloth,
        lower_hem=float(lower_hem),
        width=float(rng.choice([0.9, 1.05, 1.25, 1.55]) + rng.normal(0, 0.04)),
        shoes=dye(rng, LEATHER if boot else DYES),
        sole=dye(rng, SOLES),
        boot=boot,
        bag=choose(rng, none=2.4, backpack=2, shoulder=1.6, hand=1),
        bag_material=dye(rng),
        scarf=dye(rng) if rng.random() < 0.14 else None,
    )

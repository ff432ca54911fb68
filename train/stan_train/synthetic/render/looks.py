"""What a person wears and looks like: skin, hair and clothes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stan_train.synthetic.motion.body import Physique
from stan_train.synthetic.render.parts import Material

Colour = tuple[float, float, float]
_SKINS: tuple[Colour, ...] = (  # linear RGB
    (0.78, 0.53, 0.42),
    (0.70, 0.45, 0.33),
    (0.58, 0.36, 0.24),
    (0.42, 0.24, 0.14),
    (0.25, 0.13, 0.075),
    (0.13, 0.065, 0.04),
)
_HAIRS: tuple[Colour, ...] = (
    (0.012, 0.010, 0.009),
    (0.05, 0.026, 0.014),
    (0.13, 0.065, 0.03),
    (0.42, 0.28, 0.12),
    (0.35, 0.33, 0.31),
    (0.65, 0.63, 0.60),
    (0.22, 0.06, 0.02),
)
_PATTERNS = ("plain", "plain", "plain", "hoops", "stripes", "checks", "melange")


@dataclass(frozen=True)
class Looks:
    """Materials and cuts. hair: bald, short, bob, long or bun. Sleeve and leg: share of the limb that is covered."""

    skin: Material
    lips: Material
    hair_material: Material
    hair: str
    beard: bool
    glasses: bool
    eyes: Material
    whites: Material
    top: Material
    sleeve: float
    bottom: Material
    leg: float
    skirt: bool
    shoes: Material
    sole: Material


def _tint(rng: np.random.Generator) -> Colour:
    """A cloth colour: greys, darks and a few vivid ones."""
    value = rng.uniform(0.02, 0.75) ** 1.4
    saturation = rng.uniform(0.0, 0.25) if rng.random() < 0.5 else rng.uniform(0.3, 0.85)
    hue = rng.uniform(0.0, 2.0 * np.pi)
    wave = 0.5 + 0.5 * np.cos(hue - np.array([0.0, 2.094, 4.189]))
    r, g, b = value * (1.0 - saturation + saturation * wave * 1.4)
    return float(r), float(g), float(b)


def random_looks(rng: np.random.Generator, body: Physique) -> Looks:
    skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.88, 1.1) * (1.0 + rng.normal(0.0, 0.03, 3))
    skin_colour = (float(skin[0]), float(skin[1]), float(skin[2]))
    lips = (float(skin[0] * 0.75), float(skin[1] * 0.42), float(skin[2] * 0.45))
    womanly = body.bust > 0.1
    hair = str(rng.choice(["bob", "long", "bun", "short"] if womanly else ["short", "short", "short", "bald", "bob"]))
    skirt = womanly and rng.random() < 0.25
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))]
    top = Material(_tint(rng), _tint(rng), pattern, float(rng.uniform(0.03, 0.11)), folds=0.11)
    bottom_pattern = "checks" if rng.random() < 0.08 else "plain"
    bottom = Material(_tint(rng), _tint(rng), bottom_pattern, 0.06, folds=0.10)
    shoe = _tint(rng)
    return Looks(
        skin=Material(skin_colour, shine=0.06),
        lips=Material(lips),
        hair_material=Material(_HAIRS[rng.integers(len(_HAIRS))], folds=0.16, shine=0.05),
        hair=hair,
        beard=not womanly and rng.random() < 0.3,
        glasses=bool(rng.random() < 0.25),
        eyes=Material((0.02, 0.015, 0.012)),
        whites=Material((0.75, 0.73, 0.70)),
        top=top,
        sleeve=float(rng.choice([0.25, 0.32, 0.5, 0.97, 1.0, 1.0])),
        bottom=bottom,
        leg=float(rng.choice([0.42, 0.55])) if skirt or rng.random() < 0.22 else 0.97,
        skirt=skirt,
        shoes=Material(shoe, shine=0.12),
        sole=Material((0.6, 0.6, 0.6) if rng.random() < 0.5 else shoe),
    )

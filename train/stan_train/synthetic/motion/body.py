"""A body's proportions, and the parameters of a pose.

World axes: x and y along the floor, z up, metres. Body axes: x to the front, y to the left, z to the head. Pairs are
always (left, right). Segment lengths are the fractions of stature of Drillis and Contini (1966), slightly rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
SIDES = (1.0, -1.0)  # left is +y

STATURE_OF_TARGETS_M = 1.75  # hand targets are written for a body this tall and scale with stature


@dataclass(frozen=True)
class Physique:
    """Lengths in metres; `girth` scales every thickness, `shoulders` and `hips` the widths of the trunk."""

    stature_m: float
    girth: float
    shoulders: float
    hips: float
    bust: float

    @property
    def scale(self) -> float:
        return self.stature_m / STATURE_OF_TARGETS_M

    @property
    def hip_height_m(self) -> float:
        """Height of the hip joints when standing with soft knees."""
        return 0.523 * self.stature_m

    @property
    def ankle_height_m(self) -> float:
        return 0.042 * self.stature_m


def random_physique(rng: np.random.Generator) -> Physique:
    """An adult: stature 1.52 to 1.92 m, slim to heavy, wider shoulders or wider hips."""
    femininity = rng.uniform(0.0, 1.0)
    return Physique(
        stature_m=float(np.clip(rng.normal(1.78 - 0.13 * femininity, 0.06), 1.52, 1.92)),
        girth=float(np.clip(rng.normal(1.0, 0.11), 0.82, 1.32)),
        shoulders=float(1.06 - 0.14 * femininity + rng.normal(0.0, 0.02)),
        hips=float(0.95 + 0.13 * femininity + rng.normal(0.0, 0.02)),
        bust=float(max(0.0, femininity - 0.45) * 1.6),
    )


@dataclass(frozen=True)
class Pose:
    """What a moment of motion fixes. Every field blends linearly, so any two poses have poses between them.

    tilt_rad [2]: lean of the pelvis (and all above) to the front and to the left. spine_rad [3], head_rad [3]: bend to
    the front, to the left, and turn to the left. hands_m [2, 3]: palms in chest axes from the middle of the
    shoulders; hands_head_m [2, 3]: palms in head axes from the head's centre; on_head [2] mixes the two. feet_m [2, 3]:
    ankles in the world; feet_body_m [2, 3]: ankles in pelvis axes; planted [2] mixes the two. grounded: 1 pulls the
    trunk down until it rests on the floor.
    """

    pelvis_m: Array
    yaw_rad: Array
    tilt_rad: Array
    spin_rad: Array
    spine_rad: Array
    head_rad: Array
    hike_m: Array
    hands_m: Array
    hands_head_m: Array
    on_head: Array
    elbow_pole: Array
    feet_m: Array
    feet_body_m: Array
    planted: Array
    knees_out: Array
    grounded: Array

    def but(self, **changes: npt.ArrayLike) -> Pose:
        """The same pose with some fields replaced."""
        return replace(self, **{name: np.asarray(value, dtype=np.float64) for name, value in changes.items()})


_POSE_FIELDS = tuple(f.name for f in fields(Pose))


def blend(a: Pose, b: Pose, weight: float) -> Pose:
    """`a` at weight 0, `b` at weight 1, linear between; weights outside [0, 1] extrapolate."""
    return Pose(**{n: getattr(a, n) + weight * (getattr(b, n) - getattr(a, n)) for n in _POSE_FIELDS})

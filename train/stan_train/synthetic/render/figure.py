"""A person as parts: face, trunk, limbs and clothes, put on a skeleton as round cones and ellipsoids."""

from __future__ import annotations

import numpy as np

from stan_train.synthetic.motion.body import SIDES, Array, Physique
from stan_train.synthetic.motion.skeleton import Skeleton, cross, unit
from stan_train.synthetic.render.looks import Looks
from stan_train.synthetic.render.parts import Material, Parts


def _covered_limb(
    parts: Parts,
    joints: tuple[Array, Array, Array],
    radii: tuple[float, float, float],
    covered: float,
    cloth: Material,
    skin: Material,
    front: Array,
) -> None:
    """Two segments of a limb; the first `covered` share of their length wears cloth."""
    root, middle, end = joints
    r_root, r_middle, r_end = radii
    wide = 1.13  # cloth hangs off the limb
    upper, lower = min(1.0, covered * 2.0), max(0.0, covered * 2.0 - 1.0)
    hem = root + upper * (middle - root)
    r_hem = r_root + upper * (r_middle - r_root)
    parts.cone(root, hem, r_root * wide, r_hem * wide, cloth, front)
    if upper < 1.0:
        parts.cone(hem, middle, r_hem, r_middle, skin, front)
    r_calf = 0.5 * (r_middle + r_end) * 1.13
    calf = middle + 0.33 * (end - middle)
    if lower <= 0.0:
        parts.cone(middle, calf, r_middle, r_calf, skin, front)
        parts.cone(calf, end, r_calf, r_end, skin, front)
        return
    hem = middle + lower * (end - middle)
    r_hem = r_middle + lower * (r_end - r_middle)
    parts.cone(middle, hem, r_middle * wide, r_hem * wide * 1.12, cloth, front)
    if lower < 0.95:
        parts.cone(hem, end, r_hem, r_end, skin, front)


def _head(parts: Parts, s: Skeleton, looks: Looks, h: float) -> None:
    axes, centre = s.head_axes, s.head
    k = h / 1.75

    def at(x: float, y: float, z: float) -> Array:
        return np.asarray(centre + axes @ (np.array([x, y, z]) * k))

    front = axes[:, 0]
    skin = looks.skin
    parts.ellipsoid(at(-0.005, 0, 0.025), axes, (0.096 * k, 0.077 * k, 0.098 * k), skin)  # skull
    parts.ellipsoid(at(0.022, 0, -0.035), axes, (0.066 * k, 0.062 * k, 0.082 * k), skin)  # face
    parts.ellipsoid(at(0.048, 0, -0.086), axes, (0.030 * k, 0.034 * k, 0.026 * k), skin)  # chin
    parts.cone(at(0.088, 0, 0.008), at(0.106, 0, -0.028), 0.009 * k, 0.0145 * k, skin, front)  # nose
    for side in SIDES:
        parts.ellipsoid(at(-0.008, side * 0.077, -0.012), axes, (0.020 * k, 0.009 * k, 0.031 * k), skin)  # ear
        parts.ellipsoid(at(0.073, side * 0.032, 0.010), axes, (0.013 * k, 0.0155 * k, 0.0085 * k), looks.whites)
        parts.ellipsoid(at(0.080, side * 0.031, 0.010), axes, (0.0085 * k, 0.0075 * k, 0.0078 * k), looks.eyes)
        brow = looks.hair_material if looks.hair != "bald" else looks.eyes
        parts.cone(at(0.086, side * 0.016, 0.030), at(0.071, side * 0.049, 0.031), 0.006 * k, 0.004 * k, brow, front)
        if looks.glasses:
            ring = [
                at(0.094 - abs(y) * 0.15, side * (0.034 + y), 0.008 + z)
                for y, z in ((-0.022, 0.016), (0.024, 0.016), (0.024, -0.018), (-0.022, -0.018))
            ]
            for i in range(4):
                parts.cone(ring[i], ring[(i + 1) % 4], 0.0028 * k, 0.0028 * k, looks.eyes, front)
            parts.cone(ring[1], at(-0.01, side * 0.080, 0.010), 0.0028 * k, 0.0028 * k, looks.eyes, front)
    parts.ellipsoid(at(0.079, 0, -0.058), axes, (0.012 * k, 0.025 * k, 0.0085 * k), looks.lips)
    if looks.beard:
        parts.ellipsoid(at(0.035, 0, -0.083), axes, (0.052 * k, 0.058 * k, 0.042 * k), looks.hair_material)
        parts.cone(
            at(0.086, 0.022, -0.047), at(0.086, -0.022, -0.047), 0.007 * k, 0.007 * k, looks.hair_material, front
        )
    if looks.hair == "bald":
        return
    hair = looks.hair_material
    parts.ellipsoid(at(-0.019, 0, 0.043), axes, (0.101 * k, 0.085 * k, 0.096 * k), hair)
    parts.ellipsoid(at(-0.045, 0, -0.008), axes, (0.066 * k, 0.077 * k, 0.075 * k), hair)
    if looks.hair in ("bob", "long"):
        length = 0.10 if looks.hair == "bob" else 0.20
        parts.ellipsoid(at(-0.052, 0, -0.045), axes, (0.058 * k, 0.088 * k, 0.10 * k), hair)
        for side in SIDES:
            tip = at(-0.035, side * 0.073, -0.02 - length)
            parts.cone(at(0.0, side * 0.073, 0.02), tip, 0.026 * k, 0.020 * k, hair, front)
        if looks.hair == "long":
            parts.cone(at(-0.055, 0, -0.03), at(-0.10, 0, -0.24), 0.068 * k, 0.05 * k, hair, front)
    if looks.hair == "bun":
        parts.ellipsoid(at(-0.105, 0, 0.055), axes, (0.040 * k, 0.042 * k, 0.040 * k), hair)


def _trunk(parts: Parts, s: Skeleton, body: Physique, looks: Looks) -> None:
    h, g = body.stature_m, body.girth
    top, chest, front = looks.top, s.chest_axes, s.chest_axes[:, 0]

    def on(origin: Array, axes: Array, x: float, y: float, z: float) -> Array:
        return np.asarray(origin + axes @ (np.array([x, y, z]) * h))

    hip_width, chest_width = 0.100 * body.hips * (0.6 + 0.4 * g), 0.093 * body.shoulders * (0.6 + 0.4 * g)
    waist_width = (0.072 + 0.010 * (body.shoulders - 0.9)) * (0.35 + 0.65 * g)
    parts.ellipsoid(on(s.pelvis, s.pelvis_axes, -0.004, 0, 0.018), s.pelvis_axes,
                    (0.066 * g * h, hip_width * h, 0.062 * h), looks.bottom)  # fmt: skip
    for side in SIDES:
        parts.ellipsoid(on(s.pelvis, s.pelvis_axes, -0.022, side * 0.042, -0.018), s.pelvis_axes,
                        (0.050 * g * h, 0.048 * h * body.hips, 0.055 * h), looks.bottom)  # fmt: skip
    parts.ellipsoid(on(s.waist, s.waist_axes, 0.004, 0, -0.010), s.waist_axes,
                    (0.067 * g * h, (0.5 * hip_width + 0.5 * waist_width) * 1.04 * h, 0.080 * h), top)  # fmt: skip
    parts.ellipsoid(on(s.waist, s.waist_axes, 0.006 * g, 0, 0.040), s.waist_axes,
                    (0.066 * g * h, waist_width * 1.08 * h, 0.105 * h), top)  # fmt: skip
    parts.ellipsoid(on(s.chest, chest, 0.004, 0, 0.045), chest, (0.068 * g * h, chest_width * h, 0.108 * h), top)
    parts.ellipsoid(
        on(s.chest, chest, -0.003, 0, 0.092), chest, (0.056 * g * h, chest_width * 1.02 * h, 0.048 * h), top
    )
    for i, side in enumerate(SIDES):
        root = on(s.neck, chest, -0.006, side * 0.012, 0.004)
        parts.cone(root, s.shoulders[i] + chest @ np.array([0, 0, 0.004 * h]), 0.030 * h, 0.0295 * h * g, top, front)
    if body.bust > 0.0:
        bust = (0.042 * g * h + 0.010 * body.bust * h, 0.078 * h * body.shoulders, 0.036 * h)
        parts.ellipsoid(on(s.chest, chest, 0.032 * g, 0, 0.052), chest, bust, top)
    parts.ellipsoid(on(s.neck, chest, -0.010, 0, -0.006), chest, (0.036 * h * g, 0.048 * h, 0.022 * h), top)  # collar
    base = on(s.neck, chest, 0.0, 0.0, -0.012)
    parts.cone(
        base,
        s.head - s.head_axes @ np.array([0.018 * h, 0, 0.02 * h]),
        0.034 * h * g**0.5,
        0.031 * h,
        looks.skin,
        front,
    )


def _along_what_it_touches(s: Skeleton, along: Array, palm: Array, h: float) -> Array:
    """The way the fingers point: on with the forearm, but flat on the chest or the head where the hand is there."""
    from_head = palm - s.head
    in_chest = s.chest_axes.T @ (palm - s.neck)
    if float(from_head @ from_head) < (0.10 * h) ** 2:
        away = unit(from_head)
    elif 0.0 < in_chest[0] < 0.13 * h and abs(in_chest[1]) < 0.10 * h and -0.2 * h < in_chest[2] < 0.0:
        away = s.chest_axes[:, 0]
    else:
        return along
    return unit(along - 1.1 * away * float(along @ away))


def _hand(parts: Parts, s: Skeleton, i: int, looks: Looks, h: float) -> None:
    along = _along_what_it_touches(s, unit(s.palms[i] - s.wrists[i]), s.palms[i], h)
    inwards = -SIDES[i] * s.chest_axes[:, 1]
    normal = inwards - along * float(inwards @ along)
    normal = unit(normal)
    thumb_way = cross(along, normal) * -SIDES[i]
    if float(thumb_way @ s.chest_axes[:, 0]) < 0.0:
        thumb_way = -thumb_way
    axes = np.stack([normal, cross(along, normal), along], axis=1)
    parts.ellipsoid(s.palms[i], axes, (0.011 * h, 0.024 * h, 0.030 * h), looks.skin)
    tip = s.palms[i] + along * (0.050 * h) + normal * (0.008 * h)
    for spread in (-0.012, 0.0, 0.012):
        offset = axes[:, 1] * (spread * h)
        parts.cone(
            s.palms[i] + along * 0.018 * h + offset, tip + 1.25 * offset, 0.0062 * h, 0.005 * h, looks.skin, normal
        )
    root = s.palms[i] - along * (0.010 * h) + thumb_way * (0.017 * h)
    parts.cone(root, root + along * (0.026 * h) + thumb_way * (0.016 * h), 0.0075 * h, 0.0058 * h, looks.skin, normal)


def dress(s: Skeleton, body: Physique, looks: Looks) -> Parts:
    """All parts of a person in the pose of the skeleton, in the world."""
    h, g = body.stature_m, body.girth**0.7
    parts = Parts()
    _trunk(parts, s, body, looks)
    _head(parts, s, looks, h)
    front = s.chest_axes[:, 0]
    for i in range(2):
        radii = (0.030 * h * g, 0.0225 * h * g, 0.0165 * h * g)
        joints = (s.shoulders[i], s.elbows[i], s.wrists[i])
        _covered_limb(parts, joints, radii, looks.sleeve, looks.top, looks.skin, front)
        _hand(parts, s, i, looks, h)
        front_leg = s.pelvis_axes[:, 0]
        radii = (0.053 * h * g, 0.036 * h * g, 0.023 * h * g)
        joints = (s.hips[i], s.knees[i], s.ankles[i])
        _covered_limb(parts, joints, radii, looks.leg, looks.bottom, looks.skin, front_leg)
        heel = s.ankles[i] + 0.3 * (s.ankles[i] - s.toes[i])
        sole = np.array([0.0, 0.0, min(0.018 * h, max(0.0, float(heel[2]) - 0.028))])
        parts.cone(heel - sole, s.toes[i], 0.024 * h, 0.019 * h, looks.shoes, front_leg)
        parts.cone(s.ankles[i], 0.45 * heel + 0.55 * s.toes[i], 0.025 * h, 0.022 * h, looks.shoes, front_leg)
    if looks.skirt:
        for i in range(2):
            hem = s.hips[i] + 0.92 * (s.knees[i] - s.hips[i])
            middle = 0.5 * (s.hips[0] + s.hips[1])
            hem_middle = 0.5 * (s.knees[0] + s.knees[1])
            parts.cone(s.hips[i], hem, 0.062 * h, 0.060 * h, looks.bottom, s.pelvis_axes[:, 0])
            parts.cone(
                middle, middle + 0.9 * (hem_middle - middle), 0.062 * h, 0.066 * h, looks.bottom, s.pelvis_axes[:, 0]
            )
    return parts

"""Key poses: standing, sitting, crouching, lying, and where hands rest, press, hold or reach."""

from __future__ import annotations

import numpy as np

from stan_train.synthetic.motion.body import SIDES, Array, Physique, Pose

_ZERO3 = np.zeros(3)
_HAND_AT_SIDE = np.array([[0.05, 0.235, -0.575], [0.05, -0.235, -0.575]])
_HAND_AT_TEMPLE = np.array([[0.05, 0.10, 0.03], [0.05, -0.10, 0.03]])
_ELBOW_POLE = np.array([[-0.8, 0.5, -0.3], [-0.8, -0.5, -0.3]])
_LEGS_STRAIGHT = np.array([[0.0, 0.12, -0.84], [0.0, -0.12, -0.84]])


def along(yaw_rad: float, forward_m: float, left_m: float = 0.0) -> Array:
    """A step on the floor, as seen by someone who faces `yaw_rad`. [2]"""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([c * forward_m - s * left_m, s * forward_m + c * left_m])


def feet_under(body: Physique, at: Array, yaw_rad: float, forward_m: float = 0.0, apart_m: float = 0.10) -> Array:
    """Ankles of both feet flat on the floor. [2, 3]"""
    feet = [np.append(at + along(yaw_rad, forward_m, s * apart_m), body.ankle_height_m) for s in SIDES]
    return np.stack(feet)


def stand(body: Physique, at: Array, yaw_rad: float, rng: np.random.Generator) -> Pose:
    """Upright at `at` [2], arms down; stance and arms vary a little."""
    hands = (
        _HAND_AT_SIDE
        + rng.normal(0.0, 0.02, (2, 3))
        + np.array([[0.0, 0.03, 0.0], [0.0, -0.03, 0.0]]) * (body.girth + body.shoulders - 1.9)
    )
    return Pose(
        pelvis_m=np.array([at[0], at[1], body.hip_height_m]),
        yaw_rad=np.array(yaw_rad),
        tilt_rad=np.zeros(2),
        spin_rad=np.array(0.0),
        spine_rad=np.array([rng.uniform(-0.02, 0.14), 0.0, 0.0]),
        head_rad=np.array([rng.uniform(-0.12, 0.2), 0.0, rng.uniform(-0.3, 0.3)]),
        hike_m=np.zeros(2),
        hands_m=hands,
        hands_head_m=_HAND_AT_TEMPLE.copy(),
        on_head=np.zeros(2),
        elbow_pole=_ELBOW_POLE.copy(),
        feet_m=feet_under(body, at, yaw_rad, apart_m=float(rng.uniform(0.07, 0.16))),
        feet_body_m=_LEGS_STRAIGHT.copy(),
        planted=np.ones(2),
        knees_out=np.full(2, rng.uniform(0.05, 0.25)),
        grounded=np.array(0.0),
    )


def sit(body: Physique, at: Array, yaw_rad: float, seat_m: float, rng: np.random.Generator) -> Pose:
    """Seated at `at` [2] on a seat `seat_m` high, hands on the thighs."""
    standing = stand(body, at, yaw_rad, rng)
    hands = np.array([[0.30, 0.14, -0.42], [0.30, -0.14, -0.42]]) + rng.normal(0.0, 0.025, (2, 3))
    return standing.but(
        pelvis_m=np.array([at[0], at[1], seat_m + 0.055 * body.stature_m * body.girth]),
        spine_rad=[rng.uniform(0.0, 0.25), 0.0, 0.0],
        tilt_rad=[rng.uniform(-0.15, 0.05), 0.0],
        hands_m=hands,
        feet_m=feet_under(body, at, yaw_rad, 0.25 * body.stature_m + float(rng.uniform(-0.06, 0.06)), 0.13),
        knees_out=np.full(2, rng.uniform(0.1, 0.35)),
    )


def rising(seated: Pose, body: Physique) -> Pose:
    """Half-way between sitting and standing: weight forward over the feet."""
    pelvis = seated.pelvis_m + np.array([*along(float(seated.yaw_rad), 0.16), 0.16 * body.scale])
    return seated.but(
        pelvis_m=pelvis,
        tilt_rad=[0.55, 0.0],
        spine_rad=[0.35, 0.0, 0.0],
        head_rad=[-0.2, 0.0, 0.0],
        hands_m=np.array([[0.34, 0.22, -0.36], [0.34, -0.22, -0.36]]),
    )


def bent_to_floor(standing: Pose, body: Physique, knees: float) -> Pose:
    """Bending down to touch the floor in front; knees 0 bends the back, 1 squats."""
    back = standing.pelvis_m - np.array([*along(float(standing.yaw_rad), 0.16 - 0.08 * knees), 0.0])
    back[2] = body.hip_height_m * (0.92 - 0.50 * knees)
    lean = 1.25 - 0.65 * knees
    reach = np.array([[0.30, 0.10, -0.46], [0.36, -0.08, -0.52]])
    return standing.but(
        pelvis_m=back,
        tilt_rad=[lean, 0.0],
        spine_rad=[0.75 - 0.2 * knees, 0.0, 0.0],
        head_rad=[-0.25, 0.0, 0.0],
        hands_m=reach,
        knees_out=np.full(2, 0.2 + 0.3 * knees),
    )


def crouch(standing: Pose, body: Physique) -> Pose:
    """Deep squat, forearms on the knees."""
    low = standing.pelvis_m - np.array([*along(float(standing.yaw_rad), 0.14), 0.0])
    low[2] = 0.165 * body.stature_m
    return standing.but(
        pelvis_m=low,
        tilt_rad=[0.45, 0.0],
        spine_rad=[0.5, 0.0, 0.0],
        head_rad=[-0.4, 0.0, 0.0],
        hands_m=np.array([[0.42, 0.12, -0.30], [0.42, -0.12, -0.30]]),
        knees_out=np.full(2, 0.45),
    )


def lie(standing: Pose, at: Array, way: str, rng: np.random.Generator) -> Pose:
    """On the floor with the pelvis over `at` [2]; way: back, front, left or right (the side of the body that is
    down)."""
    curl = float(rng.uniform(0.05, 0.6))
    legs = _LEGS_STRAIGHT + np.array([[0.0, 0.04, 0.0], [0.0, -0.04, 0.0]]) * rng.uniform(-1.0, 3.0)
    hands = np.array([[0.02, 0.42, -0.38], [0.02, -0.42, -0.38]])
    spin, poles = 0.0, np.array([[0.05, 1.0, -0.4], [0.05, -1.0, -0.4]])
    if way == "back":
        tilt = (-np.pi / 2 + 0.03, 0.0)
        bent = rng.uniform(0.0, 0.42, 2) * (rng.random(2) < 0.6)
        legs = legs + np.stack([np.full(2, -0.05), np.zeros(2), 0.9 * bent], axis=1)
        hands[:, 2] += rng.uniform(-0.12, 0.45, 2)
        hands[:, 0] = -0.09
        spine = np.array([rng.uniform(0.0, 0.12), rng.uniform(-0.15, 0.15), 0.0])
    elif way == "front":
        tilt = (np.pi / 2 - 0.03, 0.0)
        hands = np.array([[0.08, 0.30, 0.18], [0.08, -0.30, 0.18]]) + rng.normal(0.0, 0.08, (2, 3))
        legs[:, 0] = 0.0
        spine = np.array([-0.03, rng.uniform(-0.2, 0.2), 0.0])
    else:
        side = 1.0 if way == "left" else -1.0
        tilt = (0.0, side * (np.pi / 2 - 0.02))
        spin, poles = float(rng.uniform(-0.3, 0.3)), np.array([[0.1, 0.0, -1.0], [0.1, 0.0, -1.0]])
        legs = legs + np.array([[0.35, 0.0, 0.30], [0.35, 0.0, 0.30]]) * (curl + rng.uniform(-0.1, 0.25))
        legs[:, 1] = side * np.array([0.10, 0.02] if side > 0 else [0.02, 0.10])
        hands = np.array([[0.36, 0.05, -0.10], [0.36, -0.05, -0.10]]) + rng.normal(0.0, 0.06, (2, 3))
        spine = np.array([0.5 * curl, -side * 0.05, 0.0])
    head = np.array(
        [rng.uniform(-0.1, 0.25), rng.uniform(-0.2, 0.2), rng.uniform(-0.9, 0.9) if way == "front" else 0.0]
    )
    return standing.but(
        pelvis_m=[at[0], at[1], 0.12],
        tilt_rad=tilt,
        spin_rad=spin,
        spine_rad=spine,
        head_rad=head,
        hands_m=hands,
        on_head=np.zeros(2),
        elbow_pole=poles,
        feet_body_m=legs,
        planted=np.zeros(2),
        knees_out=np.full(2, 0.2),
        grounded=1.0,
    )


def with_hand(pose: Pose, side: int, palm_m: tuple[float, float, float], pole: tuple[float, float, float]) -> Pose:
    """One palm at a place in chest axes, written for the left hand; the right one is mirrored."""
    hands, poles, on_head = pose.hands_m.copy(), pose.elbow_pole.copy(), pose.on_head.copy()
    mirror = np.array([1.0, SIDES[side], 1.0])
    hands[side], poles[side], on_head[side] = np.array(palm_m) * mirror, np.array(pole) * mirror, 0.0
    return pose.but(hands_m=hands, elbow_pole=poles, on_head=on_head)


def with_hand_on_head(
    pose: Pose, side: int, palm_m: tuple[float, float, float], pole: tuple[float, float, float]
) -> Pose:
    """One palm at a place in head axes, written for the left hand; the right one is mirrored."""
    hands, poles, on_head = pose.hands_head_m.copy(), pose.elbow_pole.copy(), pose.on_head.copy()
    mirror = np.array([1.0, SIDES[side], 1.0])
    hands[side], poles[side], on_head[side] = np.array(palm_m) * mirror, np.array(pole) * mirror, 1.0
    return pose.but(hands_head_m=hands, elbow_pole=poles, on_head=on_head)

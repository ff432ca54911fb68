"""Falling: from standing, walking or sitting, in all directions, to rest on the floor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stan_train.synthetic.motion.body import Array, Physique, Pose, blend
from stan_train.synthetic.motion.postures import along, lie, sit, stand
from stan_train.synthetic.motion.script import Plan, Prop, Script, alive, bump, seat

_WAYS: tuple[str, ...] = ("forwards", "backwards", "to the left", "to the right", "straight down")


def _toppling(steepness: float) -> Callable[[float], float]:
    """Share of the way over share of the time of an inverted pendulum that loses its balance: slow, then fast."""
    return lambda u: float((np.cosh(steepness * min(max(u, 0.0), 1.0)) - 1.0) / (np.cosh(steepness) - 1.0))


def _flail(pose: Pose, way: str, rng: np.random.Generator) -> Pose:
    """Arms thrown out: towards the floor that comes, or up and away from it."""
    if way == "forwards":
        hands = np.array([[0.50, 0.22, -0.02], [0.50, -0.22, -0.02]])
    elif way == "backwards":
        hands = np.array([[0.30, 0.45, 0.05], [0.30, -0.45, 0.05]])
    else:
        hands = np.array([[0.20, 0.55, 0.0], [0.20, -0.55, -0.05]])
    return pose.but(hands_m=hands + rng.normal(0.0, 0.10, (2, 3)))


def falling(rng: np.random.Generator, body: Physique, duration_s: float) -> Plan:
    start = ("standing", "standing", "walking", "walking", "a chair", "the edge of a bed")[rng.integers(6)]
    fall_s = float(rng.uniform(0.55, 1.15))
    settle_s = float(rng.uniform(0.25, 0.55))
    important_s = fall_s + settle_s
    room_s = max(0.05, duration_s - important_s - 0.25)
    lead_s = float(rng.uniform(min(0.7, 0.4 * room_s), room_s))
    yaw = float(rng.uniform(-np.pi, np.pi))
    here = np.zeros(2)
    props: tuple[Prop, ...] = ()
    momentum = np.zeros(2)
    ways = _WAYS
    if start == "walking":
        speed = float(rng.uniform(0.7, 1.3))
        walk_s = min(lead_s, 1.9)
        here_start = -along(yaw, speed * walk_s)
        script = Script(body, stand(body, here_start, yaw, rng), rng)
        script.hold(lead_s - walk_s)
        script.walk(here, walk_s, stop=False)
        momentum = along(yaw, speed * 0.28)
        ways = ("forwards", "forwards", *_WAYS)
    elif start == "standing":
        script = Script(body, stand(body, here, yaw, rng), rng)
        if rng.random() < 0.35 and lead_s > 1.5:  # sways before it falls
            side = float(rng.choice([-1.0, 1.0]))
            script.hold(lead_s - 1.1)
            script.to(script.pose.but(tilt_rad=[0.03, 0.07 * side], spine_rad=[0.15, 0.05 * side, 0.0]), 0.6)
            script.to(script.pose.but(tilt_rad=[0.0, -0.05 * side]), 0.5)
        else:
            script.hold(lead_s)
    else:
        seat_m = float(rng.uniform(0.40, 0.50))
        kind = "chair" if start == "a chair" else "bed"
        props = (seat(kind, here, yaw, seat_m),)
        script = Script(body, sit(body, here, yaw, seat_m, rng), rng)
        script.hold(lead_s)
        ways = (
            ("forwards", "to the left", "to the right") if kind == "chair" else ("forwards", "forwards", "to the left")
        )
    way = str(rng.choice(ways))
    _drop(script, way, start, fall_s, settle_s, momentum)
    script.hold(0.1)
    script.overlay(alive(rng))
    seated = start in ("a chair", "the edge of a bed")
    text = f"falling: {way}, from {'sitting on ' + start if seated else start}"
    return Plan(script.pose_at, ((lead_s, lead_s + important_s),), props, text)


def _drop(script: Script, way: str, start: str, fall_s: float, settle_s: float, momentum: Array) -> None:
    """Adds the fall itself: over the feet, through a flailing pose, to the floor, and a short settling."""
    rng, body, first = script.rng, script.body, script.pose
    yaw = float(first.yaw_rad)
    stiff = float(rng.uniform(0.35, 1.0))  # 1 falls like a plank, 0 folds at the knees
    seated = start in ("a chair", "the edge of a bed")
    if way == "straight down":
        stiff, lying, heading = 0.0, str(rng.choice(["left", "right", "back", "front"])), 0.0
        tips = {"left": (0.1, 0.5), "right": (0.1, -0.5), "back": (-0.35, 0.0), "front": (0.45, 0.0)}
        tilt = tips[lying]
        heading = {"left": np.pi / 2, "right": -np.pi / 2, "back": np.pi, "front": 0.0}[lying]
    else:
        heading = {"forwards": 0.0, "backwards": np.pi, "to the left": np.pi / 2, "to the right": -np.pi / 2}[way]
        heading += float(rng.uniform(-0.3, 0.3))
        choices = {
            "forwards": ("front", "front", "left", "right"),
            "backwards": ("back", "back", "back"),
            "to the left": ("left", "left", "back"),
            "to the right": ("right", "right", "back"),
        }[way]
        if seated:  # beside the seat, not back on it
            choices = {"to the left": ("left",), "to the right": ("right",)}.get(way, ("left", "right"))
        lying = str(rng.choice(choices))
        angle = 0.55 if seated else 0.25 + 0.25 * stiff
        tilt = (angle * np.cos(heading), angle * np.sin(heading))
    away = (0.30 + 0.45 * stiff) * body.scale
    if seated:
        away, heading = float(rng.uniform(0.6, 0.8)), 0.55 * heading
    there = first.pelvis_m[:2] + along(yaw, away * np.cos(heading), away * np.sin(heading)) + momentum
    middle_height = (0.20 + 0.24 * stiff) * body.stature_m
    if seated:
        middle_height = float(first.pelvis_m[2]) * 0.95
    middle = _flail(first, way, rng).but(
        pelvis_m=[*(0.45 * first.pelvis_m[:2] + 0.55 * there), middle_height],
        tilt_rad=tilt,
        spine_rad=[0.35 if way != "backwards" else 0.25, rng.uniform(-0.2, 0.2), rng.uniform(-0.3, 0.3)],
        head_rad=[0.2 if way == "backwards" else -0.2, 0.0, rng.uniform(-0.3, 0.3)],
        knees_out=np.full(2, 0.3 + 0.3 * (1.0 - stiff)),
        on_head=np.zeros(2),
    )
    rest = lie(first, there, lying, rng)
    if seated:
        rest = rest.but(feet_body_m=rest.feet_body_m + np.array([0.12, 0.0, 0.12]))
    # on impact the limbs are still where the fall threw them; they drop in the settling
    impact = blend(rest, middle, 0.12).but(
        pelvis_m=rest.pelvis_m, tilt_rad=rest.tilt_rad, planted=rest.planted, grounded=1.0, spin_rad=rest.spin_rad * 0.4
    )
    script.along_bend(middle, impact, fall_s, _toppling(float(rng.uniform(1.4, 2.4))))
    hit_s = script.now_s
    script.to(rest, settle_s)
    bounce = float(rng.uniform(0.02, 0.06))

    def rebound(t_s: float, pose: Pose) -> Pose:
        up = bounce * bump(t_s, hit_s, hit_s + settle_s, 0.5 * settle_s)
        hands = pose.hands_m + np.array([0.8 * up, 0.0, 0.0])
        return pose.but(grounded=float(pose.grounded) * (1.0 - 6.0 * up), hands_m=hands)

    script.overlay(rebound)

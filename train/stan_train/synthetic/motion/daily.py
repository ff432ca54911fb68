"""Background: what people do all day that is none of the activities, and much that looks like one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stan_train.synthetic.motion.body import Physique, Pose
from stan_train.synthetic.motion.gestures import arm_raises, opening, raised, stand_from
from stan_train.synthetic.motion.postures import (
    along,
    bent_to_floor,
    crouch,
    lie,
    rising,
    sit,
    stand,
    with_hand,
    with_hand_on_head,
)
from stan_train.synthetic.motion.script import Plan, Prop, Script, alive, bump, seat

_Daily = Callable[[np.random.Generator, Physique, float], tuple[Script, tuple[Prop, ...], str]]


def _upright(rng: np.random.Generator, body: Physique) -> Script:
    return Script(body, stand(body, np.zeros(2), float(rng.uniform(-np.pi, np.pi)), rng), rng)


def _standing(rng: np.random.Generator, body: Physique, duration_s: float) -> tuple[Script, tuple[Prop, ...], str]:
    script = _upright(rng, body)
    for _ in range(3):
        script.hold(float(rng.uniform(0.2, 1.2)))
        head = [rng.uniform(-0.2, 0.35), rng.uniform(-0.1, 0.1), rng.uniform(-0.9, 0.9)]
        shift = np.append(rng.uniform(-0.05, 0.05, 2), -0.01)
        still = script.pose
        moved = still.but(head_rad=head, pelvis_m=still.pelvis_m + shift)
        if rng.random() < 0.5:  # talks with the hands
            side = int(rng.integers(2))
            palm = (float(rng.uniform(0.25, 0.42)), float(rng.uniform(0.05, 0.3)), float(rng.uniform(-0.4, -0.18)))
            moved = with_hand(moved, side, palm, (-0.4, 0.6, -0.6))
        script.to(moved, float(rng.uniform(0.5, 1.0)))
    return script, (), "standing"


def _walking(rng: np.random.Generator, body: Physique, duration_s: float) -> tuple[Script, tuple[Prop, ...], str]:
    yaw = float(rng.uniform(-np.pi, np.pi))
    speed = float(rng.uniform(0.6, 1.4))
    way_s = min(duration_s, 2.6)
    start = -along(yaw, 0.5 * speed * way_s)
    script = Script(body, stand(body, start, yaw, rng), rng)
    script.hold(float(rng.uniform(0.0, max(0.0, duration_s - way_s))))
    script.walk(-start, way_s)
    if rng.random() < 0.6:
        script.to(stand(body, -start, yaw + float(rng.choice([-1.0, 1.0])) * float(rng.uniform(1.5, 3.1)), rng), 0.9)
        script.walk(start * float(rng.uniform(-0.2, 0.5)), 1.8)
    return script, (), "walking"


def _any_seat(rng: np.random.Generator) -> tuple[str, float]:
    return str(rng.choice(["chair", "chair", "stool", "sofa", "bed"])), float(rng.uniform(0.40, 0.50))


def _sitting(rng: np.random.Generator, body: Physique, duration_s: float) -> tuple[Script, tuple[Prop, ...], str]:
    """Sits down, gets up, or just sits."""
    yaw, here = float(rng.uniform(-np.pi, np.pi)), np.zeros(2)
    kind, seat_m = _any_seat(rng)
    prop = seat(kind, here, yaw, seat_m)
    seated = sit(body, here, yaw, seat_m, rng)
    what = ("sitting down", "standing up", "sitting")[rng.integers(3)]
    move_s = float(rng.uniform(1.1, 2.2))
    wait_s = float(rng.uniform(0.2, max(0.3, duration_s - move_s - 0.3)))
    if what == "sitting down":
        feet_m = seated.feet_m[:, :2].mean(axis=0)
        script = Script(body, stand(body, feet_m, yaw, rng).but(feet_m=seated.feet_m), rng)
        script.hold(wait_s)
        script.to(rising(seated, body), 0.5 * move_s)
        script.to(seated, 0.5 * move_s)
    else:
        script = Script(body, seated, rng)
        script.hold(wait_s)
        if what == "standing up":
            stand_from(script, body, move_s)
        else:
            script.to(seated.but(spine_rad=[rng.uniform(0.0, 0.5), 0.0, rng.uniform(-0.3, 0.3)]), move_s)
    return script, (prop,), f"{what} ({kind})"


def _bending(rng: np.random.Generator, body: Physique, duration_s: float) -> tuple[Script, tuple[Prop, ...], str]:
    script = _upright(rng, body)
    upright = script.pose
    low = crouch(upright, body) if rng.random() < 0.4 else bent_to_floor(upright, body, float(rng.uniform(0.0, 0.9)))
    down_s, wait_s = float(rng.uniform(0.7, 1.4)), float(rng.uniform(0.1, 1.2))
    script.hold(float(rng.uniform(0.2, max(0.3, duration_s - 2.0 * down_s - wait_s))))
    script.to(low, down_s)
    script.hold(wait_s)
    script.to(upright, down_s)
    return script, (), "bending down and getting up"


def _to_bed(rng: np.random.Generator, body: Physique, duration_s: float) -> tuple[Script, tuple[Prop, ...], str]:
    """Lies down slowly on a bed, or lies there."""
    yaw, top_m = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.42, 0.55))
    seated = sit(body, np.zeros(2), yaw, top_m, rng)
    side = float(rng.choice([-1.0, 1.0]))
    # lying along the bed, which stands across the way the sitter faced; the pillow is at the side he tips to
    lying = lie(seated, -along(yaw, 0.28), "back", rng)
    head_yaw = yaw + side * np.pi / 2
    centre = -along(yaw, 0.28)
    lying = lying.but(
        yaw_rad=head_yaw + np.pi, pelvis_m=[*centre, top_m + 0.061 * body.stature_m * body.girth], grounded=0.0
    )
    prop = Prop("bed", centre, head_yaw, top_m)
    if rng.random() < 0.45:
        script = Script(body, lying, rng)
        script.hold(1.0)
        if rng.random() < 0.5:
            script.to(lying.but(head_rad=[0.1, 0.0, rng.uniform(-0.7, 0.7)], hands_m=lying.hands_m + 0.12), 1.5)
        return script, (prop,), "lying in bed"
    script = Script(body, seated, rng)
    script.hold(float(rng.uniform(0.2, 1.0)))
    half = seated.but(
        pelvis_m=0.5 * seated.pelvis_m + 0.5 * lying.pelvis_m + np.array([0.0, 0.0, 0.03]),
        yaw_rad=yaw - side * 0.7,
        tilt_rad=[-0.6, 0.3 * side],
        spine_rad=[0.25, 0.0, 0.0],
        feet_body_m=np.array([[0.60, 0.12, -0.30], [0.60, -0.12, -0.30]]),  # over the edge, not through the mattress
        planted=np.full(2, 0.05),
    )
    turned = head_yaw + np.pi
    turned = yaw + (turned - yaw + np.pi) % (2.0 * np.pi) - np.pi
    script.to(half.but(yaw_rad=yaw + 0.5 * (turned - yaw)), float(rng.uniform(1.1, 1.6)))
    script.to(lying.but(yaw_rad=turned), float(rng.uniform(1.2, 2.0)))
    return script, (prop,), "lying down on a bed"


def _on_floor(rng: np.random.Generator, body: Physique, duration_s: float) -> tuple[Script, tuple[Prop, ...], str]:
    """Lies on the floor all the time: looks like the end of a fall, but nothing falls."""
    upright = stand(body, np.zeros(2), float(rng.uniform(-np.pi, np.pi)), rng)
    lying = lie(upright, np.zeros(2), str(rng.choice(["back", "front", "left", "right"])), rng)
    script = Script(body, lying, rng)
    script.hold(float(rng.uniform(0.3, 2.0)))
    if rng.random() < 0.5:
        script.to(lying.but(head_rad=lying.head_rad + rng.uniform(-0.3, 0.3, 3)), float(rng.uniform(0.8, 2.0)))
    return script, (), "lying on the floor from the start"


def _hand_to_head(rng: np.random.Generator, body: Physique, duration_s: float) -> tuple[Script, tuple[Prop, ...], str]:
    """Drinks, eats, telephones, or sees to glasses or hair."""
    what = ("drinking", "eating", "phoning", "glasses", "hair")[rng.integers(5)]
    place, pole, held_s = {
        "drinking": ((0.17, 0.03, -0.055), (-0.1, 0.8, -0.6), rng.uniform(0.6, 1.8)),
        "eating": ((0.16, 0.02, -0.08), (-0.1, 0.8, -0.6), rng.uniform(0.2, 0.4)),
        "phoning": ((0.03, 0.12, -0.03), (0.1, 0.7, -0.8), rng.uniform(2.0, 5.0)),
        "glasses": ((0.14, 0.05, 0.0), (0.2, 0.8, -0.6), rng.uniform(0.15, 0.3)),
        "hair": ((0.02, 0.10, 0.06), (0.2, 0.9, -0.4), rng.uniform(0.1, 0.3)),
    }[what]
    script, props, start = opening(rng, body, float(rng.uniform(0.2, max(0.3, 0.4 * duration_s))), sitting=0.4)
    before, side = script.pose, int(rng.integers(2))
    low = with_hand(before, side, (0.32, 0.12, -0.32), (-0.5, 0.6, -0.6))
    script.to(low, 0.5)
    high = with_hand_on_head(before, side, place, pole).but(
        head_rad=[-0.15 if what == "drinking" else 0.05, 0.0, rng.uniform(-0.3, 0.3)]
    )
    for _ in range(3 if what == "eating" else 1):
        script.to(high, float(rng.uniform(0.5, 0.8)))
        script.hold(float(held_s))
        script.to(low, float(rng.uniform(0.5, 0.8)))
    script.to(before, 0.5)
    return script, props, f"{what}, {start}"


def _reaching(rng: np.random.Generator, body: Physique, duration_s: float) -> tuple[Script, tuple[Prop, ...], str]:
    """Waves, reaches for a shelf, stretches, claps, or raises the arm with an upright trunk."""
    what = (
        "waving",
        "reaching for a shelf",
        "stretching",
        "clapping",
        "arm raise, trunk upright",
        "arm raise, trunk upright",
    )[rng.integers(6)]
    seated = 0.0 if what == "reaching for a shelf" else 0.5 if what.startswith("arm raise") else 0.25
    lead_s = float(rng.uniform(0.2, max(0.3, 0.35 * duration_s)))
    script, props, start = opening(rng, body, lead_s, seated)
    before, side = script.pose, int(rng.integers(2))
    up_s, held_s = float(rng.uniform(0.6, 1.1)), float(rng.uniform(0.7, 2.2))
    wave = np.zeros((2, 3))
    if what == "waving":
        wave[side] = (0.0, 0.13, 0.02)
        up = with_hand(before, side, (0.22, 0.30, float(rng.uniform(0.12, 0.45))), (-0.2, 0.8, -0.6))
    elif what == "reaching for a shelf":
        at = before.pelvis_m[:2] + along(float(before.yaw_rad), 0.85)
        props = (*props, Prop("shelf", at, float(before.yaw_rad) + np.pi, 1.95))
        up = raised(before, side, 0.1, 0.65, rng).but(head_rad=[-0.35, 0.0, 0.0])
    elif what == "stretching":
        up = raised(raised(before, 0, 0.3, 1.0, rng), 1, 0.3, 1.0, rng).but(head_rad=[-0.3, 0.0, 0.0])
    elif what == "clapping":
        wave[:, 1] = (0.10, -0.10)
        up = with_hand(before, 0, (0.36, 0.12, -0.20), (-0.3, 0.8, -0.5))
        up = with_hand(up, 1, (0.36, 0.12, -0.20), (-0.3, 0.8, -0.5))
    else:
        sides = (0, 1) if rng.random() < 0.3 else (side,)
        way = arm_raises(script, sides, 1.4 * up_s, 0.5 * held_s, 1.4 * up_s, int(rng.choice([1, 2])), None)
        return script, props, f"{what} ({way}), {start}"
    script.to(up, up_s)
    from_s = script.now_s
    script.hold(held_s)
    to_s = script.now_s
    script.to(before, up_s)
    hz = float(rng.uniform(1.5, 2.6))

    def waves(t_s: float, pose: Pose) -> Pose:
        swing = bump(t_s, from_s, to_s, 0.2) * np.sin(2.0 * np.pi * hz * (t_s - from_s))
        return pose.but(hands_m=pose.hands_m + swing * wave)

    script.overlay(waves)
    return script, props, f"{what}, {start}"


_DAILY: tuple[tuple[_Daily, float], ...] = (
    (_standing, 0.10),
    (_walking, 0.15),
    (_sitting, 0.16),
    (_bending, 0.12),
    (_to_bed, 0.09),
    (_on_floor, 0.06),
    (_hand_to_head, 0.14),
    (_reaching, 0.13),
)


def background(rng: np.random.Generator, body: Physique, duration_s: float) -> Plan:
    """One of the everyday doings above; in one clip of twenty, nobody is there."""
    weights = np.array([w for _, w in _DAILY])
    if rng.random() < 0.05:
        return Plan(None, (), (), "background: empty room")
    doing = _DAILY[rng.choice(len(_DAILY), p=weights / weights.sum())][0]
    script, props, text = doing(rng, body, duration_s)
    script.overlay(alive(rng))
    return Plan(script.pose_at, (), props, f"background: {text}")

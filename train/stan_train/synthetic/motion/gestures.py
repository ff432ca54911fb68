"""Hands to the aching head, hands to the aching chest, and the arm raise that cheats with the trunk."""

from __future__ import annotations

import numpy as np

from stan_train.synthetic.motion.body import SIDES, Physique, Pose
from stan_train.synthetic.motion.postures import along, feet_under, rising, sit, stand, with_hand, with_hand_on_head
from stan_train.synthetic.motion.script import Plan, Prop, Script, alive, bump, seat
from stan_train.synthetic.motion.skeleton import solve

COMPENSATORY_LEAN_RAD = np.radians(8.0)

Place = tuple[float, float, float]


def opening(
    rng: np.random.Generator, body: Physique, lead_s: float, sitting: float
) -> tuple[Script, tuple[Prop, ...], str]:
    """Ordinary behaviour for `lead_s` seconds: seated (with this probability), standing, or walking up."""
    yaw = float(rng.uniform(-np.pi, np.pi))
    here = np.zeros(2)
    if rng.random() < sitting:
        seat_m = float(rng.uniform(0.40, 0.50))
        kind = str(rng.choice(["chair", "chair", "stool", "sofa", "bed"]))
        script = Script(body, sit(body, here, yaw, seat_m, rng), rng)
        script.hold(lead_s)
        return script, (seat(kind, here, yaw, seat_m),), "sitting"
    if lead_s > 1.3 and rng.random() < 0.35:
        walk_s = float(rng.uniform(1.0, min(lead_s, 2.0)))
        from_m = -along(yaw, float(rng.uniform(0.8, 1.1)) * walk_s)
        script = Script(body, stand(body, from_m, yaw, rng), rng)
        script.hold(lead_s - walk_s)
        script.walk(here, walk_s)
        return script, (), "walking up"
    script = Script(body, stand(body, here, yaw, rng), rng)
    script.hold(lead_s)
    return script, (), "standing"


def _lead_s(rng: np.random.Generator, important_s: float, duration_s: float) -> float:
    """When to start, so that the activity lies inside the clip."""
    room_s = max(0.05, duration_s - important_s - 0.15)
    return float(rng.uniform(min(0.35, 0.5 * room_s), room_s))


def _shortened(durations_s: list[float], limit_s: float) -> list[float]:
    """The stretches of an activity, scaled down where a short clip would cut it off."""
    scale = min(1.0, limit_s / sum(durations_s))
    return [d * scale for d in durations_s]


def _close(script: Script, seated: bool, rng: np.random.Generator) -> None:
    """What people do afterwards: stay, look away, or walk on."""
    script.hold(float(rng.uniform(0.1, 0.6)))
    if not seated and rng.random() < 0.3:
        yaw = float(script.pose.yaw_rad)
        script.walk(script.pose.pelvis_m[:2] + along(yaw, float(rng.uniform(0.8, 1.4))), 1.5)
    script.overlay(alive(rng))


_HEAD_PLACES: tuple[tuple[str, Place, Place], ...] = (
    ("temple", (0.055, 0.10, 0.035), (0.35, 0.8, -0.5)),
    ("forehead", (0.115, 0.035, 0.055), (0.3, 0.7, -0.7)),
    ("side of the head", (-0.01, 0.10, 0.06), (0.0, 1.0, -0.3)),
    ("top of the head", (-0.02, 0.07, 0.135), (0.2, 1.0, 0.1)),
    ("eyes", (0.115, 0.03, 0.0), (0.4, 0.6, -0.7)),
)


def headache(rng: np.random.Generator, body: Physique, duration_s: float) -> Plan:
    up_s, held_s, down_s = _shortened(
        [float(rng.uniform(0.45, 0.9)), float(rng.uniform(0.9, 2.4)), float(rng.uniform(0.45, 0.8))], 0.8 * duration_s
    )
    lead_s = _lead_s(rng, up_s + held_s + down_s, duration_s)
    script, props, start = opening(rng, body, lead_s, sitting=0.4)
    before = script.pose
    name, palm, pole = _HEAD_PLACES[rng.integers(len(_HEAD_PLACES))]
    sides = (0, 1) if rng.random() < 0.5 else (int(rng.integers(2)),)
    aching = before
    for side in sides:
        aching = with_hand_on_head(aching, side, palm, pole)
    bow = float(rng.uniform(0.1, 0.55))
    aching = aching.but(
        spine_rad=before.spine_rad + np.array([0.45 * bow + rng.uniform(0.0, 0.2), 0.0, 0.0]),
        head_rad=[bow, rng.uniform(-0.2, 0.2), rng.uniform(-0.15, 0.15)],
    )
    script.to(aching, up_s)
    script.hold(held_s)
    script.to(before, down_s)
    hold_from_s, hold_to_s = lead_s + 0.8 * up_s, lead_s + up_s + held_s + 0.2 * down_s
    rub_m, rub_hz = float(rng.uniform(0.005, 0.022)), float(rng.uniform(1.2, 2.6))
    shake_rad, shake_hz = float(rng.uniform(0.0, 0.22)) * (rng.random() < 0.6), float(rng.uniform(0.6, 1.4))
    phase = float(rng.uniform(0.0, 6.28))

    def hurts(t_s: float, pose: Pose) -> Pose:
        w = bump(t_s, hold_from_s, hold_to_s)
        turn = 2.0 * np.pi * rub_hz * t_s + phase
        hands = pose.hands_head_m + w * rub_m * np.array([np.cos(turn), 0.0, np.sin(turn)])
        shake = w * shake_rad * np.sin(2.0 * np.pi * shake_hz * t_s + phase)
        return pose.but(hands_head_m=hands, head_rad=pose.head_rad + np.array([0.3 * shake, 0.2 * shake, shake]))

    script.overlay(hurts)
    _close(script, start == "sitting", rng)
    text = f"headache: {'both hands' if len(sides) == 2 else 'one hand'} to the {name}, {start}"
    return Plan(script.pose_at, ((lead_s, lead_s + up_s + held_s + down_s),), props, text)


def chest_pain(rng: np.random.Generator, body: Physique, duration_s: float) -> Plan:
    up_s, held_s, down_s = _shortened(
        [float(rng.uniform(0.35, 0.75)), float(rng.uniform(1.0, 2.5)), float(rng.uniform(0.5, 0.8))], 0.8 * duration_s
    )
    lead_s = _lead_s(rng, up_s + held_s + down_s, duration_s)
    script, props, start = opening(rng, body, lead_s, sitting=0.35)
    before = script.pose
    depth = 0.13 * body.girth
    hurting = before
    hands = ("right", "both", "left")[rng.choice(3, p=[0.5, 0.35, 0.15])]
    if hands in ("right", "both"):  # the right hand crosses to the left of the chest
        palm = (depth + 0.035, -float(rng.uniform(0.0, 0.09)), -float(rng.uniform(0.12, 0.21)))
        hurting = with_hand(hurting, 1, palm, (-0.2, 0.8, -0.6))
    if hands in ("left", "both"):
        palm = (depth + 0.06, float(rng.uniform(0.02, 0.08)), -float(rng.uniform(0.15, 0.24)))
        hurting = with_hand(hurting, 0, palm, (-0.1, 0.9, -0.5))
    lean = float(rng.uniform(0.12, 0.5))
    hurting = hurting.but(
        spine_rad=before.spine_rad + np.array([lean, rng.uniform(-0.08, 0.12), rng.uniform(-0.1, 0.1)]),
        tilt_rad=before.tilt_rad + np.array([0.3 * lean, 0.0]),
        head_rad=[rng.uniform(0.05, 0.5), rng.uniform(-0.15, 0.15), 0.0],
        hike_m=np.full(2, rng.uniform(0.0, 0.03)),
    )
    script.to(hurting, up_s)
    after, step = before, ""
    if start != "sitting" and rng.random() < 0.35:  # a step back, hand on the chest
        step = ", a step back"
        back = before.pelvis_m[:2] - along(float(before.yaw_rad), float(rng.uniform(0.15, 0.35)))
        stepped = hurting.but(
            pelvis_m=[*back, 0.985 * body.hip_height_m], feet_m=feet_under(body, back, float(before.yaw_rad), 0.0, 0.13)
        )
        script.to(stepped, 0.45 * held_s)
        script.hold(0.55 * held_s)
        after = before.but(pelvis_m=[*back, body.hip_height_m], feet_m=stepped.feet_m)
    else:
        script.hold(held_s)
    script.to(after, down_s)
    hold_from_s, hold_to_s = lead_s + 0.8 * up_s, lead_s + up_s + held_s + 0.2 * down_s
    press_m, press_hz = float(rng.uniform(0.004, 0.018)), float(rng.uniform(0.8, 2.0))
    pant_rad = float(rng.uniform(0.01, 0.05))

    def presses(t_s: float, pose: Pose) -> Pose:
        w = bump(t_s, hold_from_s, hold_to_s)
        wave = np.sin(2.0 * np.pi * press_hz * t_s)
        moved = pose.hands_m + w * press_m * wave * np.array([0.1, 1.0, 0.6])
        return pose.but(hands_m=moved, spine_rad=pose.spine_rad + w * pant_rad * np.array([wave, 0.0, 0.0]))

    script.overlay(presses)
    _close(script, start == "sitting", rng)
    text = f"chest pain: {hands} hand{'s' if hands == 'both' else ''} to the chest, {start}{step}"
    return Plan(script.pose_at, ((lead_s, lead_s + up_s + held_s + down_s),), props, text)


def raised(pose: Pose, side: int, sideways: float, height: float, rng: np.random.Generator) -> Pose:
    """One arm stretched out: sideways 0 is to the front, 1 to the side; height 0 is at the shoulder, 1 overhead."""
    swing = sideways * 1.35 + float(rng.normal(0.0, 0.05))
    lift = height * 1.3
    level = 0.61 * np.cos(lift)
    palm = (float(level * np.cos(swing)), 0.18 + float(level * np.sin(swing)), 0.61 * float(np.sin(lift)))
    return with_hand(pose, side, palm, (-0.3, 0.6, -0.8))


def arm_raises(
    script: Script,
    sides: tuple[int, ...],
    up_s: float,
    top_s: float,
    down_s: float,
    repetitions: int,
    cheat: Pose | None,
) -> str:
    """Adds repetitions of the arm raise; with `cheat`, its trunk, shoulders and pelvis go along. Says which raise."""
    rng, before = script.rng, script.pose
    sideways, height = float(rng.choice([0.0, 0.5, 1.0])), float(rng.uniform(-0.1, 0.75))
    top = before if cheat is None else cheat
    for side in sides:
        top = raised(top, side, sideways, height, rng)
    for _ in range(repetitions):
        script.to(top, up_s)
        script.hold(top_s)
        script.to(before, down_s)
    return "to the front" if sideways == 0.0 else "sideways" if sideways == 1.0 else "diagonally"


def compensation(rng: np.random.Generator, body: Physique, duration_s: float) -> Plan:
    repetitions = int(rng.choice([1, 1, 2]))
    up_s, top_s, down_s = _shortened(
        [float(rng.uniform(0.9, 1.5)), float(rng.uniform(0.3, 1.1)), float(rng.uniform(0.8, 1.3))],
        0.8 * duration_s / repetitions,
    )
    total_s = repetitions * (up_s + top_s + down_s)
    lead_s = _lead_s(rng, total_s, duration_s)
    script, props, start = opening(rng, body, lead_s, sitting=0.5)
    before = script.pose
    sides = (0, 1) if rng.random() < 0.25 else (int(rng.integers(2)),)
    away = -SIDES[sides[0]]  # the trunk leans away from the arm that is too weak
    how = ("sideways", "sideways", "backwards", "sideways and twisted")[rng.integers(4)]
    if len(sides) == 2:
        how = "backwards"
    lean = float(rng.uniform(np.radians(14.0), np.radians(30.0)))
    spine, tilt = before.spine_rad.copy(), before.tilt_rad.copy()
    if how == "backwards":
        spine, tilt = np.array([-0.75 * lean, 0.0, 0.0]), np.array([-0.5 * lean, 0.0])
    else:
        spine = spine + np.array([0.0, away * lean, 0.0])
        tilt = tilt + np.array([0.0, 0.35 * away * lean])
        if how == "sideways and twisted":
            spine[2] += away * rng.uniform(0.25, 0.6)
    hike = np.zeros(2)
    hike[list(sides)] = rng.uniform(0.01, 0.06)
    cheat = before.but(spine_rad=spine, tilt_rad=tilt, hike_m=hike, head_rad=[-0.05, 0.5 * away * lean, 0.0])
    raise_way = arm_raises(script, sides, up_s, top_s, down_s, repetitions, cheat)
    _close(script, start == "sitting", rng)
    intervals = _leaning(script, body, lead_s, lead_s + total_s)
    arms = "both arms" if len(sides) == 2 else f"{('left', 'right')[sides[0]]} arm"
    text = f"compensation: {arms} raised {raise_way}, trunk leans {how}, {start}"
    return Plan(script.pose_at, intervals, props, text)


def _leaning(script: Script, body: Physique, start_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
    """Intervals between start and end in which the trunk has left its first direction by more than 8 degrees."""
    times = np.arange(start_s, end_s, 0.04)
    trunks = []
    for t_s in times:
        s = solve(script.pose_at(float(t_s)), body)
        trunk = s.neck - s.pelvis
        trunks.append(trunk / np.linalg.norm(trunk))
    lean = np.arccos(np.clip(np.array(trunks) @ trunks[0], -1.0, 1.0))
    over = np.concatenate([[0], (lean > COMPENSATORY_LEAN_RAD).astype(int), [0]])
    starts, ends = np.flatnonzero(np.diff(over) == 1), np.flatnonzero(np.diff(over) == -1)
    return tuple((float(times[a]), float(times[b - 1])) for a, b in zip(starts, ends, strict=True))


def stand_from(script: Script, body: Physique, duration_s: float) -> None:
    """Adds getting up from a seat to standing in front of it."""
    seated, rng = script.pose, script.rng
    yaw = float(seated.yaw_rad)
    script.to(rising(seated, body), 0.5 * duration_s)
    feet_m = seated.feet_m[:, :2].mean(axis=0)
    script.to(stand(body, feet_m, yaw, rng).but(feet_m=seated.feet_m), 0.5 * duration_s)

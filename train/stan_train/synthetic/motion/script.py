"""A script: poses strung along time. Motion is a function of time in seconds, so any frame rate shows the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from stan_train.synthetic.motion.body import Array, Physique, Pose, blend
from stan_train.synthetic.motion.postures import along, stand

Motion = Callable[[float], Pose]
Overlay = Callable[[float, Pose], Pose]


@dataclass(frozen=True)
class Prop:
    """A piece of furniture that the motion needs: kind is chair, stool, sofa, bed or shelf; yaw is where it
    faces, of a bed where its head end is."""

    kind: str
    at_m: Array
    yaw_rad: float
    top_m: float


@dataclass(frozen=True)
class Plan:
    """What happens in a clip. `pose_at` is None in an empty room; `important_s` holds the intervals of the activity."""

    pose_at: Motion | None
    important_s: tuple[tuple[float, float], ...]
    props: tuple[Prop, ...]
    description: str


def seat(kind: str, sitter_m: Array, yaw_rad: float, top_m: float) -> Prop:
    """What carries someone who sits at `sitter_m` [2] and faces `yaw_rad`; on a bed, he sits on its long edge."""
    if kind == "bed":
        return Prop("bed", sitter_m - along(yaw_rad, 0.28), yaw_rad + np.pi / 2, top_m)
    return Prop(kind, sitter_m, yaw_rad, top_m)


def minimum_jerk(u: float) -> float:
    """Smooth step with zero velocity and acceleration at both ends (Flash and Hogan, 1985)."""
    u = min(max(u, 0.0), 1.0)
    return u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)


def bump(t_s: float, start_s: float, end_s: float, ramp_s: float = 0.3) -> float:
    """Rises to 1 after `start_s`, is back at 0 at `end_s`."""
    return minimum_jerk((t_s - start_s) / ramp_s) * minimum_jerk((end_s - t_s) / ramp_s)


@dataclass
class Script:
    """Poses in the order they happen. Each call adds a stretch of time that starts where the last one ended."""

    body: Physique
    pose: Pose
    rng: np.random.Generator
    now_s: float = 0.0
    _stretches: list[tuple[float, float, Motion]] = field(default_factory=list)
    _overlays: list[Overlay] = field(default_factory=list)

    def _add(self, duration_s: float, motion: Motion, last: Pose) -> None:
        if duration_s > 0.0:
            self._stretches.append((self.now_s, self.now_s + duration_s, motion))
            self.now_s += duration_s
        self.pose = last

    def hold(self, duration_s: float) -> None:
        pose = self.pose
        self._add(duration_s, lambda _: pose, pose)

    def to(self, pose: Pose, duration_s: float) -> None:
        """Minimum-jerk move. Hands swing out in an arc, so that they pass in front of the trunk, not through it."""
        start = self.pose
        travel = np.linalg.norm(pose.hands_m - start.hands_m, axis=1) + 0.5 * np.abs(pose.on_head - start.on_head)
        arc = np.zeros((2, 3))
        arc[:, 0] = 0.28 * np.minimum(travel, 0.9)
        arc[:, 1] = np.array([0.06, -0.06]) * np.minimum(travel, 0.9)

        def motion(u: float) -> Pose:
            w = minimum_jerk(u)
            mixed = blend(start, pose, w)
            return mixed.but(hands_m=mixed.hands_m + 4.0 * w * (1.0 - w) * arc)

        self._add(duration_s, motion, pose)

    def along_bend(self, middle: Pose, end: Pose, duration_s: float, pace: Callable[[float], float]) -> None:
        """A quadratic Bezier move through the pull of `middle`, at a pace given as share of the way over share of the
        time."""
        start = self.pose

        def motion(u: float) -> Pose:
            w = pace(u)
            return blend(blend(start, middle, w), blend(middle, end, w), w)

        self._add(duration_s, motion, end)

    def walk(self, to_m: Array, duration_s: float, stop: bool = True) -> None:
        """Straight walk, facing ahead; gait phase follows the way walked, so feet do not slide in stance."""
        start_pose, body = self.pose, self.body
        start = start_pose.pelvis_m[:2].copy()
        way = to_m - start
        length = float(np.linalg.norm(way))
        if length < 0.05:
            self.hold(duration_s)
            return
        yaw = float(np.arctan2(way[1], way[0]))
        yaw = float(start_pose.yaw_rad) + (yaw - float(start_pose.yaw_rad) + np.pi) % (2 * np.pi) - np.pi
        base = stand(body, start, yaw, self.rng)
        stride = 2.0 * body.stature_m * 0.36
        strides = max(1.0, round(length / stride * 2.0) / 2.0)
        stride = length / strides
        starts_still = self.now_s > 0.0

        def motion(u: float) -> Pose:
            slow_in, slow_out = (0.12 if starts_still else 0.0), (0.12 if stop else 0.0)
            gone = _eased(u, slow_in, slow_out) * length
            phase = gone / stride
            feet = np.empty((2, 3))
            swing = np.empty(2)
            for i, offset in enumerate((0.0, 0.5)):
                turn, share = divmod(phase + offset, 1.0)
                air = minimum_jerk((share - 0.58) / 0.42)
                ahead = (turn + air - offset + 0.29) * stride
                lift = 0.11 * np.sin(np.pi * min(max((share - 0.52) / 0.48, 0.0), 1.0)) ** 1.5
                feet[i] = np.append(start + along(yaw, ahead, 0.09 if i == 0 else -0.09), body.ankle_height_m + lift)
                swing[i] = np.cos(2.0 * np.pi * (phase + offset))
            still = max(
                1.0 - minimum_jerk(gone / (0.35 * stride)) if starts_still else 0.0,
                1.0 - minimum_jerk((length - gone) / (0.35 * stride)) if stop else 0.0,
            )
            at = start + along(yaw, gone)
            under = np.stack([np.append(at + along(yaw, 0.0, s), body.ankle_height_m) for s in (0.09, -0.09)])
            hands = base.hands_m.copy()
            hands[:, 0] += -(1.0 - still) * 0.24 * swing
            hands[:, 2] += (1.0 - still) * 0.05 * np.abs(swing)
            bob = 0.018 * np.cos(4.0 * np.pi * phase) * (1.0 - still)
            mixed = base.but(
                pelvis_m=[at[0], at[1], body.hip_height_m * (0.985 + 0.015 * still) + bob],
                feet_m=feet + still * (under - feet),
                hands_m=hands,
                spine_rad=base.spine_rad + np.array([0.04, 0.0, 0.10 * swing[0] * (1.0 - still)]),
                tilt_rad=[0.04 * (1.0 - still), 0.0],
            )
            return blend(start_pose, mixed, minimum_jerk(u * duration_s / 0.5)) if starts_still else mixed

        self._add(duration_s, motion, motion(1.0))

    def overlay(self, change: Overlay) -> None:
        """Adds a change on top of the poses, for all of the script's time."""
        self._overlays.append(change)

    def pose_at(self, t_s: float) -> Pose:
        """The pose at a moment; the last pose holds after the script's end."""
        pose = self.pose
        for start_s, end_s, motion in self._stretches:
            if t_s < end_s:
                pose = motion((t_s - start_s) / (end_s - start_s))
                break
        for change in self._overlays:
            pose = change(t_s, pose)
        return pose


def _eased(u: float, slow_in: float, slow_out: float) -> float:
    """Share of the way at share `u` of the time, at constant speed but for the ends."""
    u = min(max(u, 0.0), 1.0)
    top = 1.0 / (1.0 - 0.5 * slow_in - 0.5 * slow_out)
    if u < slow_in:
        return 0.5 * top * u * u / slow_in
    if u > 1.0 - slow_out:
        return 1.0 - 0.5 * top * (1.0 - u) ** 2 / slow_out
    return top * (u - 0.5 * slow_in)


def alive(rng: np.random.Generator) -> Overlay:
    """Breathing, sway and small looks around; lying bodies only breathe."""
    phase = rng.uniform(0.0, 2.0 * np.pi, 10)
    rate = rng.uniform(0.6, 1.4, 10)
    lively = float(rng.uniform(0.4, 1.6))

    def change(t_s: float, pose: Pose) -> Pose:
        free = 1.0 - 0.85 * float(pose.grounded)
        s = np.sin(t_s * rate * np.array([1.7, 0.9, 0.5, 0.8, 1.1, 0.6, 1.3, 0.7, 0.9, 1.2]) + phase) * lively
        spine = pose.spine_rad + np.array([0.012 * s[0] + 0.012 * free * s[1], 0.018 * free * s[2], 0.03 * free * s[3]])
        head = pose.head_rad + free * np.array([0.05 * s[4], 0.02 * s[5], 0.10 * s[3]])
        hands = pose.hands_m.copy()
        hands[0] += free * 0.012 * s[6:9]
        hands[1] += free * 0.012 * s[7:10]
        pelvis = pose.pelvis_m + free * np.array([0.010 * s[5], 0.010 * s[2], 0.0])
        return pose.but(spine_rad=spine, head_rad=head, hands_m=hands, pelvis_m=pelvis)

    return change

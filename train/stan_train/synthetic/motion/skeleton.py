"""The joints that follow from a pose: the trunk by forward kinematics, the limbs by inverse kinematics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stan_train.synthetic.motion.body import SIDES, STATURE_OF_TARGETS_M, Array, Physique, Pose

_FLOOR_HAND_M = 0.035


@dataclass(frozen=True)
class Skeleton:
    """Joint positions in the world [3] or [2, 3] (left, right), and the axes of the rigid parts (columns are body
    axes in the world) [3, 3]."""

    pelvis: Array
    waist: Array
    chest: Array
    neck: Array
    skull: Array
    head: Array
    shoulders: Array
    elbows: Array
    wrists: Array
    palms: Array
    hips: Array
    knees: Array
    ankles: Array
    toes: Array
    pelvis_axes: Array
    waist_axes: Array
    chest_axes: Array
    head_axes: Array

    @property
    def outline(self) -> Array:
        """All joints that matter for where the body is. [21, 3]"""
        trunk = np.stack([self.pelvis, self.waist, self.chest, self.neck, self.head])
        limbs = (self.shoulders, self.elbows, self.wrists, self.palms, self.hips, self.knees, self.ankles, self.toes)
        return np.concatenate([trunk, *limbs])


def axis_angle(vector: npt.ArrayLike) -> Array:
    """Rotation matrix of a rotation vector (Rodrigues). [3] rad -> [3, 3]"""
    x, y, z = np.asarray(vector, dtype=np.float64)
    angle = float(np.sqrt(x * x + y * y + z * z))
    if angle < 1e-9:
        return np.eye(3)
    x, y, z = x / angle, y / angle, z / angle
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1.0 - np.cos(angle)) * (k @ k))


def cross(a: Array, b: Array) -> Array:
    """Cross product of two vectors [3]; numpy's own takes ten times as long for a single pair."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def bend(front_left_turn: Array) -> Array:
    """Rotation of a bend to the front, to the left, and a turn to the left. [3] rad -> [3, 3]"""
    front, left, turn = front_left_turn
    return axis_angle((-left, front, turn))


def unit(v: Array) -> Array:
    return np.asarray(v / (float(np.sqrt(v @ v)) + 1e-12))


def two_bones(root: Array, target: Array, upper_m: float, lower_m: float, pole: Array) -> tuple[Array, Array]:
    """Middle and end joint of a two-bone chain that reaches for `target` and bends towards `pole` (a direction)."""
    to = target - root
    length = float(np.sqrt(to @ to))
    along = to / (length + 1e-12)
    reach = min(max(length, abs(upper_m - lower_m) + 0.03), (upper_m + lower_m) * 0.998)
    cosine = (upper_m**2 + reach**2 - lower_m**2) / (2.0 * upper_m * reach)
    side = pole - along * float(pole @ along)
    side = unit(side) if side @ side > 1e-12 else unit(cross(along, np.array([0.3, 0.9, 0.1])))
    sine = np.sqrt(max(0.0, 1.0 - cosine**2))
    return root + upper_m * (cosine * along + sine * side), root + reach * along


def _arms(
    pose: Pose, stature_m: float, shoulders: Array, chest: Array, chest_axes: Array, head: Array, head_axes: Array
) -> tuple[Array, Array, Array]:
    """Elbows, wrists and palms, each [2, 3]."""
    scale = stature_m / STATURE_OF_TARGETS_M
    upper_arm, forearm, hand = 0.170 * stature_m, 0.150 * stature_m, 0.045 * stature_m
    elbows, wrists, palms = np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3))
    for i in range(2):
        in_chest = chest + chest_axes @ (pose.hands_m[i] * scale)
        in_head = head + head_axes @ (pose.hands_head_m[i] * scale)
        target = in_chest + pose.on_head[i] * (in_head - in_chest)
        target[2] = max(target[2], _FLOOR_HAND_M)
        pole = chest_axes @ pose.elbow_pole[i] + np.array([0.0, 0.0, 0.25 * float(pose.grounded)])
        elbows[i], palms[i] = two_bones(shoulders[i], target, upper_arm, forearm + hand, pole)
        elbows[i, 2] = max(elbows[i, 2], 0.045)
        palms[i, 2] = max(palms[i, 2], 0.025)
        wrists[i] = palms[i] + (elbows[i] - palms[i]) * (hand / (forearm + hand))
    return elbows, wrists, palms


def _legs(
    pose: Pose, body: Physique, hips: Array, origin: Array, pelvis_axes: Array, yaw_axes: Array
) -> tuple[Array, Array, Array]:
    """Knees, ankles and toes, each [2, 3]. Planted feet stand flat; loose ones hang from the shin."""
    h = body.stature_m
    thigh, shin = 0.245 * h, 0.242 * h
    knees, ankles, toes = np.empty((2, 3)), np.empty((2, 3)), np.empty((2, 3))
    for i, s in enumerate(SIDES):
        in_body = origin + pelvis_axes @ (pose.feet_body_m[i] * body.scale)
        planted = float(pose.planted[i])
        target = in_body + planted * (pose.feet_m[i] - in_body)
        target[2] = max(target[2], 0.05)
        pole = pelvis_axes @ np.array([1.0, s * float(pose.knees_out[i]), 0.0])
        knees[i], ankles[i] = two_bones(hips[i], target, thigh, shin, pole)
        knees[i, 2] = max(knees[i, 2], 0.055)
        ankles[i, 2] = max(ankles[i, 2], 0.045)
        ahead = yaw_axes @ np.array([1.0, s * 0.18, 0.0])
        down_shin = unit(ankles[i] - knees[i])
        lift = max(0.0, float(ankles[i, 2]) - body.ankle_height_m)
        flat = unit(ahead - np.array([0.0, 0.0, min(0.9, 3.0 * lift)]))
        loose = unit(pelvis_axes[:, 0] - down_shin * float(pelvis_axes[:, 0] @ down_shin)) + 0.55 * down_shin
        toes[i] = ankles[i] + 0.098 * h * unit(planted * flat + (1.0 - planted) * unit(loose))
        toes[i, 2] = max(toes[i, 2] - 0.028 * h * planted, 0.022)
    return knees, ankles, toes


def solve(pose: Pose, body: Physique) -> Skeleton:
    """Joints of a pose: trunk by forward kinematics, kept above the floor; limbs by inverse kinematics."""
    h = body.stature_m
    yaw_axes = axis_angle((0.0, 0.0, float(pose.yaw_rad)))
    tilt = bend(np.array([pose.tilt_rad[0], pose.tilt_rad[1], 0.0]))
    pelvis_axes = yaw_axes @ tilt @ axis_angle((0.0, 0.0, float(pose.spin_rad)))
    waist_axes = pelvis_axes @ bend(0.5 * pose.spine_rad)
    chest_axes = waist_axes @ bend(0.5 * pose.spine_rad)
    neck_axes = chest_axes @ bend(0.35 * pose.head_rad)
    head_axes = neck_axes @ bend(0.65 * pose.head_rad)

    waist = pelvis_axes @ np.array([0.0, 0.0, 0.075 * h])
    middle = waist + waist_axes @ np.array([0.0, 0.0, 0.075 * h])
    chest = middle + chest_axes @ np.array([0.0, 0.0, 0.138 * h])
    neck = chest + chest_axes @ np.array([-0.004 * h, 0.0, 0.012 * h])
    skull = neck + neck_axes @ np.array([0.008 * h, 0.0, 0.045 * h])
    head = skull + head_axes @ np.array([0.014 * h, 0.0, 0.062 * h])

    half_shoulders = 0.104 * h * body.shoulders
    shoulders = np.stack(
        [chest + chest_axes @ np.array([0.0, s * half_shoulders, pose.hike_m[i]]) for i, s in enumerate(SIDES)]
    )
    half_hips = 0.050 * h * body.hips
    hips = np.stack([pelvis_axes @ np.array([0.0, s * half_hips, 0.0]) for s in SIDES])

    # the trunk rests on the floor, never under it
    thick = 0.060 * h * body.girth
    low_points = np.array([*(hips[:, 2] - 0.85 * thick), *(shoulders[:, 2] - 0.035 * h), head[2] - 0.050 * h])
    trunk_low = min(float(low_points.min()), float(-thick), float(middle[2] - 0.95 * thick), float(chest[2] - thick))
    low = float(pose.pelvis_m[2]) + trunk_low
    origin = pose.pelvis_m.copy()
    origin[2] -= min(low, 0.0) + max(low, 0.0) * float(pose.grounded)
    waist, middle, chest, neck, skull, head = (p + origin for p in (waist, middle, chest, neck, skull, head))
    shoulders, hips = shoulders + origin, hips + origin

    elbows, wrists, palms = _arms(pose, h, shoulders, chest, chest_axes, head, head_axes)
    knees, ankles, toes = _legs(pose, body, hips, origin, pelvis_axes, yaw_axes)
    return Skeleton(
        pelvis=origin,
        waist=waist,
        chest=middle,
        neck=neck,
        skull=skull,
        head=head,
        shoulders=shoulders,
        elbows=elbows,
        wrists=wrists,
        palms=palms,
        hips=hips,
        knees=knees,
        ankles=ankles,
        toes=toes,
        pelvis_axes=pelvis_axes,
        waist_axes=waist_axes,
        chest_axes=chest_axes,
        head_axes=head_axes,
    )

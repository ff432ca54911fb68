"""`render_clip`: an activity, a person, a room and a camera, put together by a seed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stan_train.synthetic.motion.activities import ACTIVITIES, PLANS
from stan_train.synthetic.motion.body import Array, Physique, random_physique
from stan_train.synthetic.motion.script import Motion, Plan
from stan_train.synthetic.motion.skeleton import Skeleton, solve
from stan_train.synthetic.render.backdrop import Backdrop, render_room
from stan_train.synthetic.render.camera import Camera, FloatImage, random_mount
from stan_train.synthetic.render.figure import dress
from stan_train.synthetic.render.looks import Looks, random_looks
from stan_train.synthetic.render.movers import Mover, random_mover
from stan_train.synthetic.render.parts import Parts
from stan_train.synthetic.render.raycast import into_camera, trace
from stan_train.synthetic.render.room import random_room
from stan_train.synthetic.render.sensor import (
    Image,
    Sensor,
    develop,
    expose,
    noise_pool,
    random_sensor,
    vignette_map,
)
from stan_train.synthetic.render.shading import Light, shade
from stan_train.synthetic.render.shadow import floor_shadow

_SHUTTER_S = 1.0 / 40.0
_BLUR_FROM_PX = 2.5  # how far a joint moves while the shutter is open before a second subframe is worth its time
# how much larger than the frame a picture is rendered, by the pixels of the frame: large ones have finer edges anyway
_SUPERSAMPLING = ((320 * 240, 1.5), (640 * 480, 1.25), (1280 * 720, 1.0))


@dataclass(frozen=True)
class SyntheticClip:
    """A synthetic clip of L frames with exact labels.

    frames: uint8 [L, H, W, 3], RGB. times_s: float64 [L]. label: one of ACTIVITIES. important: bool [L], True where
    the activity itself is visible. boxes_px: float32 [L, 4], x0 y0 x1 y1 around the body, clipped to the frame; NaN
    where nobody is visible. masks: uint8 [L, H, ceil(W / 8)], the body's visible pixels as packed bits. description:
    what happens, for humans.
    """

    frames: npt.NDArray[np.uint8]
    times_s: npt.NDArray[np.float64]
    label: str
    important: npt.NDArray[np.bool_]
    boxes_px: npt.NDArray[np.float32]
    masks: npt.NDArray[np.uint8]
    description: str


def render_clip(
    activity: str,
    seed: int,
    *,
    duration_s: float = 6.0,
    fps: float = 10.0,
    size_px: tuple[int, int] = (320, 240),
) -> SyntheticClip:
    """Renders `activity` as the seed decides; the same arguments give the same bits.

    Scene and motion depend on activity, seed and duration alone: another fps or size (width, height) shows the same
    event. Raises ValueError for an unknown activity, a negative seed, a duration outside 2..600 s, an fps outside
    1..120, or a size outside 160x120..1280x720.
    """
    _check(activity, seed, duration_s, fps, size_px)
    streams = [np.random.default_rng([seed, ACTIVITIES.index(activity), i]) for i in range(6)]
    body = random_physique(streams[0])
    looks = random_looks(streams[0], body)
    plan = PLANS[activity](streams[1], body, duration_s)
    action = _joints_of(plan, body, duration_s)
    azimuth = float(streams[2].uniform(-np.pi, np.pi))
    if plan.pose_at is not None and streams[2].random() < 0.45:  # cameras watch from the front more than from behind
        facing = float(plan.pose_at(0.6 * duration_s).yaw_rad)
        azimuth = facing + float(streams[2].normal(0.0, 0.7))
    mount = random_mount(streams[2], action, azimuth)
    room = random_room(streams[3], mount, action, plan.props, azimuth)
    mover = random_mover(streams[4], action[:, :2])

    width, height = size_px
    scale = next(scale for limit_px, scale in _SUPERSAMPLING if width * height <= limit_px)
    camera = mount.camera(4 * round(width * scale / 4), 4 * round(height * scale / 4))
    rays = camera.rays()
    backdrop = render_room(room, camera, rays)
    sensor = random_sensor(streams[5], _mean_luminance(backdrop))
    vignette = vignette_map(sensor, camera.width_px, camera.height_px)
    empty = develop(backdrop.colour, sensor, vignette)
    studio = Studio(camera, rays, backdrop, room.light, sensor, vignette, empty, looks, body, mover)
    pool = noise_pool(streams[5], width, height)

    count = max(1, round(duration_s * fps))
    times = np.arange(count) / fps
    frames = np.empty((count, height, width, 3), np.uint8)
    boxes = np.full((count, 4), np.nan, np.float32)
    masks = np.zeros((count, height, -(-width // 8)), np.uint8)
    for i, t_s in enumerate(times):
        picture, box, body_mask = studio.render(float(t_s), plan.pose_at)
        grain = np.random.default_rng([seed, ACTIVITIES.index(activity), 6, i])
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        frames[i] = expose(small, sensor, pool, float(t_s), grain)
        if box is not None:
            shift = sensor.shift_px(float(t_s), width)
            boxes[i] = _in_frame(
                box * (np.array([width, height] * 2) / np.array([*picture.shape[1::-1]] * 2)), shift, size_px
            )
            masks[i] = np.packbits(_mask_in_frame(body_mask, shift, size_px), axis=1)
    important = np.zeros(count, bool)
    for start_s, end_s in plan.important_s:
        important |= (times >= start_s) & (times <= end_s)
    text = f"{plan.description}; camera {mount.position_m[2]:.1f} m high"
    return SyntheticClip(frames, times, activity, important, boxes, masks, text)


def _check(activity: str, seed: int, duration_s: float, fps: float, size_px: tuple[int, int]) -> None:
    if activity not in ACTIVITIES:
        raise ValueError(f"activity is {activity!r}: it must be one of {', '.join(ACTIVITIES)}")
    if seed < 0:
        raise ValueError(f"seed is {seed}: it must not be negative")
    if not 2.0 <= duration_s <= 600.0:
        raise ValueError(f"duration_s is {duration_s}: it must be from 2 to 600 seconds")
    if not 1.0 <= fps <= 120.0:
        raise ValueError(f"fps is {fps}: it must be from 1 to 120 frames per second")
    if len(size_px) != 2 or not (160 <= size_px[0] <= 1280 and 120 <= size_px[1] <= 720):
        raise ValueError(f"size_px is {size_px}: it must be (width, height) from (160, 120) to (1280, 720)")


def _joints_of(plan: Plan, body: Physique, duration_s: float) -> Array:
    """Joints along the whole action, for framing and for keeping furniture away. [N, 3]"""
    if plan.pose_at is None:
        return np.array([[x, y, z] for x in (-0.6, 0.6) for y in (-0.6, 0.6) for z in (0.0, 1.7)])
    moments = np.arange(0.0, duration_s, 0.25)
    return np.concatenate([solve(plan.pose_at(float(t)), body).outline for t in moments])


def _mean_luminance(backdrop: Backdrop) -> float:
    return float(np.minimum(backdrop.colour, 1.0).mean())


def _in_frame(box: Array, shift: tuple[float, float], size_px: tuple[int, int]) -> npt.NDArray[np.float32]:
    moved = box + np.array([*shift, *shift])
    return np.asarray(np.clip(moved, 0.0, np.array([*size_px, *size_px])), np.float32)


def _mask_in_frame(mask: npt.NDArray[np.bool_], shift: tuple[float, float], size_px: tuple[int, int]) -> Image:
    share = cv2.resize(mask.astype(np.uint8) * 255, size_px, interpolation=cv2.INTER_AREA)
    if shift != (0.0, 0.0):
        share = cv2.warpAffine(share, np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]), size_px)
    return np.asarray(share > 127, np.uint8)


@dataclass(frozen=True)
class Studio:
    """All that stays the same from frame to frame."""

    camera: Camera
    rays: FloatImage
    backdrop: Backdrop
    light: Light
    sensor: Sensor
    vignette: FloatImage
    empty: Image
    looks: Looks
    body: Physique
    mover: Mover

    def render(self, t_s: float, pose_at: Motion | None) -> tuple[Image, Array | None, npt.NDArray[np.bool_]]:
        """The picture at a moment [H, W, 3], the body's box (None where nobody is visible) and mask [H, W]."""
        if pose_at is None:
            return self._still(t_s, None)
        opened, closed = (
            solve(pose_at(t), self.body) for t in (max(0.0, t_s - 0.5 * _SHUTTER_S), t_s + 0.5 * _SHUTTER_S)
        )
        moved = self.camera.project(opened.outline) - self.camera.project(closed.outline)
        fastest = float(np.nan_to_num(np.linalg.norm(moved, axis=1)).max())
        picture, box, mask = self._still(t_s, solve(pose_at(t_s), self.body))
        if fastest > _BLUR_FROM_PX * self.camera.width_px / 480:
            first, _, _ = self._still(t_s, opened)
            last, _, _ = self._still(t_s, closed)
            picture = cv2.addWeighted(picture, 0.5, cv2.addWeighted(first, 0.5, last, 0.5, 0.0), 0.5, 0.0)
        return picture, box, mask

    def _still(self, t_s: float, skeleton: Skeleton | None) -> tuple[Image, Array | None, npt.NDArray[np.bool_]]:
        picture = self.empty.copy()
        self.mover.relight(picture, self.backdrop, t_s)
        nobody = np.zeros(picture.shape[:2], bool)
        parts = Parts() if skeleton is None else dress(skeleton, self.body, self.looks)
        own = len(parts.material)
        self.mover.add_parts(parts, t_s)
        if not parts.material:
            return picture, None, nobody
        packed = parts.packed()
        _darken(picture, floor_shadow(packed, self.light, self.camera), self.backdrop)
        seen = into_camera(packed, self.camera)
        depth, owner = trace(seen, self.rays, self.backdrop.depth_m)
        rows, columns = np.nonzero(owner >= 0)
        if len(rows):
            mine, ray, far = owner[rows, columns], self.rays[rows, columns], depth[rows, columns]
            colours = shade(seen, parts.material, mine, ray, far, self.light, self.camera)
            picture[rows, columns] = develop(colours, self.sensor, self.vignette[rows, columns])
        boxes = seen.boxes_px[:own]
        boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
        mask = (owner >= 0) & (owner < own)
        if not len(boxes) or not mask.any():
            return picture, None, nobody
        return picture, np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)]).astype(np.float64), mask


def _darken(picture: Image, share: FloatImage, backdrop: Backdrop) -> None:
    """Takes the shadow's share [h, w] of light from the floor of the picture, in place."""
    rows, columns = np.flatnonzero(share.max(axis=1) > 0.01), np.flatnonzero(share.max(axis=0) > 0.01)
    if not len(rows):
        return
    coarse = picture.shape[0] / share.shape[0]
    y0, y1 = int(rows[0] * coarse), int((rows[-1] + 1) * coarse)
    x0, x1 = int(columns[0] * coarse), int((columns[-1] + 1) * coarse)
    part = share[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    fine = cv2.resize(part, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR) * backdrop.floor[y0:y1, x0:x1]
    left = (1.0 - fine) ** (1.0 / 2.2)
    picture[y0:y1, x0:x1] = picture[y0:y1, x0:x1] * left[..., None]

"""The pinhole camera: where it hangs, what it looks at, and the rays of its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stan_train.synthetic.motion.body import Array

FloatImage = npt.NDArray[np.float32]
DESIGN_ASPECT = 0.6  # sine of the diagonal's angle at 4:3: framing is decided for it, whatever the picture's size


@dataclass(frozen=True)
class Camera:
    """position_m [3] in the world; axes [3, 3], rows are right, down and forward in the world; focal and size in px."""

    position_m: Array
    axes: Array
    focal_px: float
    width_px: int
    height_px: int

    def to_camera(self, points_m: Array) -> Array:
        """World points in camera axes (right, down, forward). [..., 3] -> [..., 3]"""
        return np.asarray((points_m - self.position_m) @ self.axes.T)

    def project(self, points_m: Array) -> Array:
        """World points -> pixels [..., 2]; NaN for points behind the picture plane."""
        p = self.to_camera(points_m)
        depth = np.where(p[..., 2:] > 0.1, p[..., 2:], np.nan)
        centre = np.array([0.5 * self.width_px, 0.5 * self.height_px])
        return np.asarray(p[..., :2] / depth * self.focal_px + centre)

    def rays(self) -> FloatImage:
        """Unit ray of every pixel, in camera axes. [H, W, 3]"""
        x = (np.arange(self.width_px, dtype=np.float32) + 0.5 - 0.5 * self.width_px) / self.focal_px
        y = (np.arange(self.height_px, dtype=np.float32) + 0.5 - 0.5 * self.height_px) / self.focal_px
        rays = np.ones((self.height_px, self.width_px, 3), np.float32)
        rays[..., 0] = x[None, :]
        rays[..., 1] = y[:, None]
        return np.asarray(rays / np.linalg.norm(rays, axis=2, keepdims=True), np.float32)


@dataclass(frozen=True)
class Mount:
    """A camera before the size of its picture is known."""

    position_m: Array
    axes: Array
    diagonal_fov_rad: float

    def camera(self, width_px: int, height_px: int) -> Camera:
        focal_px = 0.5 * float(np.hypot(width_px, height_px)) / float(np.tan(0.5 * self.diagonal_fov_rad))
        return Camera(self.position_m, self.axes, focal_px, width_px, height_px)


def look_at(position_m: Array, target_m: Array, roll_rad: float) -> Array:
    """Camera axes (rows right, down, forward) of a camera at `position_m` that looks at `target_m`."""
    forward = target_m - position_m
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right = right / np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll_rad), np.sin(roll_rad)
    return np.stack([c * right + s * down, -s * right + c * down, forward])


def random_mount(rng: np.random.Generator, action_m: Array, azimuth_rad: float) -> Mount:
    """A camera 1.0 to 2.8 m high and 2 to 6 m from the action's joints [N, 3], at the given side of them.

    The whole action fits the picture in most draws; in some it is cut off, as with real cameras.
    """
    low, high = action_m.min(axis=0), action_m.max(axis=0)
    centre = 0.5 * (low + high)
    extent_m = max(1.7, 0.6 * float(np.hypot(high[0] - low[0], high[1] - low[1])), float(high[2] - low[2]))
    fov_rad = float(np.radians(rng.uniform(60.0, 100.0)))
    half_height = DESIGN_ASPECT * np.tan(0.5 * fov_rad)  # of the picture, at distance 1
    fill = rng.uniform(0.5, 0.98) if rng.random() > 0.15 else rng.uniform(0.98, 1.35)
    distance_m = float(np.clip(extent_m / (2.0 * half_height * fill), 2.0, 6.0))
    height_m = float(rng.uniform(1.0, 2.8))
    position = np.array(
        [centre[0] + distance_m * np.cos(azimuth_rad), centre[1] + distance_m * np.sin(azimuth_rad), height_m]
    )
    slack = max(0.0, 1.0 - fill) * half_height * distance_m
    target = centre + np.array([*rng.uniform(-0.5, 0.5, 2), rng.uniform(-0.6, 0.5)]) * slack
    target[2] = np.clip(target[2], 0.45, 1.3)
    return Mount(position, look_at(position, target, float(rng.normal(0.0, 0.02))), fov_rad)

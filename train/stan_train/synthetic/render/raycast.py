"""Which part each pixel shows: the ray of a pixel meets round cones and ellipsoids exactly.

A z-buffer, part by part inside its bounding box. Depth is the distance along the ray.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stan_train.synthetic.motion.body import Array
from stan_train.synthetic.render.camera import Camera, FloatImage
from stan_train.synthetic.render.parts import Packed

IntImage = npt.NDArray[np.int16]
_NEAREST_M = 0.15
_SMALLEST_PX = 0.4


@dataclass(frozen=True)
class CameraParts:
    """Parts moved into camera axes, as arrays over the parts: centre [N, 3], axes [N, 3, 3], radii [N, 3]."""

    centre: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]
    radii: npt.NDArray[np.float32]
    is_cone: npt.NDArray[np.bool_]
    boxes_px: npt.NDArray[np.int64]  # [N, 4] x0 y0 x1 y1, empty when x1 <= x0


def into_camera(parts: Packed, camera: Camera) -> CameraParts:
    """Parts in camera axes, with the pixels each of them can cover; parts too small to be seen cover none."""
    centre, end = camera.to_camera(parts.centre), camera.to_camera(parts.end)
    axes = np.einsum("ij,njk->nik", camera.axes, parts.axes)
    radii, is_cone = parts.radii, parts.is_cone
    # half extents along the camera axes: of an ellipsoid about its centre, of a cone about both end balls
    ellipsoid_half = np.sqrt(np.einsum("nij,nj->ni", axes**2, radii**2))
    cone = is_cone[:, None]
    low = np.where(cone, np.minimum(centre - radii[:, :1], end - radii[:, 1:2]), centre - ellipsoid_half)
    high = np.where(cone, np.maximum(centre + radii[:, :1], end + radii[:, 1:2]), centre + ellipsoid_half)
    thickness = np.where(is_cone, np.maximum(radii[:, 0], radii[:, 1]), radii.max(axis=1))
    seen = (low[:, 2] > _NEAREST_M) & (thickness * camera.focal_px > _SMALLEST_PX * low[:, 2])
    near, far = np.maximum(low[:, 2:], _NEAREST_M), np.maximum(high[:, 2:], _NEAREST_M)
    half_px = np.array([0.5 * camera.width_px, 0.5 * camera.height_px])
    low_px = np.minimum(low[:, :2] / near, low[:, :2] / far) * camera.focal_px + half_px
    high_px = np.maximum(high[:, :2] / near, high[:, :2] / far) * camera.focal_px + half_px
    size = np.array([camera.width_px, camera.height_px])
    x0y0 = np.clip(np.floor(low_px), 0, size)
    x1y1 = np.where(seen[:, None], np.clip(np.ceil(high_px) + 1, 0, size), 0)
    boxes = np.concatenate([x0y0, x1y1], axis=1).astype(np.int64)
    as_float = np.float32
    return CameraParts(centre.astype(as_float), axes.astype(as_float), radii.astype(as_float), is_cone, boxes)


def _meet_ellipsoid(rays: FloatImage, centre: Array, axes: Array, radii: Array) -> FloatImage:
    """Distance along unit rays from the origin to an ellipsoid; infinite where missed."""
    to_ball = (axes / radii).T  # world -> unit ball
    start = -(to_ball @ centre)
    d = rays.reshape(-1, 3) @ to_ball.T
    a = np.einsum("ij,ij->i", d, d)
    b = d @ start
    discriminant = b * b - a * np.float32(start @ start - 1.0)
    root = np.sqrt(np.maximum(discriminant, 0.0))
    t = np.where(discriminant > 0.0, (-b - root) / a, np.float32(np.inf))
    return np.asarray(t.reshape(rays.shape[:2]))


def _meet_cone(rays: FloatImage, a: Array, axis: Array, r0: float, r1: float, length: float) -> FloatImage:
    """Distance along unit rays from the origin to a round cone (Quilez's intersection); infinite where missed."""
    d = rays.reshape(-1, 3)
    ba = axis * length
    oa = -a
    m0, m1, m5 = float(ba @ ba), float(ba @ oa), float(oa @ oa)
    m2, m3 = d @ ba, d @ oa
    rr = r0 - r1
    d2 = m0 - rr * rr
    k2 = d2 - m2 * m2
    k1 = d2 * m3 + (rr * r0 - m1) * m2
    k0 = d2 * m5 - m1 * m1 + m1 * rr * r0 * 2.0 - m0 * r0 * r0
    h = k1 * k1 - k0 * k2
    met = np.full(len(d), np.inf, np.float32)
    hit = np.flatnonzero(h >= 0.0)
    m2, m3, k2 = m2[hit], m3[hit], k2[hit]
    t = -(np.sqrt(h[hit]) + k1[hit]) / np.where(np.abs(k2) < 1e-9, 1e-9, k2)
    y = m1 - r0 * rr + t * m2
    off_side = np.flatnonzero((y <= 0.0) | (y >= d2))
    if len(off_side):
        m3 = m3[off_side]
        m6 = m3 - m2[off_side]  # towards the other end
        m7 = m5 - 2.0 * m1 + m0
        h1, h2 = m3 * m3 - (m5 - r0 * r0), m6 * m6 - (m7 - r1 * r1)
        far = np.float32(np.inf)
        ball0 = np.where(h1 > 0.0, -m3 - np.sqrt(np.maximum(h1, 0.0)), far)
        ball1 = np.where(h2 > 0.0, -m6 - np.sqrt(np.maximum(h2, 0.0)), far)
        t[off_side] = np.minimum(ball0, ball1)
    met[hit] = t
    return met.reshape(rays.shape[:2])


def trace(parts: CameraParts, rays: FloatImage, scene_depth_m: FloatImage) -> tuple[FloatImage, IntImage]:
    """Nearest part of every pixel: depth along the ray [H, W] and part number [H, W], -1 where the scene shows."""
    depth = scene_depth_m.copy()
    owner = np.full(depth.shape, -1, np.int16)
    for i, (x0, y0, x1, y1) in enumerate(parts.boxes_px):
        if x1 <= x0 or y1 <= y0:
            continue
        window = rays[y0:y1, x0:x1]
        centre, axes, radii = parts.centre[i], parts.axes[i], parts.radii[i]
        if parts.is_cone[i]:
            t = _meet_cone(window, centre, axes[:, 2], float(radii[0]), float(radii[1]), float(radii[2]))
        else:
            t = _meet_ellipsoid(window, centre, axes, radii)
        nearer = t < depth[y0:y1, x0:x1]
        depth[y0:y1, x0:x1][nearer] = t[nearer]
        owner[y0:y1, x0:x1][nearer] = i
    return depth, owner

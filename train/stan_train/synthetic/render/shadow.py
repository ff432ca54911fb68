"""The soft shadow of a body on the floor."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stan_train.synthetic.motion.body import Array
from stan_train.synthetic.render.camera import Camera, FloatImage
from stan_train.synthetic.render.parts import Packed
from stan_train.synthetic.render.shading import Light

_COARSE = 4  # shadows are soft: they are drawn at a quarter of the picture's size


def floor_shadow(parts: Packed, light: Light, camera: Camera) -> FloatImage:
    """Share of the light that the parts take from the floor, where floor is seen. [H / 4, W / 4]"""
    height, width = camera.height_px // _COARSE, camera.width_px // _COARSE
    cast = np.zeros((height, width), np.uint8)
    contact = np.zeros((height, width), np.uint8)
    radii = parts.radii
    thick_m = np.where(parts.is_cone, radii[:, 0] + radii[:, 1], radii.sum(axis=1) * (2.0 / 3.0))
    large = thick_m > 0.055  # features of the face and fingers cast none of their own
    start, end, thick_m = parts.centre[large], parts.end[large], thick_m[large]
    slope = light.direction[:2] / light.direction[2]
    _capsules(cast, start[:, :2] - slope * start[:, 2:], end[:, :2] - slope * end[:, 2:], thick_m, camera, None)
    near_floor = np.clip(1.0 - np.minimum(start[:, 2], end[:, 2]) / 0.5, 0.0, 1.0)
    _capsules(contact, start[:, :2], end[:, :2], thick_m * 1.25, camera, near_floor)
    metre_px = camera.focal_px / max(2.0, float(np.linalg.norm(camera.position_m - start.mean(axis=0)))) / _COARSE
    sharp = float(np.clip(light.key.mean() / (light.key.mean() + light.ambient.mean()), 0.1, 0.8))
    cast_soft = cv2.GaussianBlur(cast, (0, 0), max(0.6, 0.05 * metre_px)).astype(np.float32) / 255.0
    contact_soft = cv2.GaussianBlur(contact, (0, 0), max(0.6, 0.045 * metre_px)).astype(np.float32) / 255.0
    return np.asarray(1.0 - (1.0 - 0.62 * sharp * cast_soft) * (1.0 - 0.6 * contact_soft), np.float32)


def _capsules(
    canvas: npt.NDArray[np.uint8], a: Array, b: Array, thick_m: Array, camera: Camera, strength: Array | None
) -> None:
    """Draws lines on the floor, seen by the camera, with their thickness in metres; the strongest one wins."""
    a_px, b_px = (camera.project(np.concatenate([p, np.zeros((len(p), 1))], axis=1)) / _COARSE for p in (a, b))
    depth = camera.to_camera(np.concatenate([a, np.zeros((len(a), 1))], axis=1))[:, 2]
    order = range(len(a)) if strength is None else np.argsort(strength)
    for i in order:
        value = 255 if strength is None else int(255 * strength[i])
        ends = np.concatenate([a_px[i], b_px[i]])
        if value == 0 or depth[i] < 0.3 or np.isnan(ends).any() or np.abs(ends).max() > 4000:
            continue
        # seen at a slant, a round shadow is flatter than wide: half the thickness keeps the feet on the ground
        thick = max(1, round(0.75 * float(thick_m[i]) * camera.focal_px / float(depth[i]) / _COARSE))
        x0, y0, x1, y1 = (int(v * 16) for v in ends)
        cv2.line(canvas, (x0, y0), (x1, y1), value, min(thick, 200), cv2.LINE_8, 4)

"""Normals, cloth and light, computed once for the pixels that show somebody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stan_train.synthetic.motion.body import Array
from stan_train.synthetic.render.camera import Camera, FloatImage
from stan_train.synthetic.render.parts import Material
from stan_train.synthetic.render.raycast import CameraParts


@dataclass(frozen=True)
class Light:
    """direction [3] points to the lamp, in the world; colours are linear RGB [3]; ambient comes from above more than
    from below."""

    direction: Array
    key: Array
    ambient: Array


def _cloth(kind: str, q: FloatImage, pitch_m: float) -> FloatImage:
    """Share of the second colour at local points q [N, 3] (z along the part). [N, 1]"""
    along, across = q[:, 2] / pitch_m, q[:, 1] / pitch_m
    if kind == "hoops":
        share = np.sin(2.0 * np.pi * along) > 0.2
    elif kind == "stripes":
        share = np.sin(2.0 * np.pi * across) > 0.3
    elif kind == "checks":
        share = 0.5 * ((along % 1.0) < 0.4) + 0.5 * ((across % 1.0) < 0.4)
    elif kind == "melange":
        share = 0.25 + 0.25 * np.sin(9.1 * along + 7.3 * across) * np.sin(11.3 * across - 5.9 * along)
    else:
        share = np.zeros(len(q))
    return np.asarray(share, np.float32)[:, None]


def shade(
    parts: CameraParts,
    materials: list[Material],
    owner: npt.NDArray[np.int16],
    rays: FloatImage,
    depth_m: FloatImage,
    light: Light,
    camera: Camera,
) -> FloatImage:
    """Linear colour of the points at depth_m [N] along rays [N, 3] that belong to parts `owner` [N]. [N, 3]"""
    points = rays * depth_m[:, None]
    # separate components: batches of 3x3 products take three times as long
    axes = [[parts.axes[:, i, j][owner] for j in range(3)] for i in range(3)]
    x, y, z = (points - parts.centre[owner]).T
    q = np.stack([axes[0][j] * x + axes[1][j] * y + axes[2][j] * z for j in range(3)], axis=1)
    radii = parts.radii[owner]
    cone = parts.is_cone[owner]
    rr = radii[:, 0] - radii[:, 1]
    length = radii[:, 2]
    foot = length * np.clip((q[:, 2] * length - radii[:, 0] * rr) / np.maximum(length**2 - rr**2, 1e-6), 0.0, 1.0)
    local = np.where(cone[:, None], q, q / radii**2)
    local[:, 2] -= np.where(cone, foot, 0.0)
    local /= _norm(local)

    kinds = list(dict.fromkeys(materials))
    kind = np.array([kinds.index(m) for m in materials], np.int16)[owner]
    colour = np.array([m.colour for m in kinds], np.float32)[kind]
    for number, material in enumerate(kinds):
        if material.pattern == "plain":
            continue
        mine = np.flatnonzero(kind == number)
        first, second = np.array(material.colour, np.float32), np.array(material.second, np.float32)
        colour[mine] = first + _cloth(material.pattern, q[mine], material.pitch_m) * (second - first)
    folds = np.array([m.folds for m in kinds], np.float32)[kind]
    wave = np.sin(41.0 * q[:, 2] + 13.0 * q[:, 1]) + np.sin(23.0 * q[:, 2] - 31.0 * q[:, 1] + 17.0 * q[:, 0])
    local[:, 2] += folds * wave
    normals = np.stack(
        [axes[i][0] * local[:, 0] + axes[i][1] * local[:, 1] + axes[i][2] * local[:, 2] for i in range(3)], 1
    )
    normals /= _norm(normals)

    facing = np.maximum(-np.einsum("ij,ij->i", normals, rays), 0.0)
    to_lamp = (camera.axes @ light.direction).astype(np.float32)
    up = (camera.axes @ np.array([0.0, 0.0, 1.0])).astype(np.float32)
    lambert = np.clip(normals @ to_lamp * 0.85 + 0.15, 0.0, 1.0)[:, None]
    from_above = (0.72 + 0.28 * (normals @ up))[:, None]
    # light is lost near the floor and where the body curves away from the eye: stands in for ambient occlusion
    height_m = points @ up + np.float32(camera.position_m[2])
    open_sky = (0.62 + 0.38 * np.clip(height_m / 0.35, 0.0, 1.0)) * (0.7 + 0.3 * facing)
    key = light.key.astype(np.float32)
    lit = colour * (light.ambient.astype(np.float32) * from_above + key * lambert) * open_sky[:, None]
    shine = np.array([m.shine for m in kinds], np.float32)[kind]
    half = to_lamp - rays
    gloss = np.maximum(np.einsum("ij,ij->i", normals, half / _norm(half)), 0.0)
    for _ in range(4):  # to the 16th power
        gloss = gloss * gloss
    return np.asarray(lit + (shine * gloss)[:, None] * key, np.float32)


def _norm(vectors: FloatImage) -> FloatImage:
    """Lengths, never zero. [N, 3] -> [N, 1]"""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) + np.float32(1e-9))[:, None]

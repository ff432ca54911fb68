"""The rasteriser of people: every body part is a round cone or an ellipsoid, met exactly by the ray of each pixel.

Two passes: `trace` finds the nearest part in each pixel with a z-buffer, part by part inside its bounding box; `shade`
then computes normals, cloth and light once, for the pixels that show somebody. Depth is the distance along the ray.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stan_train.synthetic.body import Array
from stan_train.synthetic.camera import Camera, FloatImage

IntImage = npt.NDArray[np.int16]
_NEAREST_M = 0.15
_SMALLEST_PX = 0.4


@dataclass(frozen=True)
class Material:
    """Colours are linear RGB in 0..1; pattern: plain, hoops, stripes, checks, melange or face; pitch_m: its period."""

    colour: tuple[float, float, float]
    second: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    pitch_m: float = 0.05
    folds: float = 0.0
    shine: float = 0.0


@dataclass
class Parts:
    """Body parts in the world, in the order they were added."""

    material: list[Material] = field(default_factory=list)
    _ellipsoids: list[tuple[int, Array, Array, tuple[float, float, float]]] = field(default_factory=list)
    _cones: list[tuple[int, Array, Array, float, float, Array]] = field(default_factory=list)

    def ellipsoid(self, centre: Array, axes: Array, radii: tuple[float, float, float], material: Material) -> None:
        """Radii are along the columns of `axes`."""
        self._ellipsoids.append((len(self.material), centre, axes, radii))
        self.material.append(material)

    def cone(self, a: Array, b: Array, radius_a: float, radius_b: float, material: Material, front: Array) -> None:
        """A round cone from `a` to `b`; `front` fixes where its pattern starts around the axis."""
        self._cones.append((len(self.material), a, b, radius_a, radius_b, front))
        self.material.append(material)

    def packed(self) -> Packed:
        """The parts as arrays."""
        n = len(self.material)
        centre, end, axes, radii = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, 3, 3)), np.ones((n, 3))
        is_cone = np.zeros(n, bool)
        if self._ellipsoids:
            index = [e[0] for e in self._ellipsoids]
            centre[index] = end[index] = np.array([e[1] for e in self._ellipsoids])
            axes[index] = np.array([e[2] for e in self._ellipsoids])
            radii[index] = np.array([e[3] for e in self._ellipsoids])
        if self._cones:
            index = [c[0] for c in self._cones]
            a, b = np.array([c[1] for c in self._cones]), np.array([c[2] for c in self._cones])
            r = np.array([c[3:5] for c in self._cones])
            way = b - a
            # an end that is swallowed by the other one is moved out of it, so that a cone remains
            length = np.sqrt(np.einsum("ni,ni->n", way, way))
            along = way / np.maximum(length, 1e-6)[:, None]
            length = np.maximum(length, np.abs(r[:, 0] - r[:, 1]) + 2e-3)
            side = np.cross(along, np.array([c[5] for c in self._cones]) + np.array([1.1e-3, 2.3e-3, 3.1e-3]))
            side /= np.sqrt(np.einsum("ni,ni->n", side, side))[:, None]
            centre[index], end[index] = a, a + along * length[:, None]
            axes[index] = np.stack([np.cross(side, along), side, along], axis=2)
            radii[index] = np.concatenate([r, length[:, None]], axis=1)
            is_cone[index] = True
        return Packed(centre, end, axes, radii, is_cone)


@dataclass(frozen=True)
class Packed:
    """Parts as arrays: centre and end [N, 3] (the ends of a cone), axes [N, 3, 3] with the cone's axis as third column,
    radii [N, 3] (x y z of an ellipsoid; both radii and the length of a cone)."""

    centre: Array
    end: Array
    axes: Array
    radii: Array
    is_cone: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Light:
    """direction [3] points to the lamp, in the world; colours are linear RGB [3]; ambient comes from above more than
    from below."""

    direction: Array
    key: Array
    ambient: Array


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

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
    """Body parts in the world. An ellipsoid has its centre, axes and radii; a round cone its first end as `centre`,
    its axis as the third column of `axes`, both radii and its length."""

    centre: list[Array] = field(default_factory=list)
    axes: list[Array] = field(default_factory=list)
    radii: list[tuple[float, float, float]] = field(default_factory=list)  # ellipsoid: x y z; cone: r0 r1 length
    is_cone: list[bool] = field(default_factory=list)
    material: list[Material] = field(default_factory=list)

    def ellipsoid(self, centre: Array, axes: Array, radii: tuple[float, float, float], material: Material) -> None:
        self.centre.append(centre)
        self.axes.append(axes)
        self.radii.append(radii)
        self.is_cone.append(False)
        self.material.append(material)

    def cone(self, a: Array, b: Array, radius_a: float, radius_b: float, material: Material, front: Array) -> None:
        """A round cone from `a` to `b`; `front` fixes where its pattern starts around the axis."""
        along = b - a
        length = float(np.linalg.norm(along))
        if length <= abs(radius_a - radius_b) + 1e-4:  # one end swallows the other
            r = max(radius_a, radius_b)
            self.ellipsoid(a if radius_a >= radius_b else b, np.eye(3), (r, r, r), material)
            return
        along = along / length
        side = np.cross(along, front)
        norm = float(np.linalg.norm(side))
        side = side / norm if norm > 1e-3 else np.cross(along, (0.36, 0.48, 0.8))
        self.centre.append(a)
        self.axes.append(np.stack([np.cross(side, along), side, along], axis=1))
        self.radii.append((radius_a, radius_b, length))
        self.is_cone.append(True)
        self.material.append(material)


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


def into_camera(parts: Parts, camera: Camera) -> CameraParts:
    """Parts in camera axes, with the pixels each of them can cover."""
    centre = camera.to_camera(np.stack(parts.centre))
    axes = np.einsum("ij,njk->nik", camera.axes, np.stack(parts.axes))
    radii = np.array(parts.radii)
    is_cone = np.array(parts.is_cone)
    # half extents along the camera axes: of an ellipsoid about its centre, of a cone about both end balls
    ellipsoid_half = np.sqrt(np.einsum("nij,nj->ni", axes**2, radii**2))
    end = centre + axes[:, :, 2] * radii[:, 2:]
    cone = is_cone[:, None]
    low = np.where(cone, np.minimum(centre - radii[:, :1], end - radii[:, 1:2]), centre - ellipsoid_half)
    high = np.where(cone, np.maximum(centre + radii[:, :1], end + radii[:, 1:2]), centre + ellipsoid_half)
    seen = low[:, 2] > _NEAREST_M
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
    oa, ob = -a, -(a + ba)
    m0, m1, m5, m7 = float(ba @ ba), float(ba @ oa), float(oa @ oa), float(ob @ ob)
    m2, m3, m6 = d @ ba, d @ oa, d @ ob
    rr = r0 - r1
    d2 = m0 - rr * rr
    k2 = d2 - m2 * m2
    k1 = d2 * m3 - m1 * m2 + m2 * (rr * r0)
    k0 = d2 * m5 - m1 * m1 + m1 * rr * r0 * 2.0 - m0 * r0 * r0
    h = k1 * k1 - k0 * k2
    far = np.float32(np.inf)
    t = np.where(h >= 0.0, (-np.sqrt(np.maximum(h, 0.0)) - k1) / np.where(np.abs(k2) < 1e-9, 1e-9, k2), far)
    y = m1 - r0 * rr + t * m2
    on_side = (h >= 0.0) & (y > 0.0) & (y < d2)
    h1 = m3 * m3 - (m5 - r0 * r0)
    h2 = m6 * m6 - (m7 - r1 * r1)
    ball0 = np.where(h1 > 0.0, -m3 - np.sqrt(np.maximum(h1, 0.0)), far)
    ball1 = np.where(h2 > 0.0, -m6 - np.sqrt(np.maximum(h2, 0.0)), far)
    met = np.where(on_side, t, np.where(h >= 0.0, np.minimum(ball0, ball1), far))
    return np.asarray(met.reshape(rays.shape[:2]), np.float32)


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
    points: FloatImage,
    light: Light,
    camera: Camera,
) -> FloatImage:
    """Linear colour of the points [N, 3] (camera axes) that belong to parts `owner` [N]. [N, 3]"""
    axes = parts.axes[owner]
    q = np.einsum("nji,nj->ni", axes, points - parts.centre[owner])
    radii = parts.radii[owner]
    cone = parts.is_cone[owner]
    rr = radii[:, 0] - radii[:, 1]
    length = radii[:, 2]
    foot = length * np.clip((q[:, 2] * length - radii[:, 0] * rr) / np.maximum(length**2 - rr**2, 1e-6), 0.0, 1.0)
    local = np.where(cone[:, None], q, q / radii**2)
    local[:, 2] -= np.where(cone, foot, 0.0)
    local /= np.linalg.norm(local, axis=1, keepdims=True) + 1e-9

    colour = np.empty_like(q)
    shine = np.zeros(len(q), np.float32)
    for material in dict.fromkeys(materials):
        numbers = [i for i, m in enumerate(materials) if m is material]
        mine = np.isin(owner, np.array(numbers, np.int16))
        if not mine.any():
            continue
        first, second = np.array(material.colour, np.float32), np.array(material.second, np.float32)
        at = q[mine]
        if material.pattern == "plain":
            colour[mine] = first
        else:
            share = _cloth(material.pattern, at, material.pitch_m)
            colour[mine] = first + share * (second - first)
        if material.folds > 0.0:
            wave = np.sin(41.0 * at[:, 2] + 13.0 * at[:, 1]) + np.sin(23.0 * at[:, 2] - 31.0 * at[:, 1] + 17.0 * at[:, 0])
            local[mine, 2] += material.folds * wave
        shine[mine] = material.shine
    normals = np.einsum("nij,nj->ni", axes, local)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9

    view = -points / np.linalg.norm(points, axis=1, keepdims=True)
    facing = np.clip(np.einsum("ij,ij->i", normals, view), 0.0, 1.0)
    to_lamp = (camera.axes @ light.direction).astype(np.float32)
    up = (camera.axes @ np.array([0.0, 0.0, 1.0])).astype(np.float32)
    lambert = np.clip(normals @ to_lamp * 0.85 + 0.15, 0.0, 1.0)[:, None]
    from_above = (0.72 + 0.28 * (normals @ up))[:, None]
    # light is lost near the floor and where the body curves away from the eye: stands in for ambient occlusion
    height_m = points @ up + np.float32(camera.position_m[2])
    open_sky = (0.62 + 0.38 * np.clip(height_m / 0.35, 0.0, 1.0)) * (0.7 + 0.3 * facing)
    radiance = light.ambient.astype(np.float32) * from_above + light.key.astype(np.float32) * lambert
    half = to_lamp + view
    half /= np.linalg.norm(half, axis=1, keepdims=True) + 1e-9
    gloss = shine * np.clip(np.einsum("ij,ij->i", normals, half), 0.0, 1.0) ** 24
    lit = colour * radiance * open_sky[:, None] + gloss[:, None] * light.key.astype(np.float32)
    return np.asarray(lit, np.float32)

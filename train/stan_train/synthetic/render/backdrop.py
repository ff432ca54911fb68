"""The empty room as the camera sees it, rendered once per clip: linear colours with a depth for each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stan_train.synthetic.motion.body import Array
from stan_train.synthetic.render.camera import Camera, FloatImage
from stan_train.synthetic.render.furniture import Box
from stan_train.synthetic.render.room import Room, turned
from stan_train.synthetic.render.surfaces import paint_floor, paint_hanging, paint_wall

BoolImage = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Backdrop:
    """The empty room in the camera: linear colour [H, W, 3], depth along the rays in metres [H, W], where the floor
    is seen [H, W], and where a lit screen is [H, W]."""

    colour: FloatImage
    depth_m: FloatImage
    floor: BoolImage
    screen: BoolImage


def _lit(colour: FloatImage, points: FloatImage, normal: Array, room: Room, normal_world: Array) -> FloatImage:
    """Lambert light of a lamp at the ceiling and of the room's key light on a plane."""
    to_lamp = room.lamp_m.astype(np.float32) - points
    far = np.linalg.norm(to_lamp, axis=1)
    cosine = np.clip(to_lamp @ normal.astype(np.float32) / far, 0.0, 1.0)
    near_lamp = 0.55 + 0.9 * cosine / (1.0 + 0.12 * far * far)
    key = max(0.15, float(normal_world @ room.light.direction))
    above = 0.75 + 0.25 * float(normal_world[2])
    radiance = room.light.ambient * above * 1.05 + room.light.key * (0.35 + 0.65 * key)
    return np.asarray(colour * near_lamp[:, None] * radiance.astype(np.float32), np.float32)


def _render_box(box: Box, camera: Camera, rays_world: FloatImage, room: Room, backdrop: Backdrop) -> None:
    """Renders one box into the backdrop where it is nearer."""
    c, s = np.cos(box.yaw_rad), np.sin(box.yaw_rad)
    axes = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])  # world -> box
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners = box.centre_m + (signs * box.half_m) @ axes
    pixels = camera.project(corners)
    height, width = backdrop.depth_m.shape
    if np.isnan(pixels).all():
        return
    if np.isnan(pixels).any():
        x0, y0, x1, y1 = 0, 0, width, height
    else:
        x0, y0 = (int(v) for v in np.clip(np.floor(pixels.min(axis=0)), 0, (width, height)))
        x1, y1 = (int(v) for v in np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, (width, height)))
    if x1 <= x0 or y1 <= y0:
        return
    d = rays_world[y0:y1, x0:x1].reshape(-1, 3) @ axes.T.astype(np.float32)
    o = (axes @ (camera.position_m - box.centre_m)).astype(np.float32)
    half = box.half_m.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / np.where(np.abs(d) < 1e-7, 1e-7, d)
    near3 = -o * inverse - half * np.abs(inverse)
    far = (-o * inverse + half * np.abs(inverse)).min(axis=1)
    face = near3.argmax(axis=1)
    near = near3.max(axis=1)
    window = (slice(y0, y1), slice(x0, x1))
    hit = (near < far) & (near > 0.1) & (near < backdrop.depth_m[window].ravel())
    if not hit.any():
        return
    index = np.flatnonzero(hit)
    t, face, d = near[index], face[index], d[index]
    local = o + t[:, None] * d
    sign = -np.sign(np.take_along_axis(d, face[:, None], axis=1)[:, 0])
    colour = np.tile(np.array(box.colour, np.float32), (len(index), 1))
    key = np.empty(len(index), np.float32)
    for axis in range(3):
        for way in (-1.0, 1.0):
            mine = (face == axis) & (sign == way)
            normal = axes[axis] * way
            key[mine] = max(0.0, float(normal @ room.light.direction)) * 0.9 + 0.1 * (0.5 + 0.5 * float(normal[2]))
    above = np.where(face == 2, 1.0 + 0.1 * sign, 0.8)
    grain = np.sin(local[:, 0] * 61 + 3 * np.sin(local[:, 1] * 23)) * np.sin(local[:, 2] * 47 + local[:, 1] * 31)
    edge = np.sort(half - np.abs(local), axis=1)[:, 1]  # distance to the nearest edge of the face
    soft = 1.0 - (0.28 if box.cloth else 0.16) * np.exp(-edge / (0.03 if box.cloth else 0.012))
    height_m = local[:, 2] + float(box.centre_m[2])
    ground = 0.55 + 0.45 * np.clip(height_m / 0.4, 0.0, 1.0)
    radiance = room.light.ambient.astype(np.float32) * (above * ground)[:, None]
    radiance = radiance + room.light.key.astype(np.float32) * key[:, None]
    colour *= ((1.0 + 0.06 * grain) * soft)[:, None]
    flat_depth, flat_colour = backdrop.depth_m[window].copy(), backdrop.colour[window].copy()
    flat_depth.reshape(-1)[index] = t
    flat_colour.reshape(-1, 3)[index] = colour * radiance
    backdrop.depth_m[window], backdrop.colour[window] = flat_depth, flat_colour
    backdrop.floor[window] &= ~hit.reshape(y1 - y0, x1 - x0)
    backdrop.screen[window] &= ~hit.reshape(y1 - y0, x1 - x0)


def _contact_shade(room: Room, x: Array, y: Array) -> FloatImage:
    """Light left on floor points of the world next to furniture. [N]"""
    left = np.ones(x.shape, np.float32)
    for box in room.boxes:
        bottom = float(box.centre_m[2] - box.half_m[2])
        if bottom > 0.6:
            continue
        c, s = np.cos(box.yaw_rad), np.sin(box.yaw_rad)
        dx, dy = x - box.centre_m[0], y - box.centre_m[1]
        out_x = np.maximum(np.abs(c * dx + s * dy) - box.half_m[0], 0.0)
        out_y = np.maximum(np.abs(-s * dx + c * dy) - box.half_m[1], 0.0)
        reach = 0.05 + 0.35 * min(1.0, float(box.half_m[:2].min()) * 3.0)
        left *= 1.0 - (0.45 - 0.5 * bottom) * np.exp(-(out_x + out_y) / reach)
    return np.asarray(np.maximum(left, 0.25), np.float32)


def _wall(room: Room, wall: int, at: FloatImage) -> tuple[FloatImage, BoolImage]:
    """Colour [N, 3] of points [N, 3] of a wall, in room axes, and which of them are a lit screen [N]."""
    along_x = wall >= 2
    u, z = at[:, 0 if along_x else 1], at[:, 2]
    normal = np.zeros(3)
    normal[1 if along_x else 0] = -1.0 if wall % 2 == 1 else 1.0
    painted = paint_wall(room.wall, u, z, room.noise)
    glow = np.zeros(len(at), np.float32)
    screen = np.zeros(len(at), bool)
    for h in room.hangings:
        inside = np.flatnonzero((u > h.u0_m) & (u < h.u1_m) & (z > h.z0_m) & (z < h.z1_m))
        if h.wall != wall or not len(inside):
            continue
        paint, shines = paint_hanging(h, u[inside], z[inside], room.noise, room.daylight)
        kept = ~np.isnan(paint[:, 0])
        painted[inside[kept]], glow[inside[kept]] = paint[kept], shines[kept]
        if h.kind == "screen":
            screen[inside[shines > 0]] = True
    lit = _lit(painted, at, normal, room, turned(normal, -room.yaw_rad))
    return lit + glow[:, None] * (painted - lit), screen


def render_room(room: Room, camera: Camera, rays: FloatImage) -> Backdrop:
    """The empty room as the camera sees it; rays [H, W, 3] are the camera's, in its own axes."""
    height, width = rays.shape[:2]
    rays_world = (rays.reshape(-1, 3) @ camera.axes.astype(np.float32)).reshape(height, width, 3)
    d = turned(rays_world.reshape(-1, 3), room.yaw_rad)
    o = turned(camera.position_m, room.yaw_rad).astype(np.float32)
    x0, x1, y0, y1 = room.walls_m
    low = np.array([x0, y0, 0.0], np.float32)
    high = np.array([x1, y1, room.ceiling_m], np.float32)
    safe = np.where(np.abs(d) < 1e-7, np.float32(1e-7), d)
    exits = np.where(safe > 0, (high - o) / safe, (low - o) / safe)
    axis = exits.argmin(axis=1)
    depth = exits.min(axis=1).astype(np.float32)
    points = (o + depth[:, None] * d).astype(np.float32)
    colour = np.empty_like(points)
    upper = np.take_along_axis(safe, axis[:, None], axis=1)[:, 0] > 0
    screen = np.zeros(len(points), bool)

    floor = (axis == 2) & ~upper
    ceiling = (axis == 2) & upper
    at = points[floor]
    ground = paint_floor(room.floor, at[:, 0], at[:, 1], room.noise)
    world = turned(at, -room.yaw_rad)
    up = np.array([0.0, 0.0, 1.0])
    colour[floor] = _lit(ground, at, up, room, up) * _contact_shade(room, world[:, 0], world[:, 1])[:, None]
    colour[ceiling] = _lit(np.full((int(ceiling.sum()), 3), 0.75, np.float32), points[ceiling], -up, room, up)
    for wall in range(4):
        mine = np.flatnonzero((axis == (1 if wall >= 2 else 0)) & (upper == (wall % 2 == 1)))
        if len(mine):
            colour[mine], screen[mine] = _wall(room, wall, points[mine])
    # corners collect less light: distance to the second-nearest plane
    gaps = np.sort(np.concatenate([points - low, high - points], axis=1), axis=1)[:, 1]
    colour *= (1.0 - 0.32 * np.exp(-gaps / 0.28))[:, None]

    shape = (height, width)
    backdrop = Backdrop(colour.reshape(*shape, 3), depth.reshape(shape), floor.reshape(shape), screen.reshape(shape))
    for box in room.boxes:
        _render_box(box, camera, rays_world, room, backdrop)
    return backdrop

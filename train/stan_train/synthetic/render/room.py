"""The room: walls, floor, furniture and light, chosen around a camera and an action."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stan_train.synthetic.motion.body import Array
from stan_train.synthetic.motion.script import Prop
from stan_train.synthetic.render.camera import FloatImage, Mount
from stan_train.synthetic.render.furniture import Box, build, furnish
from stan_train.synthetic.render.shading import Light
from stan_train.synthetic.render.surfaces import (
    Hanging,
    Surface,
    noise_map,
    random_floor,
    random_hangings,
    random_wall,
)


@dataclass(frozen=True)
class Room:
    """Everything about a room that does not depend on the picture's size. The walls stand at x0, x1, y0, y1 of axes
    that are turned by yaw_rad against the world."""

    yaw_rad: float
    walls_m: tuple[float, float, float, float]
    ceiling_m: float
    floor: Surface
    wall: Surface
    hangings: list[Hanging]
    boxes: list[Box]
    noise: FloatImage
    light: Light
    lamp_m: Array
    daylight: float


def turned(points: Array, yaw_rad: float) -> Array:
    """Points with the floor axes turned by -yaw: world -> room. [..., 2 or 3]"""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    out = points.copy()
    out[..., 0] = c * points[..., 0] + s * points[..., 1]
    out[..., 1] = -s * points[..., 0] + c * points[..., 1]
    return out


def random_light(rng: np.random.Generator, towards_camera_rad: float) -> Light:
    """Daylight from a window or a lamp at the ceiling; mostly from the camera's half of the room or from above."""
    azimuth = towards_camera_rad + float(rng.normal(0.0, 1.1))
    elevation = float(rng.uniform(0.45, 1.35))
    direction = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    warmth = float(rng.uniform(-0.12, 0.22))
    key_tint, fill_tint = np.array([1.0 + warmth, 1.0, 1.0 - warmth]), np.array([1.0, 1.0, 1.0 + 0.5 * warmth])
    contrast = float(rng.uniform(0.35, 0.75))
    return Light(direction, contrast * key_tint * 1.1, (1.05 - 0.75 * contrast) * fill_tint)


def random_room(
    rng: np.random.Generator, mount: Mount, action_m: Array, props: tuple[Prop, ...], azimuth_rad: float
) -> Room:
    """A room around the camera and the action's joints [N, 3]."""
    yaw = azimuth_rad + float(rng.uniform(-0.75, 0.75))
    action, camera = turned(action_m, yaw)[:, :2], turned(mount.position_m, yaw)
    needed = [action]
    for prop in props:
        at = turned(prop.at_m, yaw)
        needed.append(at + np.array([[1.1, 0.0], [-1.1, 0.0], [0.0, 1.1], [0.0, -1.1]]) * (prop.kind != "shelf"))
    points = np.concatenate(needed)
    margin = rng.uniform(0.4, 2.2, 4)
    walls = (
        float(min(points[:, 0].min() - margin[0], camera[0] - 0.3)),
        float(max(points[:, 0].max() + margin[1], camera[0] + 0.3)),
        float(min(points[:, 1].min() - margin[2], camera[1] - 0.3)),
        float(max(points[:, 1].max() + margin[3], camera[1] + 0.3)),
    )
    around = np.concatenate([points, *[action + d for d in ([0.35, 0.0], [-0.35, 0.0], [0.0, 0.35], [0.0, -0.35])]])
    decor = furnish(rng, walls, around, camera[:2])
    boxes = [box for prop in props for box in build(prop, rng)]
    for prop in decor:
        placed = Prop(prop.kind, turned(prop.at_m, -yaw), prop.yaw_rad + yaw, prop.top_m)
        boxes += build(placed, rng)
    spans = [(walls[2], walls[3]), (walls[2], walls[3]), (walls[0], walls[1]), (walls[0], walls[1])]
    return Room(
        yaw_rad=yaw,
        walls_m=walls,
        ceiling_m=float(rng.uniform(2.9, 3.3)),
        floor=random_floor(rng),
        wall=random_wall(rng),
        hangings=random_hangings(rng, spans),
        boxes=boxes,
        noise=noise_map(rng),
        light=random_light(rng, azimuth_rad),
        lamp_m=np.array([rng.uniform(walls[0], walls[1]), rng.uniform(walls[2], walls[3]), 2.6]),
        daylight=float(rng.choice([0.05, 0.7, 1.2])),
    )

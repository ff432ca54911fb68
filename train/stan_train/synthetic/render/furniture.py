"""Furniture as boxes with colours: what the motion needs, and what else stands in the room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stan_train.synthetic.motion.body import Array
from stan_train.synthetic.motion.script import Prop

Colour = tuple[float, float, float]
_WOODS: tuple[Colour, ...] = (
    (0.30, 0.16, 0.07),
    (0.45, 0.28, 0.14),
    (0.12, 0.06, 0.03),
    (0.62, 0.48, 0.30),
    (0.6, 0.6, 0.58),
)


@dataclass(frozen=True)
class Box:
    """centre_m [3], half_m [3] along its own axes, turned by yaw_rad about the vertical."""

    centre_m: Array
    half_m: Array
    yaw_rad: float
    colour: Colour
    cloth: bool = False


def _cloth_colour(rng: np.random.Generator) -> Colour:
    value = rng.uniform(0.05, 0.6)
    r, g, b = value * (1.0 + rng.uniform(-0.45, 0.45, 3))
    return float(r), float(g), float(b)


class _Set:
    """Boxes of one piece, placed in its own axes: x to its front, y to its left, z up from the floor."""

    def __init__(self, at_m: Array, yaw_rad: float) -> None:
        self.at_m, self.yaw_rad = at_m, yaw_rad
        self.boxes: list[Box] = []

    def add(
        self, low: tuple[float, float, float], high: tuple[float, float, float], colour: Colour, cloth: bool = False
    ) -> None:
        a, b = np.array(low), np.array(high)
        middle = 0.5 * (a + b)
        c, s = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        centre = np.array(
            [self.at_m[0] + c * middle[0] - s * middle[1], self.at_m[1] + s * middle[0] + c * middle[1], middle[2]]
        )
        self.boxes.append(Box(centre, 0.5 * (b - a), self.yaw_rad, colour, cloth))

    def legs(self, x0: float, x1: float, y: float, top: float, colour: Colour, thick: float = 0.02) -> None:
        for x in (x0 + thick, x1 - thick):
            for side in (-y + thick, y - thick):
                self.add((x - thick, side - thick, 0.0), (x + thick, side + thick, top), colour)


_Builder = Callable[[_Set, float, Colour, Colour, np.random.Generator], None]


def _stool(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    piece.legs(-0.22, 0.20, 0.21, top - 0.04, wood)
    piece.add((-0.23, -0.22, top - 0.045), (0.21, 0.22, top), cloth if rng.random() < 0.6 else wood, cloth=True)


def _chair(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    _stool(piece, top, wood, cloth, rng)
    piece.add((-0.245, -0.21, top + 0.12), (-0.215, 0.21, top + 0.46), wood)
    for side in (-0.19, 0.19):
        piece.add((-0.245, side - 0.018, top), (-0.215, side + 0.018, top + 0.2), wood)


def _sofa(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    piece.add((-0.38, -0.85, 0.06), (0.22, 0.85, top), cloth, cloth=True)
    piece.add((-0.50, -0.95, 0.04), (-0.26, 0.95, top + 0.40), cloth, cloth=True)
    for side in (-0.95, 0.80):
        piece.add((-0.45, side, 0.04), (0.22, side + 0.15, top + 0.18), cloth, cloth=True)


def _bed(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    cover_to = -0.35 if rng.random() < 0.5 else -0.7
    piece.add((-1.02, -0.50, 0.10), (1.02, 0.50, top - 0.20), wood)
    piece.add((-1.00, -0.475, top - 0.20), (1.00, 0.475, top), (0.72, 0.71, 0.69), cloth=True)
    piece.add((-1.0, -0.485, top - 0.18), (cover_to, 0.485, top + 0.012), cloth, cloth=True)
    piece.add((0.66, -0.33, top), (0.96, 0.33, top + 0.07), (0.8, 0.8, 0.8), cloth=True)
    piece.add((1.02, -0.50, 0.0), (1.07, 0.50, top + 0.38), wood)


def _table(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    piece.legs(-0.35, 0.35, 0.6, top - 0.03, wood)
    piece.add((-0.38, -0.63, top - 0.035), (0.38, 0.63, top), wood)
    piece.add((-0.1, -0.2, top), (0.06, -0.08, top + 0.14), cloth)


def _shelf(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    piece.add((-0.16, -0.45, 0.0), (-0.14, 0.45, top), wood)
    for side in (-0.45, 0.43):
        piece.add((-0.16, side, 0.0), (0.14, side + 0.02, top), wood)
    for z in np.linspace(0.05, top - 0.02, 5):
        piece.add((-0.16, -0.45, float(z)), (0.14, 0.45, float(z) + 0.02), wood)
        y = -0.42
        while y < 0.3:
            wide = float(rng.uniform(0.03, 0.12))
            if rng.random() < 0.75 and z < top - 0.1:
                tall = float(z) + float(rng.uniform(0.12, 0.3))
                piece.add((-0.12, y, float(z) + 0.02), (0.05, y + wide, tall), _cloth_colour(rng))
            y += wide + 0.01


def _cupboard(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    door = (0.88 * wood[0], 0.88 * wood[1], 0.88 * wood[2])
    piece.add((-0.28, -0.55, 0.0), (0.28, 0.55, top), wood)
    for side in (-0.53, 0.01):
        piece.add((0.28, side, 0.05), (0.295, side + 0.52, top - 0.03), door)
        handle = side + (0.47 if side < -0.1 else 0.03)
        piece.add((0.295, handle, 0.45 * top), (0.315, handle + 0.02, 0.45 * top + 0.16), (0.5, 0.5, 0.5))


def _screen(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    piece.add((-0.2, -0.6, 0.0), (0.2, 0.6, 0.45), wood)
    piece.add((-0.03, -0.52, 0.50), (0.02, 0.52, 1.10), (0.02, 0.02, 0.022))
    piece.add((-0.06, -0.1, 0.45), (0.0, 0.1, 0.55), (0.02, 0.02, 0.022))


def _plant(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    piece.add((-0.14, -0.14, 0.0), (0.14, 0.14, 0.28), cloth)
    for _ in range(14):
        x, y, z = rng.uniform(-0.16, 0.16), rng.uniform(-0.16, 0.16), rng.uniform(0.35, 1.0)
        green = (0.03 + 0.05 * rng.random(), 0.12 + 0.15 * rng.random(), 0.03)
        piece.yaw_rad = float(rng.uniform(0.0, 3.0))
        piece.add((x - 0.07, y - 0.012, z - 0.2), (x + 0.07, y + 0.012, z + 0.12), green, cloth=True)


def _crate(piece: _Set, top: float, wood: Colour, cloth: Colour, rng: np.random.Generator) -> None:
    piece.add((-0.3, -0.35, 0.0), (0.3, 0.35, top), cloth if rng.random() < 0.5 else wood)


_BUILDERS: dict[str, _Builder] = {
    "chair": _chair,
    "stool": _stool,
    "sofa": _sofa,
    "bed": _bed,
    "table": _table,
    "shelf": _shelf,
    "cupboard": _cupboard,
    "screen": _screen,
    "plant": _plant,
    "crate": _crate,
}


def build(prop: Prop, rng: np.random.Generator) -> list[Box]:
    """The boxes of a piece of furniture."""
    piece = _Set(prop.at_m, prop.yaw_rad)
    _BUILDERS[prop.kind](piece, prop.top_m, _WOODS[rng.integers(len(_WOODS))], _cloth_colour(rng), rng)
    return piece.boxes


FOOTPRINT_M = {  # half extent to the front and to the side
    "chair": (0.25, 0.24),
    "stool": (0.23, 0.23),
    "sofa": (0.52, 0.97),
    "bed": (1.07, 0.52),
    "table": (0.40, 0.65),
    "shelf": (0.18, 0.47),
    "cupboard": (0.32, 0.57),
    "screen": (0.22, 0.62),
    "plant": (0.2, 0.2),
    "crate": (0.32, 0.37),
}
TOP_M = {"table": 0.74, "shelf": 1.9, "cupboard": 1.8, "sofa": 0.43, "bed": 0.5, "chair": 0.46, "crate": 0.5}


def furnish(
    rng: np.random.Generator, room: tuple[float, float, float, float], busy_m: Array, camera_m: Array
) -> list[Prop]:
    """Furniture along the walls of a room (x0, x1, y0, y1; its own axes, which are the returned props' axes too).

    Pieces keep clear of the places busy_m [N, 2], where the action is, and of the camera's line to them, except that
    now and then a low piece stands in front on purpose.
    """
    x0, x1, y0, y1 = room
    placed: list[Prop] = []
    blocked = [busy_m]
    centre = busy_m.mean(axis=0)
    sight = camera_m + np.linspace(0.0, 1.0, 12)[:, None] * (centre - camera_m)
    blocked.append(sight)
    for _ in range(int(rng.integers(2, 7))):
        kind = str(rng.choice(["table", "chair", "cupboard", "shelf", "sofa", "bed", "plant", "screen", "crate"]))
        deep, wide = FOOTPRINT_M[kind]
        wall = int(rng.integers(4))
        at_wall, across = deep + 0.05, wide
        yaw_shift = np.pi if kind == "bed" else 0.0  # its head stands at the wall
        along_x = wall >= 2
        low, high = (x0, x1) if along_x else (y0, y1)
        if high - low < 2.2 * across:
            continue
        place = rng.uniform(low + across, high - across)
        if wall == 0:
            at, yaw = np.array([x0 + at_wall, place]), 0.0
        elif wall == 1:
            at, yaw = np.array([x1 - at_wall, place]), np.pi
        elif wall == 2:
            at, yaw = np.array([place, y0 + at_wall]), np.pi / 2
        else:
            at, yaw = np.array([place, y1 - at_wall]), -np.pi / 2
        radius = float(np.hypot(deep, wide))
        if min(np.linalg.norm(b - at, axis=1).min() for b in blocked) < radius + 0.25:
            continue
        if np.linalg.norm(camera_m - at) < radius + 0.8:
            continue
        blocked.append(at[None] + np.array([[0.0, 0.0], [0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]]) * radius)
        placed.append(Prop(kind, at, yaw + yaw_shift, TOP_M.get(kind, 0.5)))
    if rng.random() < 0.14:  # something in front
        share = rng.uniform(0.45, 0.62)
        side = np.array([-(centre - camera_m)[1], (centre - camera_m)[0]])
        side /= np.linalg.norm(side) + 1e-9
        at = camera_m + share * (centre - camera_m) + side * rng.uniform(-0.7, 0.7)
        kind = str(rng.choice(["chair", "table", "crate", "plant"]))
        clear_of_action = np.linalg.norm(busy_m - at, axis=1).min() > FOOTPRINT_M[kind][1] + 0.2
        if clear_of_action and np.linalg.norm(camera_m - at) > 1.0:
            placed.append(Prop(kind, at, float(rng.uniform(-np.pi, np.pi)), TOP_M.get(kind, 0.5)))
    return placed

"""Things other than the person that move or change, so that motion alone is no clue: a ball, a robot, a pet, a lamp, a
passing shadow, a flickering screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stan_train.synthetic.motion.body import Array
from stan_train.synthetic.render.backdrop import Backdrop
from stan_train.synthetic.render.parts import Material, Parts
from stan_train.synthetic.render.sensor import Image

_KINDS = ("ball", "robot", "pet", "lamp", "shadow")
_Z = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Mover:
    """kind: none or one of the things above; it passes `at_m` [2] in direction `way` [2] at speed_m_s."""

    kind: str
    at_m: Array
    way: Array
    speed_m_s: float
    size: float
    phase: float
    material: Material
    screen: float

    def add_parts(self, parts: Parts, t_s: float) -> None:
        """Adds what has a body."""
        gone = (t_s - self.phase) * self.speed_m_s
        at = np.array([*(self.at_m + self.way * gone), 0.0])
        front = np.array([*self.way, 0.0])
        side = np.cross(_Z, front)
        axes = np.stack([front, side, _Z], axis=1)
        s = self.size
        if self.kind == "ball":
            r = 0.11 * s
            turn = gone / r
            c, w = np.cos(turn), np.sin(turn)
            rolled = np.stack([c * front - w * _Z, side, w * front + c * _Z], axis=1)
            parts.ellipsoid(at + _Z * r, rolled, (r, r, r), self.material)
        elif self.kind == "robot":
            parts.ellipsoid(at + _Z * 0.05, axes, (0.17, 0.17, 0.05), self.material)
        elif self.kind == "pet":
            step = 2.0 * np.pi * gone / (0.35 * s)
            hip, neck = at + s * (-0.20 * front + 0.27 * _Z), at + s * (0.18 * front + 0.29 * _Z)
            parts.cone(hip, neck, 0.085 * s, 0.095 * s, self.material, side)
            head, nose = neck + s * (0.15 * front + 0.12 * _Z), neck + s * (0.26 * front + 0.07 * _Z)
            tail = hip + s * (-0.16 * front + (0.10 + 0.03 * np.sin(3 * step)) * _Z)
            parts.cone(neck, head, 0.07 * s, 0.075 * s, self.material, side)
            parts.cone(head, nose, 0.055 * s, 0.03 * s, self.material, side)
            parts.cone(hip, tail, 0.03 * s, 0.012 * s, self.material, side)
            for i, (root, y) in enumerate(((hip, 0.06), (hip, -0.06), (neck, 0.06), (neck, -0.06))):
                swing = 0.07 * np.sin(step + np.pi * (i in (1, 2)))
                foot = root + s * (y * side + swing * front)
                foot[2] = 0.02
                parts.cone(root + s * y * side, foot, 0.04 * s, 0.02 * s, self.material, side)
        elif self.kind == "lamp":
            swing = 0.35 * np.sin(2.0 * np.pi * 0.55 * t_s + self.phase)
            top = np.array([*self.at_m, 3.0])
            low = top + 0.9 * (np.sin(swing) * front - np.cos(swing) * _Z)
            parts.cone(top, low, 0.006, 0.006, self.material, side)
            parts.ellipsoid(low, axes, (0.16, 0.16, 0.10), self.material)

    def relight(self, picture: Image, backdrop: Backdrop, t_s: float) -> None:
        """Changes the light on the empty room, in place."""
        if self.kind == "shadow":
            width = picture.shape[1]
            centre = width * (0.5 + (t_s - self.phase) * 0.4 * self.speed_m_s)
            x = (np.arange(width) - centre) / (0.16 * width)
            picture[:] = picture * (1.0 - 0.3 * np.exp(-x * x))[None, :, None]
        if self.screen > 0.0 and backdrop.screen.any():
            wave = np.sin(3.1 * t_s + self.phase) + np.sin(7.7 * t_s) * np.sin(1.3 * t_s)
            gain = 1.0 + self.screen * np.clip(wave, -1.0, 1.0)
            picture[backdrop.screen] = np.minimum(picture[backdrop.screen] * gain, 255.0)


def random_mover(rng: np.random.Generator, busy_m: Array) -> Mover:
    """In one clip of four something else moves; it keeps away from the action's places busy_m [N, 2]."""
    kind = str(rng.choice(_KINDS)) if rng.random() < 0.25 else "none"
    angle = float(rng.uniform(-np.pi, np.pi))
    way = np.array([np.cos(angle), np.sin(angle)])
    centre = busy_m.mean(axis=0)
    aside = np.array([-way[1], way[0]]) * float(rng.choice([-1.0, 1.0]))
    clear = float(((busy_m - centre) @ aside).max()) + float(rng.uniform(0.35, 0.9))
    colour = rng.uniform(0.02, 0.6) * (1.0 + rng.uniform(-0.5, 0.5, 3))
    first = (float(colour[0]), float(colour[1]), float(colour[2]))
    material = Material(first, (0.6, 0.6, 0.6), "hoops" if kind == "ball" else "plain", 0.11)
    return Mover(
        kind=kind,
        at_m=centre + aside * clear,
        way=way,
        speed_m_s=float(rng.uniform(0.25, 0.9)),
        size=float(rng.uniform(0.75, 1.25)),
        phase=float(rng.uniform(1.0, 5.0)),
        material=material,
        screen=float(rng.uniform(0.1, 0.45)) if rng.random() < 0.6 else 0.0,
    )

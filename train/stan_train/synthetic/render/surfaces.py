"""What floors and walls are made of, and what hangs on the walls, as colours at points of a plane."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stan_train.synthetic.motion.body import Array
from stan_train.synthetic.render.camera import FloatImage

FLOORS = ("tiles", "planks", "carpet", "plain")
WALLS = ("plain", "plain", "two-tone", "wallpaper", "panels", "bricks")
HANGINGS = ("window", "window", "door", "picture", "picture", "curtain", "screen", "clock")


def noise_map(rng: np.random.Generator) -> FloatImage:
    """Smooth periodic noise of several octaves, mean 0, about -1..1. [256, 256]"""
    total = np.zeros((256, 256), np.float32)
    for octave in (8, 16, 32, 64, 128):
        coarse = rng.normal(0.0, 1.0, (octave, octave)).astype(np.float32)
        tiled = np.tile(coarse, (2, 2))
        total += cv2.resize(tiled, (512, 512), interpolation=cv2.INTER_CUBIC)[128:384, 128:384] * (8.0 / octave) ** 0.6
    return np.asarray(total / (2.0 * total.std()), np.float32)


def _sample(noise: FloatImage, u: FloatImage, v: FloatImage, per_m: float) -> FloatImage:
    x, y = (u * per_m * 256.0).reshape(1, -1), (v * per_m * 256.0).reshape(1, -1)
    out = np.empty(x.shape, np.float32)
    for i in range(0, x.shape[1], 30000):  # cv2.remap takes maps up to 32767 long
        part = slice(i, i + 30000)
        maps = (np.mod(x[:, part], 256).astype(np.float32), np.mod(y[:, part], 256).astype(np.float32))
        out[:, part] = cv2.remap(noise, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return out.reshape(u.shape)


def _dice(i: npt.NDArray[np.float32], j: npt.NDArray[np.float32] | float, salt: float) -> FloatImage:
    """A number in 0..1 for every cell of a grid."""
    return np.asarray(np.mod(np.sin(i * 12.9898 + j * 78.233 + salt) * 43758.547, 1.0), np.float32)


@dataclass(frozen=True)
class Surface:
    """One floor or wall: kind, two colours (linear RGB [3]), the period of its pattern and a number of its own."""

    kind: str
    first: Array
    second: Array
    pitch_m: float
    salt: float


def random_floor(rng: np.random.Generator) -> Surface:
    kind = FLOORS[rng.integers(len(FLOORS))]
    if kind == "planks":
        first = np.array([0.42, 0.25, 0.12]) * rng.uniform(0.35, 1.3)
    elif kind == "tiles":
        first = np.full(3, rng.uniform(0.12, 0.6)) * (1.0 + rng.uniform(-0.12, 0.12, 3))
    else:
        first = rng.uniform(0.06, 0.45) * (1.0 + rng.uniform(-0.3, 0.3, 3))
    second = first * rng.uniform(0.45, 1.25)
    pitch = {"tiles": rng.uniform(0.25, 0.6), "planks": rng.uniform(0.09, 0.2)}.get(kind, rng.uniform(0.3, 1.0))
    return Surface(kind, first, second, float(pitch), float(rng.uniform(0, 100)))


def random_wall(rng: np.random.Generator) -> Surface:
    kind = WALLS[rng.integers(len(WALLS))]
    value = rng.uniform(0.35, 0.8) if rng.random() < 0.75 else rng.uniform(0.1, 0.4)
    first = value * (1.0 + rng.uniform(-0.18, 0.18, 3))
    if kind == "bricks":
        first = np.array([0.36, 0.16, 0.10]) * rng.uniform(0.6, 1.5)
    second = first * rng.uniform(0.55, 0.95) * (1.0 + rng.uniform(-0.15, 0.15, 3))
    return Surface(kind, first, second, float(rng.uniform(0.12, 0.5)), float(rng.uniform(0, 100)))


def paint_floor(surface: Surface, x: FloatImage, y: FloatImage, noise: FloatImage) -> FloatImage:
    """Linear colours of floor points. [N], [N] -> [N, 3]"""
    p = surface.pitch_m
    grain = _sample(noise, x, y, 0.45)
    if surface.kind == "tiles":
        i, j = np.floor(x / p), np.floor(y / p)
        edge = np.minimum(np.minimum(x / p - i, i + 1 - x / p), np.minimum(y / p - j, j + 1 - y / p)) * p
        checker = (i + j) % 2 if surface.salt > 60 else np.zeros_like(i)
        share = (0.8 * checker + 0.12 * _dice(i, j, surface.salt))[:, None]
        colour = surface.first + share * (surface.second - surface.first)
        grout = np.clip(1.0 - edge / 0.006, 0.0, 1.0)[:, None]
        colour = colour * (1.0 - 0.45 * grout)
    elif surface.kind == "planks":
        row = np.floor(y / p)
        offset = _dice(row, 0.0, surface.salt) * 1.3
        plank = np.floor((x + offset) / 1.3)
        tone = 0.75 + 0.5 * _dice(row, plank, surface.salt)
        fibre = 1.0 + 0.13 * _sample(noise, 0.12 * x + tone, y, 2.2)
        gap = np.minimum(y / p - row, row + 1 - y / p) * p < 0.003
        colour = surface.first * (tone * fibre * (1.0 - 0.5 * gap))[:, None]
    elif surface.kind == "carpet":
        fluff = 1.0 + 0.16 * _sample(noise, x, y, 3.1) + 0.08 * grain
        figure = (np.sin(x / p * 6.283) * np.sin(y / p * 6.283) > 0.25) * (surface.salt > 50)
        colour = (surface.first + figure[:, None] * (surface.second - surface.first)) * fluff[:, None]
    else:
        colour = surface.first * (1.0 + 0.06 * grain)[:, None]
    return np.asarray(colour * (1.0 + 0.05 * grain)[:, None], np.float32)


def paint_wall(surface: Surface, u: FloatImage, z: FloatImage, noise: FloatImage) -> FloatImage:
    """Linear colours of wall points at u along the wall and z above the floor. [N], [N] -> [N, 3]"""
    p = surface.pitch_m
    share = np.zeros_like(u)
    if surface.kind == "two-tone":
        share = (z < 0.9 + 0.3 * (surface.salt / 100)).astype(np.float32)
    elif surface.kind == "wallpaper":
        share = 0.8 * (np.sin(u / p * 12.57) > 0.1)
    elif surface.kind == "panels":
        share = ((u / (3 * p)) % 1.0 < 0.012 / p).astype(np.float32)
    elif surface.kind == "bricks":
        row = np.floor(z / 0.075)
        brick = (u / 0.23 + 0.5 * (row % 2)) % 1.0
        cell = np.floor(u / 0.23 + 0.5 * (row % 2))
        mortar = ((z / 0.075) % 1.0 < 0.13) | (brick < 0.05)
        tone = (0.75 + 0.5 * _dice(cell, row, surface.salt))[:, None]
        return np.asarray(np.where(mortar[:, None], 0.4, surface.first * tone), np.float32)
    colour = surface.first + share[:, None] * (surface.second - surface.first)
    skirting = (z < 0.09)[:, None]
    colour = np.where(
        skirting, np.minimum(1.0, surface.first * 1.25) if surface.salt > 40 else surface.first * 0.4, colour
    )
    return np.asarray(colour * (1.0 + 0.035 * _sample(noise, u, z, 0.5))[:, None], np.float32)


@dataclass(frozen=True)
class Hanging:
    """A rectangle on a wall: u0..u1 along it, z0..z1 high."""

    kind: str
    wall: int
    u0_m: float
    u1_m: float
    z0_m: float
    z1_m: float
    first: Array
    second: Array
    salt: float


def random_hangings(rng: np.random.Generator, spans_m: list[tuple[float, float]]) -> list[Hanging]:
    """Windows, doors, pictures and the like on four walls that span spans_m along their u; none overlap."""
    hangings: list[Hanging] = []
    for wall, (low, high) in enumerate(spans_m):
        u = low + float(rng.uniform(0.1, 0.8))
        while u < high - 0.5:
            kind = HANGINGS[rng.integers(len(HANGINGS))]
            wide, z0, z1 = {
                "window": (rng.uniform(0.8, 1.7), rng.uniform(0.75, 1.0), rng.uniform(1.9, 2.2)),
                "door": (0.92, 0.0, 2.02),
                "picture": (rng.uniform(0.3, 0.9), rng.uniform(1.1, 1.4), rng.uniform(1.6, 1.9)),
                "curtain": (rng.uniform(0.6, 1.6), 0.05, 2.25),
                "screen": (rng.uniform(0.8, 1.3), 1.0, 1.65),
                "clock": (0.32, 1.75, 2.07),
            }[kind]
            if u + wide > high - 0.1:
                break
            first, second = rng.uniform(0.05, 0.7, 3), rng.uniform(0.02, 0.7, 3)
            hangings.append(Hanging(kind, wall, u, u + wide, z0, z1, first, second, float(rng.uniform(0, 100))))
            u += float(wide) + float(rng.uniform(0.15, 1.4))
    return hangings


def paint_hanging(
    h: Hanging, u: FloatImage, z: FloatImage, noise: FloatImage, daylight: float
) -> tuple[FloatImage, FloatImage]:
    """Linear colours [N, 3] of points on the hanging, and how much they glow of themselves [N] (1: not lit at all)."""
    a, b = (u - h.u0_m) / (h.u1_m - h.u0_m), (z - h.z0_m) / (h.z1_m - h.z0_m)
    wide, tall = h.u1_m - h.u0_m, h.z1_m - h.z0_m
    rim_m = np.minimum(np.minimum(a, 1 - a) * wide, np.minimum(b, 1 - b) * tall)
    glow = np.zeros_like(u)
    if h.kind == "window":
        bars = (rim_m < 0.055) | (np.abs(a - 0.5) * wide < 0.025)
        outside = np.clip(0.35 + 0.9 * b + 0.25 * _sample(noise, u, z, 0.6), 0.1, 1.5)[:, None] * daylight
        outside = outside * np.array([0.85, 0.95, 1.08])
        garden = (b < 0.35 + 0.1 * np.sin(a * 9 + h.salt))[:, None]
        outside = np.where(garden, outside * np.array([0.35, 0.5, 0.25]), outside)
        colour = np.where(bars[:, None], 0.7, outside)
        glow = np.where(bars, 0.0, 1.0)
    elif h.kind == "door":
        wood = np.array([0.5, 0.45, 0.4]) if h.salt > 50 else np.array([0.30, 0.16, 0.08])
        panel = (np.abs(a - 0.5) < 0.32) & ((np.abs(b - 0.28) < 0.17) | (np.abs(b - 0.73) < 0.2))
        colour = wood * np.where(panel, 0.85, 1.0)[:, None] * np.where(rim_m < 0.05, 0.7, 1.0)[:, None]
        knob = (a - 0.88) ** 2 * wide**2 + (z - 1.0) ** 2 < 0.03**2
        colour = np.where(knob[:, None], 0.55, colour)
    elif h.kind == "picture":
        blobs = _sample(noise, u + h.salt, z, 0.9)[:, None]
        colour = np.where(blobs > 0.1, h.first, np.where(blobs > -0.5, h.second, 0.5 * h.first + 0.3))
        colour = np.where((rim_m < 0.025)[:, None], 0.08 if h.salt > 40 else 0.45, colour)
    elif h.kind == "curtain":
        colour = h.first * (0.75 + 0.25 * np.sin(u * 38.0 + np.sin(z * 2.0 + h.salt)))[:, None]
    elif h.kind == "screen":
        lit = h.salt > 40
        blobs = _sample(noise, u + h.salt, z, 0.5)[:, None]
        colour = np.where((rim_m < 0.02)[:, None], 0.02, np.where(blobs > 0, h.first, h.second) if lit else 0.025)
        glow = np.where(rim_m < 0.02, 0.0, 0.8 if lit else 0.0)
    else:
        r = np.hypot((a - 0.5) * wide, (b - 0.5) * tall)
        hands = (np.abs(a - 0.5) * wide < 0.008) & (b > 0.5)
        face = np.where(hands | (r > 0.14), 0.05, 0.8)[:, None] * np.ones(3)
        colour = np.where((r < 0.16)[:, None], face, np.nan)
    return np.asarray(colour, np.float32), np.asarray(glow, np.float32)

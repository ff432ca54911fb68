"""The parts that bodies are made of: round cones and ellipsoids, each of one material."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stan_train.synthetic.motion.body import Array


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

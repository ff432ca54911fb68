"""What a network must bring along to become a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stan_edge.model.contract import Form, InputSpec, Method, MethodSpec

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Explainable:
    """A trained network, what it means, and how its graphs and their float64 reference are made."""

    name: str
    classes: tuple[str, ...]
    background: str | None
    alarms: tuple[str, ...]
    input: InputSpec
    provenance: dict[str, str]
    methods: dict[Method, MethodSpec]
    """Before any calibration."""
    forms: tuple[Form, ...]
    """The forms that its graphs are written in."""
    write_graphs: Callable[[Path], object]
    """Writes `forward.onnx`, an `explain-*.onnx` for each method and the `weights.bin` they share into a folder; the
    graphs have the inputs and outputs of `stan_export.graphs`."""
    record: Callable[[npt.NDArray[np.uint8], npt.NDArray[np.int64]], Arrays]
    """Reference of clips `[N, T, S, S, 3]` for classes `[N]`; see `stan_export.parity.record`."""

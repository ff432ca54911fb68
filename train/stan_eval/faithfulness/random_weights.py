"""The network without what it has learnt: the control that an explanation must lose against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from stan_edge.model.bundle import PARITY, Bundle, open_bundle
from stan_export.frame_calibration import activity_classes, uncalibrated
from stan_export.graphs import export_graphs
from stan_export.parity import record
from stan_export.seal import seal
from stan_train.model import Stan, StanConfig


def randomised(bundle: Bundle, config: StanConfig, folder: Path, seed: int = 0) -> Bundle:
    """A bundle of the same shape whose weights are as they were before training.

    Args:
        config: shape of the bundle's network.
        folder: a new one.

    Raises:
        ConfigError: see `export_graphs`.
    """
    torch.manual_seed(seed)
    model, contract = Stan(config).eval(), bundle.contract
    export_graphs(model, contract.input, folder)
    activities = activity_classes(contract.classes, contract.background)
    methods = {method: uncalibrated(method, contract.input.frames, activities) for method in contract.methods}
    # its raw scores are read by the same rules, and nobody replays it: logits alone are recorded
    shape = (1, contract.input.frames, contract.input.size_px, contract.input.size_px, 3)
    np.savez(folder / PARITY, **record(model, contract.input, np.zeros(shape, np.uint8), np.array([0]), methods=[]))
    seal(folder, contract.model_copy(update={"name": f"{contract.name}, random weights", "methods": methods}))
    return open_bundle(folder)

"""The windows that a training run leaves for `stan-edge export` and its first calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stan_edge.model.contract import InputSpec
from stan_train.batches import TrainingSet, validation_windows
from stan_train.options import FitConfig
from stan_train.sampling import (
    segment_index,
    window_index,
)

CALIBRATION_WINDOWS = 60


def save_calibration(path: Path, training: TrainingSet, spec: InputSpec, config: FitConfig) -> None:
    """Windows from the training clips, as the network sees them (of several passes, the first), with which `export`
    records parity and gives frame scores a first scale; `stan-edge calibrate` gives them their own."""
    rng = np.random.default_rng(config.seed)
    windows = training.windows
    chosen = rng.choice(len(windows), CALIBRATION_WINDOWS, p=training.weights)
    index = [
        segment_index(training.clips[windows.clip[w]], spec.frames, None)
        if config.whole_clips
        else window_index(training.clips[windows.clip[w]], float(windows.start_s[w]), spec)
        for w in chosen
    ]
    pictures = [
        validation_windows(training, spec, int(w), spec.frames, whole_clips=config.whole_clips)[0] for w in chosen
    ]
    np.savez_compressed(
        path,
        frames=np.stack(pictures),
        labels=windows.label[chosen],
        important=np.stack([training.clips[windows.clip[w]].important[i] for w, i in zip(chosen, index, strict=True)]),
    )

"""From labelled windows to the numbers that make frame scores comparable: profile, scale, threshold.

Runs the exported graphs through `stan_edge`, so that what is calibrated is what is deployed.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stan_edge.attribution import correct, dealias, gate, importance
from stan_edge.contract import InputSpec, Method, MethodSpec
from stan_edge.errors import ConfigError
from stan_edge.explainer import PREDICTED, Explainer, softmax
from stan_export.graphs import CLASS_SPECIFIC, MAP_CELL, TOKEN_CELL

GRADIENTS: tuple[Method, ...] = ("vanilla",)
"""Methods whose scores come from the input gradient, through the stem's strided kernel."""
THRESHOLDS = np.arange(101) / 100


@dataclass(frozen=True, eq=False)
class CalibrationWindows:
    """Labelled windows as the network sees them."""

    frames: NDArray[np.uint8]  # [N, T, S, S, 3]
    labels: NDArray[np.int64]  # [N]
    important: NDArray[np.bool_]  # [N, T]


@dataclass(frozen=True)
class Calibration:
    """The numbers of one method, and how well its frames agree with the labels they were chosen on."""

    spec: MethodSpec
    recall: float
    """Share of the important frames that are flagged."""
    false_flags: float
    """Share of the others that are flagged."""
    f1: float
    f1_all_positive: float


def read_calibration(path: Path, spec: InputSpec, classes: int) -> CalibrationWindows:
    """Read `frames`, `labels`, `important` from an npz.

    Raises:
        ConfigError: the file is not there, damaged, or for another input or other classes.
    """
    try:
        # opened here, because np.load leaves a damaged file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            windows = CalibrationWindows(arrays["frames"], arrays["labels"], arrays["important"])
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"--calibration {path}: cannot be read ({error}); `stan-edge train` writes one.") from error
    expected = (spec.frames, spec.size_px, spec.size_px, 3)
    if windows.frames.shape[1:] != expected or windows.frames.dtype != np.uint8:
        raise ConfigError(f"--calibration {path}: windows are {windows.frames.shape[1:]}, the model takes {expected}.")
    count = len(windows.frames)
    if count == 0 or windows.labels.shape != (count,) or windows.important.shape != (count, spec.frames):
        raise ConfigError(
            f"--calibration {path}: {count} windows have labels {windows.labels.shape} and important "
            f"{windows.important.shape}; give one label for each window and one flag for each frame."
        )
    if not ((windows.labels >= 0) & (windows.labels < classes)).all():
        raise ConfigError(f"--calibration {path}: labels must lie between 0 and {classes - 1}, as the model's classes.")
    return windows


def uncalibrated(method: Method, frames: int) -> MethodSpec:
    """Without labelled windows: a flat profile, importance relative to each window, threshold in the middle."""
    return MethodSpec(
        class_specific=method in CLASS_SPECIFIC,
        dealias=method in GRADIENTS,
        profile=(1.0,) * frames,
        cell_px=MAP_CELL if method in GRADIENTS else TOKEN_CELL,
        scale=None,
        threshold=0.5,
    )


def calibrate(
    explainer: Explainer, windows: CalibrationWindows, background: int | None, temperature: float
) -> Calibration:
    """Choose profile, scale and threshold of a method.

    The profile is the mean response to clips in which nothing moves (each window's middle frame, repeated):
    what remains of the score then depends on the position in the window alone. The scale is the 5th and 95th
    percentile of the corrected scores.

    The threshold separates important from other frames best (recall minus share of others flagged, Youden's J),
    over windows that show an activity, gated as at run time, ties to the lower. The best F1, the paper's
    criterion, flags every frame as long as more than half of them are important and the scores are not sharp.

    Raises:
        ConfigError: the windows or the model do not tell important frames from others at all.
    """
    plain = uncalibrated(explainer.method, windows.frames.shape[1])
    still = np.stack(
        [_scores(explainer, np.repeat(w[len(w) // 2][None], len(w), 0), PREDICTED) for w in windows.frames]
    )
    response = dealias(still) if plain.dealias else still.astype(np.float64)
    usable = response[response.mean(1) > 1e-3 * response.mean()]  # a Grad-CAM may be zero everywhere
    if not len(usable):
        raise ConfigError(f"Method {explainer.method} scores every frame 0; train the model longer.")
    profile = (usable / usable.mean(1, keepdims=True)).mean(0)
    explained = [explainer(w, int(c)) for w, c in zip(windows.frames, windows.labels, strict=True)]
    raw = np.stack([explanation.frame_scores for explanation in explained])
    spec = plain.model_copy(update={"profile": tuple(np.maximum(profile, 1e-3).round(6).tolist())})
    low, high = np.percentile(correct(raw, spec), (5, 95))
    if not low < high:
        raise ConfigError(f"Method {explainer.method} scores all frames alike; train the model longer.")
    spec = spec.model_copy(update={"scale": (float(low), float(high))})
    scores, shown = importance(raw, spec), np.ones(len(raw), bool)
    if background is not None:
        probabilities = np.stack([softmax(explanation.logits, temperature) for explanation in explained])
        scores, shown = gate(scores, probabilities[:, [background]]), windows.labels != background
    scores, truth = scores[shown].ravel(), windows.important[shown].ravel()
    if truth.all() or not truth.any():
        raise ConfigError("The windows that show an activity need both important frames and others; add such windows.")
    separation = [(scores[truth] >= t).mean() - (scores[~truth] >= t).mean() for t in THRESHOLDS]
    # a method that separates nothing shall flag as little as possible, not everything
    threshold = float(THRESHOLDS[int(np.argmax(separation))]) if max(separation) > 0 else 1.0
    flagged = scores >= threshold
    return Calibration(
        spec=spec.model_copy(update={"threshold": threshold}),
        recall=float(flagged[truth].mean()),
        false_flags=float(flagged[~truth].mean()),
        f1=f1_score(flagged, truth),
        f1_all_positive=f1_score(np.ones_like(truth), truth),
    )


def f1_score(flagged: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN); 0 when nothing is flagged and nothing is true."""
    hits = int((flagged & truth).sum())
    total = int(flagged.sum() + truth.sum())
    return 2 * hits / total if total else 0.0


def _scores(explainer: Explainer, frames: NDArray[np.uint8], class_index: int) -> NDArray[np.float32]:
    return explainer(np.ascontiguousarray(frames), class_index).frame_scores

"""From labelled windows to the numbers that make frame scores comparable: profile, scale, thresholds.

Runs the exported graphs through `stan_edge`, so that what is calibrated is what is deployed.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import ConfigError
from stan_edge.model.contract import InputSpec, Method, MethodSpec
from stan_edge.pipeline.attribution import correct, dealias, gate, importance
from stan_edge.pipeline.predictor import PREDICTED, Explainer, softmax

GRADIENTS: tuple[Method, ...] = ("vanilla", "smoothgrad", "streaming")
"""Methods whose scores come from the input gradient, through the stem's strided kernel."""
THRESHOLDS = np.arange(101) / 100
MIXED_WINDOWS = 5
"""Windows with both important and other frames that a class needs for a threshold of its own."""


@dataclass(frozen=True, eq=False)
class CalibrationWindows:
    """Labelled windows as the network sees them."""

    frames: NDArray[np.uint8]  # [N, T, S, S, 3]
    labels: NDArray[np.int64]  # [N]
    important: NDArray[np.bool_]  # [N, T]


@dataclass(frozen=True, eq=False)
class ScoredWindows:
    """Frame scores of labelled windows by one method."""

    raw: NDArray[np.float32]  # [N, T], frame scores
    still: NDArray[np.float32]  # [M, T], frame scores of windows that repeat one frame
    labels: NDArray[np.int64]  # [N]
    background: NDArray[np.float64] | float
    """Probability of the background class, [N]; 0 for a model without one."""
    important: NDArray[np.bool_]  # [N, T]
    counted: NDArray[np.bool_]  # [N, T]; False: nobody knows whether the frame is important


@dataclass(frozen=True)
class Calibration:
    """The numbers of one method, and how well its frames agree with the labels they were chosen on."""

    spec: MethodSpec
    windows: int
    threshold: float
    """Of all classes together."""
    own: tuple[str, ...]
    """Classes with a threshold of their own; the others have the common one."""
    recall: float
    """Share of the important frames that are flagged, each by the threshold of its class."""
    false_flags: float
    """Share of the others that are flagged."""
    f1: float
    f1_all_positive: float

    @property
    def figures(self) -> str:
        """For people."""
        own = "".join(f", {name.replace('_', ' ')} {self.spec.thresholds[name]:.2f}" for name in self.own)
        return (
            f"threshold {self.threshold:.2f}{own} flags {self.recall:.0%} of the important and "
            f"{self.false_flags:.0%} of the other frames where it was chosen ({self.windows} windows); "
            f"F1 {self.f1:.3f} (all flagged: {self.f1_all_positive:.3f})"
        )


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


def activity_classes(classes: Sequence[str], background: str | None) -> tuple[str, ...]:
    """Classes whose frames can be important: all but the background."""
    return tuple(name for name in classes if name != background)


def uncalibrated(method: Method, frames: int, activities: Sequence[str]) -> MethodSpec:
    """Without labelled windows: a flat profile, importance relative to each window, thresholds in the middle.

    Args:
        activities: see `activity_classes`.
    """
    # these need torch, which calibrating does not
    from stan_export.graphs import CLASS_SPECIFIC, MAP_CELL, TOKEN_CELL
    from stan_export.smoothgrad import SAMPLES

    return MethodSpec(
        class_specific=method in CLASS_SPECIFIC,
        dealias=method in GRADIENTS,
        profile=(1.0,) * frames,
        cell_px=MAP_CELL if method in GRADIENTS else TOKEN_CELL,
        scale=None,
        thresholds=dict.fromkeys(activities, 0.5),
        samples={"smoothgrad": SAMPLES, "streaming": 1}.get(method),
    )


def calibrate(
    explainer: Explainer,
    windows: CalibrationWindows,
    classes: Sequence[str],
    background: str | None,
    temperature: float,
) -> Calibration:
    """Explain windows, each for its own class, and choose; see `choose`."""
    explained = [explainer(w, int(c)) for w, c in zip(windows.frames, windows.labels, strict=True)]
    probability: NDArray[np.float64] | float = 0.0
    if background is not None:
        logits = np.stack([explanation.logits for explanation in explained])
        probability = softmax(logits, temperature)[:, classes.index(background)]
    scored = ScoredWindows(
        raw=np.stack([explanation.frame_scores for explanation in explained]),
        still=np.stack([still_scores(explainer, frames) for frames in windows.frames]),
        labels=windows.labels,
        background=probability,
        important=windows.important,
        counted=np.ones_like(windows.important),
    )
    plain = uncalibrated(explainer.method, windows.frames.shape[1], activity_classes(classes, background))
    return choose(explainer.method, plain, scored, classes, background)


def choose(
    method: Method, before: MethodSpec, windows: ScoredWindows, classes: Sequence[str], background: str | None
) -> Calibration:
    """Choose profile, scale and thresholds of a method, instead of those `before`.

    The profile is the mean response to clips in which nothing moves: what remains of the score then depends on the
    position in the window alone. The scale is the 5th and 95th percentile of the corrected scores.

    A threshold has the best pooled F1 (the paper's criterion) over windows that show an activity, gated as at run
    time, ties to the lower. Where no threshold beats flagging every frame, which tells nobody anything, it is the one
    that separates best (recall minus share of others flagged, Youden's J). A class has its own where
    `MIXED_WINDOWS` of its windows hold both kinds of frames.

    Raises:
        ConfigError: the windows or the model do not tell important frames from others at all.
    """
    activities = activity_classes(classes, background)
    response = dealias(windows.still) if before.dealias else windows.still.astype(np.float64)
    usable = response[response.mean(1) > 1e-3 * response.mean()]  # a Grad-CAM may be zero everywhere
    if not len(usable):
        raise ConfigError(f"Method {method} scores every frame 0; train the model longer.")
    profile = (usable / usable.mean(1, keepdims=True)).mean(0)
    spec = before.model_copy(update={"profile": tuple(np.maximum(profile, 1e-3).round(6).tolist())})
    low, high = np.percentile(correct(windows.raw, spec), (5, 95))
    if not low < high:
        raise ConfigError(f"Method {method} scores all frames alike; train the model longer.")
    spec = spec.model_copy(update={"scale": (float(low), float(high))})
    scores = gate(importance(windows.raw, spec), np.broadcast_to(windows.background, len(windows.raw))[:, None])
    active = np.isin(windows.labels, [classes.index(name) for name in activities])
    common = _threshold(scores, windows, active)
    if common is None:
        raise ConfigError("The windows that show an activity need both important frames and others; add such windows.")
    own = {}
    for name in activities:
        mine = windows.labels == classes.index(name)
        if _mixed(windows, mine).sum() >= MIXED_WINDOWS and (found := _threshold(scores, windows, mine)) is not None:
            own[name] = found
    thresholds = {name: own.get(name, common) for name in activities}
    by_class = np.array([thresholds.get(name, np.inf) for name in classes])
    counted = windows.counted[active]
    flagged = (scores[active] >= by_class[windows.labels[active]][:, None])[counted]
    truth = windows.important[active][counted]
    return Calibration(
        spec=spec.model_copy(update={"thresholds": thresholds}),
        windows=len(windows.labels),
        threshold=common,
        own=tuple(own),
        recall=float(flagged[truth].mean()),
        false_flags=float(flagged[~truth].mean()),
        f1=f1_score(flagged, truth),
        f1_all_positive=f1_score(np.ones_like(truth), truth),
    )


def _mixed(windows: ScoredWindows, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the chosen windows hold both important and other frames, bool [N]."""
    important = windows.important & windows.counted
    other = ~windows.important & windows.counted
    return chosen & important.any(1) & other.any(1)


def _threshold(scores: NDArray[np.float64], windows: ScoredWindows, chosen: NDArray[np.bool_]) -> float | None:
    """The threshold for the chosen windows; None when their frames are all of one kind."""
    counted = windows.counted[chosen]
    values, truth = scores[chosen][counted], windows.important[chosen][counted]
    if truth.all() or not truth.any():
        return None
    f1 = [f1_score(values >= t, truth) for t in THRESHOLDS]
    if max(f1) > f1_score(np.ones_like(truth), truth):
        return float(THRESHOLDS[int(np.argmax(f1))])
    separation = [(values[truth] >= t).mean() - (values[~truth] >= t).mean() for t in THRESHOLDS]
    # a method that separates nothing shall flag as little as possible, not everything
    return float(THRESHOLDS[int(np.argmax(separation))]) if max(separation) > 0 else 1.0


def f1_score(flagged: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN); 0 when nothing is flagged and nothing is true."""
    hits = int((flagged & truth).sum())
    total = int(flagged.sum() + truth.sum())
    return 2 * hits / total if total else 0.0


def still_scores(explainer: Explainer, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Frame scores [T] of a window in which nothing moves: the middle frame of `pictures` [..., T, S, S, 3]."""
    frames = pictures.shape[-4]
    middle = pictures[..., frames // 2 : frames // 2 + 1, :, :, :]
    return explainer(np.ascontiguousarray(np.repeat(middle, frames, axis=-4)), PREDICTED).frame_scores

"""The paper's baselines on clips: ResNet-50 features of every frame, trained and measured like STAN's bundles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import InputSpec, MethodSpec
from stan_edge.pipeline.attribution import gate, importance
from stan_edge.records import FrameScore, WindowResult
from stan_eval.baseline_features import BaselineView, ClipFeatures
from stan_eval.intervals import Unit
from stan_eval.result import Result
from stan_eval.scores import ClipFrames, ClipVerdicts, FrameReport, classify, frame_figures
from stan_eval.whole_clip import Scored, joined
from stan_export.frame_calibration import ScoredWindows, activity_classes, choose
from stan_export.smoothgrad import SAMPLES
from stan_train.baselines.fit import BaselineFit, fit_baseline
from stan_train.baselines.frame_scores import Method, frame_scores
from stan_train.baselines.network import Baseline, Kind, predict
from stan_train.folds import split_validation
from stan_train.manifest import BACKGROUND, Clip
from stan_train.sampling import LEFT_OUT, thinned_labels, window_labels

METHODS: tuple[Method, ...] = ("vanilla", "smoothgrad", "gradcam")
WINDOWS_A_CLIP = 2
"""Training windows of each clip and label."""
VAL_SHARE = 0.2
FIT = BaselineFit(epochs=25, patience=5)


@dataclass(frozen=True, eq=False)
class _Windows:
    """Windows of clips: `clip` indexes the clips, `index` their frames."""

    clip: NDArray[np.int64]  # [W]
    index: NDArray[np.int64]  # [W, T]
    labels: NDArray[np.int64]  # [W]
    important: NDArray[np.bool_]  # [W, T]
    ignored: NDArray[np.bool_]  # [W, T]

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> _Windows:
        return _Windows(*(getattr(self, name)[chosen] for name in ("clip", "index", "labels", "important", "ignored")))

    def features(self, clips: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """`[W, T, D]`."""
        return np.stack([clips[c][i] for c, i in zip(self.clip, self.index, strict=True)])


def _cut(clips: Sequence[Clip], classes: Sequence[str], spec: InputSpec, hop_s: float) -> _Windows:
    """Windows `hop_s` apart, as the runtime cuts them."""
    columns: list[tuple[NDArray[np.generic], ...]] = []
    for number, clip in enumerate(clips):
        tick, hop = max(round(clip.fps * spec.tick_s), 1), max(round(clip.fps * hop_s), 1)
        starts = np.arange(0, max(clip.frames - (spec.frames - 1) * tick, 1), hop)
        index = np.minimum(starts[:, None] + tick * np.arange(spec.frames), clip.frames - 1)
        important, ignored = clip.important_flags()[index], clip.ignored_flags()[index]
        labels = window_labels(important, ignored, classes.index(clip.label), classes.index(BACKGROUND))
        columns.append((np.full(len(starts), number), index, labels, important, ignored))
    return _Windows(*(np.concatenate(column) for column in zip(*columns, strict=True)))


@dataclass(frozen=True, eq=False, kw_only=True)
class BaselineData:
    """Features of the clips for training, for short and for long sequences."""

    train: Sequence[ClipFeatures]
    short: Sequence[ClipFeatures]
    long: Sequence[ClipFeatures]
    classes: tuple[str, ...]
    spec: InputSpec
    hop_s: float


def baseline_result(kind: Kind, view: BaselineView, data: BaselineData, seed: int) -> Result:
    """Train a baseline and measure it. FCL and LSTM have no frame figures, as in the paper: a linear model's gradient
    is the same for every clip, and an LSTM's vanishes at the frames that decided.

    Raises:
        ConfigError: the clips cannot be split for early stopping, or nothing separates their frames.
    """
    train_clips = [clip.clip for clip in data.train]
    windows = _cut(train_clips, data.classes, data.spec, data.hop_s)
    windows = windows.only(thinned_labels(windows.clip, windows.labels, WINDOWS_A_CLIP))
    features = windows.features([clip.of(view) for clip in data.train])
    _, val = split_validation(train_clips, VAL_SHARE, seed)
    model = fit_baseline(
        kind, features, windows.labels, np.isin(windows.clip, val), len(data.classes), replace(FIT, seed=seed)
    )
    short = _cut([clip.clip for clip in data.short], data.classes, data.spec, data.hop_s)
    seen = short.only(short.labels != LEFT_OUT)
    probabilities = predict(model, seen.features([clip.of(view) for clip in data.short]))
    verdicts = [
        ClipVerdicts(Unit(0, one.clip.group), seen.labels[seen.clip == c], probabilities[seen.clip == c])
        for c, one in enumerate(data.short)
    ]
    reports: dict[str, dict[str, FrameReport]] = {"short": {}, "long": {}}
    for method in METHODS if kind == "cnn" else ():
        spec = _calibrated(model, method, windows, features, data.classes)
        frames = _frames_of_windows(model, method, spec, seen, probabilities, view, data)
        activities = activity_classes(data.classes, BACKGROUND)
        reports["short"][method] = frame_figures(frames, activities)
        whole = [frames for clip in data.long for frames in _whole_clip(model, method, spec, clip, view, data)]
        reports["long"][method] = frame_figures(whole, activities)
    classification = classify(verdicts, data.classes, BACKGROUND)
    return Result(f"{kind.upper()} (ResNet-50)", view, classification, reports["short"], reports["long"])


def _raw(
    model: Baseline, method: Method, labels: NDArray[np.int64], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Scores `[W, T]` of each window for its own label."""
    scores = np.empty(features.shape[:2])
    for label in np.unique(labels):
        mine = labels == label
        scores[mine] = frame_scores(model, features[mine], int(label), method, SAMPLES)
    return scores


def _calibrated(
    model: Baseline, method: Method, windows: _Windows, features: NDArray[np.float32], classes: Sequence[str]
) -> MethodSpec:
    """Scale and thresholds chosen on training windows, by the same rule as STAN's."""
    raw = _raw(model, method, windows.labels, features).astype(np.float32)
    frames = features.shape[1]
    plain = MethodSpec(
        class_specific=True,
        dealias=False,
        profile=(1.0,) * frames,
        cell_px=1,
        scale=None,
        thresholds=dict.fromkeys(activity_classes(classes, BACKGROUND), 0.5),
    )
    scored = ScoredWindows(
        raw=raw,
        still=np.ones((1, frames), np.float32),  # features of each frame are taken by themselves: no profile
        labels=windows.labels,
        background=predict(model, features)[:, classes.index(BACKGROUND)].astype(np.float64),
        important=windows.important,
        counted=~windows.ignored,
    )
    return choose(method, plain, scored, classes, BACKGROUND).spec


def _frames_of_windows(
    model: Baseline,
    method: Method,
    spec: MethodSpec,
    windows: _Windows,
    probabilities: NDArray[np.float32],
    view: BaselineView,
    data: BaselineData,
) -> list[ClipFrames]:
    """Importance of the frames of the windows that show an activity, clip by clip."""
    nothing = data.classes.index(BACKGROUND)
    chosen = windows.labels != nothing
    windows, probabilities = windows.only(chosen), probabilities[chosen]
    raw = _raw(model, method, windows.labels, windows.features([clip.of(view) for clip in data.short]))
    values = gate(importance(raw, spec), probabilities[:, [nothing]].astype(np.float64))
    found = []
    for c in np.unique(windows.clip):
        mine, clip = windows.clip == c, data.short[c].clip
        counted = ~windows.ignored[mine]
        threshold = spec.thresholds[clip.label]
        unit = Unit(0, clip.group)
        found.append(ClipFrames(unit, clip.label, values[mine][counted], windows.important[mine][counted], threshold))
    return found


def _whole_clip(
    model: Baseline, method: Method, spec: MethodSpec, one: ClipFeatures, view: BaselineView, data: BaselineData
) -> list[ClipFrames]:
    """Importance of every frame of a long clip, from windows joined by the rules of the runtime's timeline."""
    clip = one.clip
    if clip.label == BACKGROUND or not clip.important:
        return []
    windows = _cut([clip], data.classes, data.spec, data.hop_s)
    features = windows.features([one.of(view)])
    probabilities = predict(model, features).astype(np.float64)
    own = np.full(len(features), data.classes.index(clip.label))
    says_nothing = probabilities[:, [data.classes.index(BACKGROUND)]]
    values = gate(importance(_raw(model, method, own, features), spec), says_nothing)
    scored = [
        Scored(_verdict(clip, number, index, predicted, data), scores)
        for number, (index, predicted, scores) in enumerate(zip(windows.index, probabilities, values, strict=True))
    ]
    joint = joined(scored, clip.label, BACKGROUND, data.spec.hop_ticks(data.hop_s), clip.frames)
    counted = ~clip.ignored_flags()
    truth = clip.important_flags()[counted]
    return [ClipFrames(Unit(0, clip.group), clip.label, joint[counted], truth, spec.thresholds[clip.label])]


def _verdict(
    clip: Clip, number: int, index: NDArray[np.int64], probabilities: NDArray[np.float64], data: BaselineData
) -> WindowResult:
    """The record that the runtime would have written of a window."""
    best = int(probabilities.argmax())
    start_s = float(index[0] / clip.fps)
    return WindowResult(
        camera=clip.name,
        window=number,
        t_start_s=start_s,
        t_end_s=start_s + data.spec.window_s,
        valid=True,
        reason=None,
        label=data.classes[best],
        probability=float(probabilities[best]),
        probabilities=dict(zip(data.classes, probabilities.tolist(), strict=True)),
        frames=tuple(FrameScore(float(k / clip.fps), int(k), 0.0, False) for k in index),
        person="none",
        latency_ms=0.0,
    )

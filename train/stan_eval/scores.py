"""Classification of windows and importance of frames as figures with intervals. Arrays in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stan_eval.intervals import Draws, Figure, Unit, divide

CURVE_POINTS = 200
_BINS = 2000


@dataclass(frozen=True, eq=False)
class ClipVerdicts:
    """Predictions for those windows of a clip whose label is known."""

    unit: Unit
    labels: NDArray[np.int64]  # [N], indexing the classes
    probabilities: NDArray[np.float64]  # [N, C]


@dataclass(frozen=True, eq=False)
class ClipFrames:
    """How important a method finds the frames of a clip (of its windows, or of all of it), without ignored ones."""

    unit: Unit
    label: str
    """The activity whose frames they are; it is the class explained."""
    importance: NDArray[np.float64]  # [N]
    important: NDArray[np.bool_]  # [N]
    threshold: float
    """A frame whose importance reaches it is flagged."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision by recall, at most `CURVE_POINTS` points."""

    recall: NDArray[np.float64]  # [P], falling
    precision: NDArray[np.float64]  # [P]


@dataclass(frozen=True, eq=False)
class Classification:
    """Figures of the windows. Classes that the data does not show have none."""

    classes: tuple[str, ...]
    activities: tuple[str, ...]
    """Classes other than the background that the data shows."""
    f1: dict[str, Figure]
    """By activity, each against all the rest."""
    overall: Figure | None
    """Plain mean of the activities' F1, as in the paper."""
    accuracy: Figure | None
    macro_recall: Figure | None
    average_precision: dict[str, Figure]
    curves: dict[str, Curve]
    confusion: NDArray[np.int64]  # [C, C]: target, predicted
    windows: int
    groups: int


@dataclass(frozen=True)
class FrameFigures:
    """How well flagged frames agree with important ones."""

    f1: Figure
    share: float
    """p: share of the frames that are important."""
    all_positive_f1: float
    """What flagging every frame reaches; an F1 near it has shown nothing."""
    average_precision: Figure
    video_f1: Figure
    """Mean of the F1 of each clip."""
    pointing: Figure
    """Pointing game: share of the clips whose most important frame is marked important; ties count in part."""
    clips: int
    groups: int
    """Overall: of the activity that has the fewest, for the mean is no surer than that."""


@dataclass(frozen=True)
class FrameReport:
    """`overall` is the plain mean over the activities, of every figure; None where nobody marked any frame."""

    by_activity: dict[str, FrameFigures]
    overall: FrameFigures | None


def classify(clips: Sequence[ClipVerdicts], classes: Sequence[str], background: str | None) -> Classification:
    """Figures over all windows of all clips; those of a class that no window shows are left out."""
    clips = [clip for clip in clips if len(clip.labels)]
    units = [clip.unit for clip in clips]
    draws = Draws(units)
    matrices = np.zeros((len(clips), len(classes), len(classes)))
    for matrix, clip in zip(matrices, clips, strict=True):
        np.add.at(matrix, (clip.labels, clip.probabilities.argmax(1)), 1)
    confusion = draws.sums(units, matrices)  # [1 + B, C, C]
    hits, target, predicted = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(2), confusion.sum(1)
    f1 = np.where(target > 0, divide(2 * hits, target + predicted), np.nan)
    counts = target[0].astype(int)
    activities = [k for k, name in enumerate(classes) if name != background and counts[k]]
    groups_of = {k: len({c.unit for c in clips if (c.labels == k).any()}) for k in range(len(classes))}
    groups, windows = len(set(units)), int(counts.sum())
    fewest = min((groups_of[k] for k in np.flatnonzero(counts)), default=0)
    items = [clip.unit for clip in clips for _ in clip.labels]
    labels = np.concatenate([np.zeros(0, np.int64), *(clip.labels for clip in clips)])
    probabilities = np.concatenate([np.zeros((0, len(classes))), *(clip.probabilities for clip in clips)])
    precisions, curves = {}, {}
    for k in np.flatnonzero(counts):
        values = average_precisions(draws, items, probabilities[:, k], labels == k)
        precisions[classes[k]] = draws.figure(values, int(counts[k]), groups_of[k])
        curves[classes[k]] = _curve(probabilities[:, k], labels == k)
    return Classification(
        classes=tuple(classes),
        activities=tuple(classes[k] for k in activities),
        f1=_known({classes[k]: draws.figure(f1[:, k], int(counts[k]), groups_of[k]) for k in activities}),
        overall=draws.figure(_mean(f1[:, activities]), windows, fewest),
        accuracy=draws.figure(divide(hits.sum(1), target.sum(1)), windows, groups),
        macro_recall=draws.figure(_mean(divide(hits, target)[:, counts > 0]), windows, fewest),
        average_precision=_known(precisions),
        curves=curves,
        confusion=confusion[0].round().astype(np.int64),
        windows=windows,
        groups=groups,
    )


def frame_figures(clips: Sequence[ClipFrames], activities: Sequence[str]) -> FrameReport:
    """Figures by activity and over all; an activity of which no frame is marked important has none."""
    clips = [clip for clip in clips if len(clip.important)]
    draws = Draws(clip.unit for clip in clips)
    found: dict[str, FrameFigures] = {}
    spreads: list[NDArray[np.float64]] = []  # [4, 1 + B] each: F1, average precision, F1 by video, pointing game
    for label in activities:
        mine = [clip for clip in clips if clip.label == label]
        truth = np.concatenate([np.zeros(0, bool), *(clip.important for clip in mine)])
        if not truth.any():
            continue
        values = _frame_spreads(draws, mine, truth)
        spreads.append(values)
        share = float(truth.mean())
        groups = len({clip.unit for clip in mine})
        found[label] = _frame_row(draws, values, share, all_positive_f1(share), len(truth), len(mine), groups)
    if not found:
        return FrameReport({}, None)
    rows = list(found.values())
    return FrameReport(
        found,
        _frame_row(
            draws,
            np.mean(spreads, axis=0),  # NaN for a draw that misses an activity
            float(np.mean([row.share for row in rows])),
            float(np.mean([row.all_positive_f1 for row in rows])),
            sum(row.f1.n for row in rows),
            sum(row.clips for row in rows),
            min(row.groups for row in rows),
        ),
    )


def all_positive_f1(share: float) -> float:
    """F1 of flagging every frame, 2p / (1 + p): precision p, recall 1."""
    return 2 * share / (1 + share)


def average_precisions(
    draws: Draws, units: Sequence[Unit], scores: NDArray[np.float64], truth: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Average precision sum (R_n - R_n-1) P_n [1 + B] of scores [N], as scikit-learn defines it.

    Scores are ranked in at most 2000 steps, so that every resample takes one sum over steps.
    """
    distinct, inverse = np.unique(-scores, return_inverse=True)  # descending
    if len(distinct) > _BINS:
        first_rank = np.concatenate([[0], np.cumsum(np.bincount(inverse))[:-1]])
        inverse = np.unique(first_rank * _BINS // len(scores), return_inverse=True)[1][inverse]
    steps = int(inverse.max()) + 1 if len(scores) else 0
    counts = np.zeros((2, draws.weights.shape[1], steps))
    places = draws.places(units)
    np.add.at(counts[0], (places, inverse), 1)
    np.add.at(counts[1], (places[truth], inverse[truth]), 1)
    flagged, hits = (np.cumsum(draws.weights @ part, axis=1) for part in counts)
    gained = np.diff(hits, axis=1, prepend=0.0)
    precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
    total = hits[:, -1] if steps else np.zeros(len(draws.weights))
    return divide((gained * precision).sum(1), total)


def _frame_spreads(draws: Draws, clips: Sequence[ClipFrames], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    units = [clip.unit for clip in clips]
    flags = [clip.importance >= clip.threshold for clip in clips]
    hits = np.array([(flag & clip.important).sum() for flag, clip in zip(flags, clips, strict=True)], np.float64)
    total = np.array([flag.sum() + clip.important.sum() for flag, clip in zip(flags, clips, strict=True)], np.float64)
    by_video = divide(2 * hits, total)
    judged = np.isfinite(by_video)
    judged_units = [unit for unit, known in zip(units, judged, strict=True) if known]
    pointed = [(c.unit, c.important[c.importance == c.importance.max()].mean()) for c in clips if c.important.any()]
    pointing_units, hit = [unit for unit, _ in pointed], np.array([share for _, share in pointed])
    items = [clip.unit for clip in clips for _ in clip.important]
    return np.stack(
        [
            divide(2 * draws.sums(units, hits), draws.sums(units, total)),
            average_precisions(draws, items, np.concatenate([clip.importance for clip in clips]), truth),
            divide(draws.sums(judged_units, by_video[judged]), draws.sums(judged_units, np.ones(len(judged_units)))),
            divide(draws.sums(pointing_units, hit), draws.sums(pointing_units, np.ones(len(hit)))),
        ]
    )


def _frame_row(
    draws: Draws,
    values: NDArray[np.float64],
    share: float,
    all_positive: float,
    frames: int,
    clips: int,
    groups: int,
) -> FrameFigures:
    f1, precision, video, pointing = (
        draws.figure(row, n, groups) for row, n in zip(values, (frames, frames, clips, clips), strict=True)
    )
    if f1 is None or precision is None or video is None or pointing is None:
        raise ValueError("an activity with important frames has every figure")
    return FrameFigures(f1, share, all_positive, precision, video, pointing, clips, groups)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over classes [1 + B] from [1 + B, K]; NaN for a draw that misses one of them, and where there are none."""
    return values.mean(1) if values.shape[1] else np.full(len(values), np.nan)


def _known(figures: dict[str, Figure | None]) -> dict[str, Figure]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def _curve(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> Curve:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(truth, scores)
    kept = np.unique(np.linspace(0, len(recall) - 1, CURVE_POINTS).round().astype(int))
    return Curve(recall[kept], precision[kept])

"""From predictions of bundles on clips to figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stan_edge.model.contract import Contract, Method
from stan_eval.event_scores import ClipEvents, event_figures
from stan_eval.intervals import Unit
from stan_eval.predictions import ClipPrediction
from stan_eval.result import Result
from stan_eval.scores import ClipFrames, ClipVerdicts, classify, frame_figures
from stan_train.sampling import LEFT_OUT


def measure(
    model: str, folds: Sequence[tuple[Contract, Sequence[ClipPrediction]]], methods: Sequence[Method]
) -> Result:
    """Figures of one model, or of one model a fold; the contracts have the same classes.

    Args:
        model: its name in tables.
    """
    contract = folds[0][0]
    activities = [name for name in contract.classes if name != contract.background]
    pairs = [(fold_contract, one) for fold_contract, done in folds for one in done]
    return Result(
        model=model,
        view=contract.input.view,
        classification=classify([verdicts(one, c) for c, one in pairs], contract.classes, contract.background),
        short={m: frame_figures([f for c, one in pairs for f in short(one, c, m)], activities) for m in methods},
        long={m: frame_figures([f for c, one in pairs for f in long(one, c, m)], activities) for m in methods},
        copied={m: frame_figures([f for c, one in pairs for f in copied(one, c, m)], activities) for m in methods},
        events=event_figures([events(one) for _, one in pairs], contract.alarms),
    )


def verdicts(one: ClipPrediction, contract: Contract) -> ClipVerdicts:
    """Windows of which it is known what they show."""
    labels = one.seen.labels(contract.classes, contract.background)
    known = labels != LEFT_OUT
    return ClipVerdicts(_unit(one), labels[known], one.probabilities[known])


def short(one: ClipPrediction, contract: Contract, method: Method) -> list[ClipFrames]:
    """Frames of the windows that show the clip's activity; none where nobody marked them."""
    clip = one.clip
    if not clip.important or clip.label not in contract.classes:
        return []
    target = one.seen.labels(contract.classes, contract.background) == contract.classes.index(clip.label)
    counted = target[:, None] & ~one.seen.ignored
    threshold = contract.methods[method].thresholds[clip.label]
    values, truth = one.importance[method][counted], one.seen.important[counted]
    return [ClipFrames(_unit(one), clip.label, values, truth, threshold)]


def long(one: ClipPrediction, contract: Contract, method: Method) -> list[ClipFrames]:
    """All frames of the clip, from joined windows."""
    return _whole(one, contract, method, one.dense.get(method))


def copied(one: ClipPrediction, contract: Contract, method: Method) -> list[ClipFrames]:
    """All frames of the clip, from 20 of them."""
    return _whole(one, contract, method, one.copied.get(method))


def events(one: ClipPrediction) -> ClipEvents:
    """Alarms beside the marked intervals, in seconds of the stream."""
    return ClipEvents(
        unit=_unit(one),
        label=one.clip.label,
        duration_s=one.clip.duration_s,
        important_s=tuple(one.seen.important_s()),
        ignored_s=tuple(one.seen.seconds_of(one.clip.ignored)),
        marked=one.clip.important is not None,
        alarms=one.alarms,
    )


def _whole(
    one: ClipPrediction, contract: Contract, method: Method, values: np.ndarray[tuple[int], np.dtype[np.float64]] | None
) -> list[ClipFrames]:
    if values is None:
        return []
    clip = one.clip
    counted = ~clip.ignored_flags()
    threshold = contract.methods[method].thresholds[clip.label]
    return [ClipFrames(_unit(one), clip.label, values[counted], clip.important_flags()[counted], threshold)]


def _unit(one: ClipPrediction) -> Unit:
    return Unit(one.fold, one.clip.group)

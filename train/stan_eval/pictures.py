"""Figures as pictures: confusion, precision by recall, and timelines. None of them shows a recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stan_edge.model.contract import Contract, Method
from stan_eval.measure import events
from stan_eval.predictions import ClipPrediction
from stan_eval.result import Result
from stan_eval.scores import Classification
from stan_train.manifest import Clip

MOST_CLIPS = 12
MARKED, IGNORED, HIT, FALSE = "#2b8a3e", "#adb5bd", "#1c7ed6", "#e03131"


def draw_figures(
    result: Result, done: Sequence[ClipPrediction], contracts: Sequence[Contract], method: Method, folder: Path
) -> None:
    """Write `confusion.png`, `precision_recall.png` and `timelines.png`.

    Args:
        contracts: by fold.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figures = {"timelines": _timelines(done, contracts, method)}
    if result.classification is not None and result.classification.windows:
        figures["confusion"] = _confusion(result.classification)
        figures["precision_recall"] = _precision_recall(result.classification)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=110)
        plt.close(figure)


def _confusion(found: Classification) -> Any:
    """Counts, shaded by their share of the row."""
    import matplotlib.pyplot as plt

    counts = found.confusion
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = [name.replace("_", " ") for name in found.classes]
    side = 2.2 + 0.9 * len(names)
    figure, axis = plt.subplots(figsize=(side + 1, side), layout="constrained")
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("predicted")
    axis.set_ylabel("target")
    axis.set_title(f"{found.windows} windows; share of the row in %")
    for (target, predicted), count in np.ndenumerate(counts):
        color = "white" if share[target, predicted] > 0.55 else "black"
        text = f"{count}\n{share[target, predicted]:.0%}" if count else "0"
        axis.text(predicted, target, text, ha="center", va="center", color=color, fontsize=9)
    return figure


def _precision_recall(found: Classification) -> Any:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.5, 5), layout="constrained")
    for name, curve in found.curves.items():
        figure_of = found.average_precision.get(name)
        text = name.replace("_", " ") + (f", AP {100 * figure_of.value:.1f}" if figure_of else "")
        axis.step(curve.recall, curve.precision, where="post", label=text)
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02), title="windows, each class by itself")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left")
    return figure


def drawable_name(clip: Clip) -> str:
    """A file's name may hold bytes that cannot be drawn, and `$` would start a formula."""
    return clip.name.encode("ascii", "replace").decode().replace("$", r"\$")


def worst_first(done: Sequence[ClipPrediction], method: Method) -> list[ClipPrediction]:
    """Most missed events and false alarms first, then the least agreement of flagged with important frames."""

    def order(one: ClipPrediction) -> tuple[float, float]:
        truth = events(one)
        missed = sum(truth.found(interval) is None for interval in truth.important_s)
        wrong = missed + sum(truth.is_false(alarm) for alarm in truth.alarms)
        dense = one.dense.get(method)
        if dense is None:
            return -wrong, 0.0
        important = one.clip.important_flags()
        return -wrong, float(dense[important].mean() - dense[~important].mean()) if not important.all() else 0.0

    return sorted(done, key=order)


def _timelines(done: Sequence[ClipPrediction], contracts: Sequence[Contract], method: Method) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    worst = worst_first(done, method)[:MOST_CLIPS]
    figure, axes = plt.subplots(
        len(worst), 1, figsize=(11, 0.6 + 1.5 * len(worst)), layout="constrained", squeeze=False
    )
    for axis, one in zip(axes[:, 0], worst, strict=True):
        _timeline(axis, one, contracts[one.fold], method)
    axes[-1, 0].set_xlabel("s")
    keys = {"important": MARKED, "ignored": IGNORED, "event": HIT, "false alarm": FALSE}
    handles: list[Any] = [Patch(color=color, alpha=0.6, label=name) for name, color in keys.items()]
    handles.append(Line2D([], [], color="black", lw=0, marker="|", markersize=11, label="announced"))
    handles.append(Line2D([], [], color="black", lw=1.2, label=f"importance live ({method})"))
    handles.append(Line2D([], [], color="black", lw=0.7, ls=":", label="threshold"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=8)
    return figure


def _timeline(axis: Any, one: ClipPrediction, contract: Contract, method: Method) -> None:
    """Importance as the runtime shows it, over what is marked; events above, from start to end."""
    truth = events(one)
    for start_s, end_s in truth.important_s:
        axis.axvspan(start_s, end_s, color=MARKED, alpha=0.18, lw=0)
    for start_s, end_s in truth.ignored_s:
        axis.axvspan(start_s, end_s, color=IGNORED, alpha=0.35, lw=0)
    times_s = [frame.t_s for frame in one.timeline]
    values = [np.nan if frame.importance is None else frame.importance for frame in one.timeline]
    axis.plot(times_s, values, color="black", lw=1.2)
    threshold = contract.methods[method].thresholds.get(one.clip.label)
    if threshold is not None:
        axis.axhline(threshold, color="black", lw=0.7, ls=":")
    for number, alarm in enumerate(truth.alarms):
        color = FALSE if truth.is_false(alarm) else HIT
        width_s = max(alarm.t_end_s - alarm.t_start_s, 0.05)
        low = 1.1 + 0.36 * (number % 2)  # two lanes: events of different classes overlap
        axis.barh(low, width_s, height=0.12, left=alarm.t_start_s, color=color, alpha=0.75)
        axis.plot([alarm.announced_s] * 2, [low - 0.09, low + 0.09], color="black", lw=1.4)
        text = f"{alarm.label.replace('_', ' ')} {alarm.peak_probability:.2f}"
        axis.text(alarm.t_start_s, low + 0.07, text, fontsize=6.5, color=color, va="bottom")
    axis.set(xlim=(0, max([one.clip.duration_s, *times_s])), ylim=(0, 1.8), yticks=(0, 0.5, 1))
    axis.set_ylabel("importance", fontsize=7)
    axis.tick_params(labelsize=7)
    missed = sum(truth.found(interval) is None for interval in truth.important_s)
    text = f"{drawable_name(one.clip)}: {one.clip.label.replace('_', ' ')}{', missed' * bool(missed)}"
    axis.set_title(text, fontsize=8, loc="left", color=FALSE if missed else "black", pad=3)

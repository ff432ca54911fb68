"""What went wrong, as pictures of the recordings: missed events and false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stan_edge.model.contract import Contract
from stan_edge.sources import open_source
from stan_edge.types import Image
from stan_eval.event_scores import Interval
from stan_eval.measure import events
from stan_eval.pictures import drawable_name
from stan_eval.predictions import ClipPrediction
from stan_train.manifest import Clip

MOST = 20
COLUMNS = 8
AROUND_S = 0.5
THUMB_PX = 240


@dataclass(frozen=True)
class Failure:
    """A time in a clip, and what should or should not have been predicted there."""

    clip: Clip
    span_s: Interval
    caption: str


def draw_failures(done: Sequence[ClipPrediction], contracts: Sequence[Contract], folder: Path) -> None:
    """Write `missed.png` and `false_alarms.png`, at most 20 rows each; what there is nothing of is not written."""
    for name, failures in (("missed", missed(done, contracts)), ("false_alarms", false_alarms(done))):
        if failures:
            _draw(failures[:MOST], len(failures), folder / f"{name}.png")


def missed(done: Sequence[ClipPrediction], contracts: Sequence[Contract]) -> list[Failure]:
    """Marked activities without an event, those that came closest last.

    Args:
        contracts: by fold.
    """
    found: list[tuple[float, Failure]] = []
    for one in done:
        truth, contract = events(one), contracts[one.fold]
        if truth.label not in contract.alarms:
            continue
        for start_s, end_s in truth.important_s:
            if truth.found((start_s, end_s)) is None:
                near = (one.seen.t_start_s < end_s) & (one.seen.t_end_s > start_s) & one.seen.valid
                column = one.probabilities[near, contract.classes.index(truth.label)]
                peak = float(column.max()) if len(column) else 0.0
                text = f"{drawable_name(one.clip)}: {_spoken(truth.label)} {start_s:.1f}-{end_s:.1f} s missed"
                text += f", at most {peak:.2f} (an event starts at {contract.events[truth.label].enter:.2f})"
                found.append((peak, Failure(one.clip, (start_s, end_s), text)))
    return [failure for _, failure in sorted(found, key=lambda pair: pair[0])]


def false_alarms(done: Sequence[ClipPrediction]) -> list[Failure]:
    """Events where nothing of the kind happens, the surest first."""
    found: list[tuple[float, Failure]] = []
    for one in done:
        truth = events(one)
        for alarm in truth.alarms:
            if truth.is_false(alarm):
                text = f"{drawable_name(one.clip)} ({_spoken(truth.label)}): {_spoken(alarm.label)} "
                text += f"{alarm.t_start_s:.1f}-{alarm.t_end_s:.1f} s, {alarm.peak_probability:.2f}"
                found.append((alarm.peak_probability, Failure(one.clip, (alarm.t_start_s, alarm.t_end_s), text)))
    return [failure for _, failure in sorted(found, key=lambda pair: -pair[0])]


def _draw(failures: Sequence[Failure], total: int, path: Path) -> None:
    """A row for each: eight frames from half a second before to half a second after."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure, axes = plt.subplots(
        len(failures),
        COLUMNS,
        figsize=(2 * COLUMNS, 0.6 + 1.95 * len(failures)),
        layout=ConstrainedLayoutEngine(h_pad=0.16),
        squeeze=False,
    )
    for row, failure in zip(axes, failures, strict=True):
        for axis in row:
            axis.axis("off")
        for axis, (t_s, picture) in zip(row, _frames(failure), strict=False):
            axis.imshow(picture)
            inside = failure.span_s[0] <= t_s <= failure.span_s[1]
            axis.set_title(f"{t_s:.1f} s", fontsize=8, color="#e03131" if inside else "black", pad=2)
        caption = row[0].text(0, 1.2, failure.caption, fontsize=9, transform=row[0].transAxes)
        caption.set_in_layout(False)  # it may reach over the other pictures of its row
    more = f" of {total}" if total > len(failures) else ""
    figure.suptitle(f"{path.stem.replace('_', ' ')}: {len(failures)}{more} (red: within the interval)", fontsize=11)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _frames(failure: Failure) -> list[tuple[float, Image]]:
    """Capture time and picture of frames evenly spread around the interval."""
    last_s = failure.clip.duration_s - 1 / failure.clip.fps
    start_s, end_s = max(failure.span_s[0] - AROUND_S, 0.0), min(failure.span_s[1] + AROUND_S, last_s)
    wanted = list(np.linspace(start_s, end_s, COLUMNS))
    from stan_edge.reports.drawing import scale_to

    frames: list[tuple[float, Image]] = []
    source = open_source(str(failure.clip.path), crop=failure.clip.crop)
    try:
        while len(frames) < len(wanted) and (frame := source.read()) is not None:
            while len(frames) < len(wanted) and frame.t_capture_s >= wanted[len(frames)] - 0.5 / failure.clip.fps:
                frames.append((frame.t_capture_s, scale_to(frame.image, THUMB_PX)))
    finally:
        source.close()
    return frames


def _spoken(label: str) -> str:
    return label.replace("_", " ")

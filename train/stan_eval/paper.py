"""The tables of the STAN paper (arXiv 2405.17444), and those that it leaves out, for any models on any data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from stan_eval.event_scores import EventFigures, EventReport
from stan_eval.intervals import Figure
from stan_eval.report import Cell, Row, Table
from stan_eval.scores import Classification, FrameFigures, FrameReport
from stan_train.manifest import Clip
from stan_train.synthetic.dataset import DATASET as SYNTHETIC

INTERVALS = (
    "[low, high]: 95 % interval over groups of clips (1000 resamples; t interval over folds where there are three). "
    "No interval: fewer than five groups, or no difference between them."
)


@dataclass(frozen=True, eq=False)
class Result:
    """What was measured of one model; frame figures by method."""

    model: str
    view: str
    classification: Classification | None
    short: dict[str, FrameReport]
    """Windows that show the activity."""
    long: dict[str, FrameReport] = field(default_factory=dict)
    """Whole clips, every frame explained."""
    copied: dict[str, FrameReport] = field(default_factory=dict)
    """Whole clips, 20 frames explained and copied to their neighbours."""
    events: EventReport | None = None

    @property
    def name(self) -> str:
        return f"{self.model}, {self.view}"


def tables_of(results: Sequence[Result], notes: Sequence[str]) -> tuple[Table, ...]:
    """Tables 1, 2-4 and 5 of the paper, average precisions, and events; one without any row is left out.

    Args:
        notes: what is said under every table; see `data_notes`.
    """
    tables = (_classification(results), _short(results), _long(results), _beyond_f1(results), _events(results))
    return tuple(
        Table(table.title, table.columns, table.rows, (*table.notes, INTERVALS, *notes))
        for table in tables
        if table.rows
    )


def data_notes(clips: Sequence[Clip], classes: Sequence[str], windows: int, command: str) -> tuple[str, ...]:
    """What figures rest on, in sentences.

    Args:
        classes: those of the model.
        windows: those of which it is known what they show.
    """
    datasets = ", ".join(f"{name} {count}" for name, count in _counts(clip.dataset for clip in clips))
    groups = len({clip.group for clip in clips})
    minutes = sum(clip.duration_s for clip in clips) / 60
    notes = [f"Data: {len(clips)} clips ({datasets}), {minutes:.1f} min, {groups} groups, {windows} labelled windows."]
    synthetic = []
    for label, count in _counts(clip.label for clip in clips):
        rendered = sum(clip.label == label and clip.dataset == SYNTHETIC for clip in clips)
        if rendered:
            synthetic.append(f"{label} ({'all' if rendered == count else rendered} of {count} clips)")
    if synthetic:
        notes.append(f"Synthetic, not recorded: {', '.join(synthetic)}; such figures say little of people.")
    unknown = sorted({clip.label for clip in clips} - set(classes))
    if unknown:
        notes.append(f"The model does not know {', '.join(unknown)}: of such clips only false alarms are counted.")
    unmarked = sum(clip.important is None for clip in clips)
    if unmarked:
        notes.append(
            f"Nobody marked the frames of {unmarked} clips; frame figures and delays leave them out, "
            "and an event anywhere in them counts as found."
        )
    return (*notes, f"Command: `{command}`.")


def _counts(names: Iterable[str]) -> list[tuple[str, int]]:
    all_names = list(names)
    return [(name, all_names.count(name)) for name in sorted(set(all_names))]


def _classification(results: Sequence[Result]) -> Table:
    measured = [(result, result.classification) for result in results if result.classification]
    activities = _in_order(activity for _, found in measured for activity in found.activities)
    columns = (*(f"F1 {name}" for name in activities), "F1 overall", "accuracy", "mean recall")
    columns += tuple(f"AP {name}" for name in activities)
    rows = tuple(
        Row(
            result.name,
            (
                *(found.f1.get(name) for name in activities),
                *(found.overall, found.accuracy, found.macro_recall),
                *(found.average_precision.get(name) for name in activities),
            ),
        )
        for result, found in measured
    )
    return Table(
        "Table 1: classification of windows",
        tuple(_spoken(column) for column in columns),
        rows,
        (
            "F1 x 100 of windows with at least a quarter of important frames (the activity) or none (background); "
            "overall is the plain mean of the activities.",
        ),
    )


def _short(results: Sequence[Result]) -> Table:
    reports = [result.short for result in results]
    methods, activities = _methods(reports), _activities(reports)
    columns: list[str] = []
    for name in (*activities, "overall"):
        columns += [f"{name}: p", f"{name}: all positive", *(f"{name}: {method}" for method in methods)]
    rows = []
    for result in results:
        if any(report.overall for report in result.short.values()):
            groups = [_beside_share(result.short, methods, activity) for activity in (*activities, None)]
            rows.append(Row(result.name, tuple(cell for group in groups for cell in group)))
    return Table(
        "Tables 2-4: important frames, short sequences",
        tuple(_spoken(column) for column in columns),
        tuple(rows),
        (
            "Pooled F1 x 100 over the frames of windows that show the activity; the true class is explained, a frame "
            "counts as important where the data set marks it, ignored frames are left out.",
            "p: share of important frames; all positive: F1 = 2p / (1 + p) of flagging every frame.",
        ),
    )


def _long(results: Sequence[Result]) -> Table:
    reports = [report for result in results for report in (result.short, result.long, result.copied)]
    methods, activities = _methods(reports), _activities([result.long for result in results])
    columns = ["p short", "all positive short"]
    columns += [f"{method} short" for method in methods]
    columns += ["p long", "all positive long"]
    columns += [f"{method} long, {way}" for method in methods for way in ("every frame", "20 copied")]
    rows = []
    for result in results:
        for name in (*activities, None):
            if not any(_of(report, name) for report in result.long.values()):
                continue
            short, dense = (_beside_share(kind, methods, name) for kind in (result.short, result.long))
            copied = _beside_share(result.copied, methods, name)
            pairs = [cell for pair in zip(dense[2:], copied[2:], strict=True) for cell in pair]
            rows.append(Row(f"{result.name}: {_spoken(name or 'overall')}", (*short, *dense[:2], *pairs)))
    return Table(
        "Table 5: important frames, short and long sequences",
        tuple(columns),
        tuple(rows),
        (
            "Pooled F1 x 100. Short: windows that show the activity. Long: all frames of whole clips, with the "
            "importance joined from overlapping windows (every frame), or as in the paper from 20 frames spread over "
            "the clip and copied to their neighbours (20 copied).",
            "p: share of important frames; all positive: F1 = 2p / (1 + p) of flagging every frame.",
        ),
    )


def _beyond_f1(results: Sequence[Result]) -> Table:
    kinds: tuple[tuple[str, Callable[[Result], dict[str, FrameReport]]], ...] = (
        ("short", lambda result: result.short),
        ("long", lambda result: result.long),
    )
    methods = _methods([kind(result) for result in results for _, kind in kinds])
    activities = _activities([kind(result) for result in results for _, kind in kinds])
    columns = ["p", *(f"{method} {figure}" for method in methods for figure in ("AP", "F1 by video", "pointing"))]
    rows = []
    for result in results:
        for title, kind in kinds:
            for name in (*activities, None):
                found = [_of(kind(result).get(method), name) for method in methods]
                some = next((one for one in found if one), None)
                if some is None:
                    continue
                cells: list[Cell] = [Figure(some.share, None, None, some.f1.n)]
                for one in found:
                    cells += [one.average_precision, one.video_f1, one.pointing] if one else [None, None, None]
                rows.append(Row(f"{result.name}: {_spoken(name or 'overall')}, {title}", tuple(cells)))
    return Table(
        "Important frames without a threshold, and by video",
        tuple(columns),
        tuple(rows),
        (
            "AP: average precision x 100; ranking frames at random gives p. F1 by video: mean of the F1 of each clip. "
            "Pointing: clips whose most important frame is marked.",
            "Important is what the data set marks; ignored frames are left out.",
        ),
    )


def _events(results: Sequence[Result]) -> Table:
    rows = []
    for result in results:
        if result.events is not None:
            figures: list[tuple[str, EventFigures]] = [*result.events.by_alarm.items()]
            for name, found in (*figures, ("all alarms", result.events.overall)):
                rows.append(Row(f"{result.name}: {_spoken(name)}", _event_cells(found)))
    return Table(
        "Events",
        ("found", "found, %", "false alarms", "minutes", "per hour", "delay s, median", "delay s, 90th percentile"),
        tuple(rows),
        (
            "Found: an event of the class overlaps its important interval, 0.5 s added at both ends. False alarm: an "
            "event that overlaps no important or ignored interval of its class; minutes: without these intervals.",
            "Intervals of found and of per hour: exact binomial and exact Poisson.",
            "Delay: from the beginning of the interval to the end of the window that announced the event.",
        ),
    )


def _event_cells(found: EventFigures) -> tuple[Cell, ...]:
    return (
        f"{found.found} of {found.events}" if found.events else None,
        found.recall,
        str(found.false_alarms),
        f"{found.hours * 60:.1f}",
        found.false_alarms_per_hour,
        found.delay_median,
        found.delay_p90,
    )


def _beside_share(reports: dict[str, FrameReport], methods: Sequence[str], name: str | None) -> list[Cell]:
    """p, the F1 of flagging everything, and each method's F1; of an activity, or overall for None."""
    found = [_of(reports.get(method), name) for method in methods]
    some = next((one for one in found if one), None)
    if some is None:
        return [None] * (2 + len(methods))
    cells: list[Cell] = [Figure(value, None, None, some.f1.n) for value in (some.share, some.all_positive_f1)]
    return cells + [one.f1 if one else None for one in found]


def _of(report: FrameReport | None, name: str | None) -> FrameFigures | None:
    if report is None:
        return None
    return report.overall if name is None else report.by_activity.get(name)


def _methods(reports: Iterable[dict[str, FrameReport]]) -> list[str]:
    return _in_order(method for report in reports for method in report)


def _activities(reports: Iterable[dict[str, FrameReport]]) -> list[str]:
    return _in_order(name for report in reports for found in report.values() for name in found.by_activity)


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _spoken(name: str) -> str:
    return name.replace("_", " ")

"""Tables of how well important frames are found: short and long sequences, with and without a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from stan_eval.intervals import Figure
from stan_eval.report import Cell, Row, Table
from stan_eval.result import Result
from stan_eval.scores import FrameFigures, FrameReport


def short_sequences(results: Sequence[Result]) -> Table:
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
        tuple(spoken(column) for column in columns),
        tuple(rows),
        (
            "Pooled F1 x 100 over the frames of windows that show the activity; the true class is explained, a frame "
            "counts as important where the data set marks it, ignored frames are left out.",
            "p: share of important frames; all positive: F1 = 2p / (1 + p) of flagging every frame.",
        ),
    )


def long_sequences(results: Sequence[Result]) -> Table:
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
            rows.append(Row(f"{result.name}: {spoken(name or 'overall')}", (*short, *dense[:2], *pairs)))
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


def beyond_f1(results: Sequence[Result]) -> Table:
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
                rows.append(Row(f"{result.name}: {spoken(name or 'overall')}, {title}", tuple(cells)))
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
    return in_order(method for report in reports for method in report)


def _activities(reports: Iterable[dict[str, FrameReport]]) -> list[str]:
    return in_order(name for report in reports for found in report.values() for name in found.by_activity)


def in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def spoken(name: str) -> str:
    return name.replace("_", " ")

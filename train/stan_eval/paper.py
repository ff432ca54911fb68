"""The tables of the STAN paper (arXiv 2405.17444), and those that it leaves out, for any models on any data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stan_eval.event_scores import EventFigures
from stan_eval.frame_tables import beyond_f1, in_order, long_sequences, short_sequences, spoken
from stan_eval.report import Cell, Row, Table
from stan_eval.result import Result
from stan_train.manifest import Clip
from stan_train.synthetic.dataset import DATASET as SYNTHETIC

INTERVALS = (
    "[low, high]: 95 % interval over groups of clips (1000 resamples; t interval over folds where there are three). "
    "No interval: fewer than five groups, or no difference between them."
)


def tables_of(results: Sequence[Result], notes: Sequence[str]) -> tuple[Table, ...]:
    """Tables 1, 2-4 and 5 of the paper, average precisions, and events; one without any row is left out.

    Args:
        notes: what is said under every table; see `data_notes`.
    """
    tables = (
        _classification(results),
        short_sequences(results),
        long_sequences(results),
        beyond_f1(results),
        _events(results),
    )
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
    activities = in_order(activity for _, found in measured for activity in found.activities)
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
        tuple(spoken(column) for column in columns),
        rows,
        (
            "F1 x 100 of windows with at least a quarter of important frames (the activity) or none (background); "
            "overall is the plain mean of the activities.",
        ),
    )


def _events(results: Sequence[Result]) -> Table:
    rows = []
    for result in results:
        if result.events is not None:
            figures: list[tuple[str, EventFigures]] = [*result.events.by_alarm.items()]
            for name, found in (*figures, ("all alarms", result.events.overall)):
                rows.append(Row(f"{result.name}: {spoken(name)}", _event_cells(found)))
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

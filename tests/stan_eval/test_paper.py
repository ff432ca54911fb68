from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from stan_eval.intervals import Figure, Unit
from stan_eval.paper import data_notes, tables_of
from stan_eval.report import Table
from stan_eval.result import Result
from stan_eval.scores import ClipFrames, ClipVerdicts, FrameReport, classify, frame_figures
from stan_train.manifest import Clip

CLASSES = ("background", "falling", "chest_pain")
CLIP = Clip(
    path=Path("a.mp4"), dataset="synthetic", label="falling", subject="s", group="g", camera="c", fps=10.0, frames=60,
    width_px=10, height_px=10, important=((1, 5),), ignored=(), region="none", crop=None,
)  # fmt: skip


def frames_report(level: float) -> FrameReport:
    truth = np.arange(10) < 4
    clips = [
        ClipFrames(Unit(0, f"{label} {k}"), label, truth * level + 0.1, truth, 0.5)
        for k in range(3)
        for label in CLASSES[1:]
    ]
    return frame_figures(clips, CLASSES[1:])


def result(model: str, *methods: str) -> Result:
    verdicts = [ClipVerdicts(Unit(0, str(k)), np.array([k % 3]), np.eye(3)[[k % 3]]) for k in range(6)]
    by_method = {method: frames_report(0.8) for method in methods}
    return Result(model, "blend", classify(verdicts, CLASSES, "background"), by_method, by_method, by_method)


def cell(table: Table, row: int, column: str) -> object:
    return table.rows[row].cells[table.columns.index(column)]


def test_models_with_different_methods_share_tables() -> None:
    tables = tables_of([result("STAN", "vanilla", "gradcam"), result("LSTM", "vanilla", "smoothgrad")], ["Data: few."])
    assert [table.title.partition(":")[0] for table in tables] == [
        "Table 1",
        "Tables 2-4",
        "Table 5",
        "Important frames without a threshold, and by video",
    ]
    first, short, long, _ = tables
    assert [row.name for row in first.rows] == ["STAN, blend", "LSTM, blend"]
    assert isinstance(cell(first, 0, "F1 chest pain"), Figure)
    assert isinstance(cell(short, 0, "falling: gradcam"), Figure)
    assert cell(short, 1, "falling: gradcam") is None
    share, all_positive = cell(short, 0, "falling: p"), cell(short, 0, "falling: all positive")
    assert isinstance(share, Figure) and isinstance(all_positive, Figure)
    assert (share.value, round(all_positive.value, 4)) == (0.4, 0.5714)
    assert [row.name for row in long.rows[:3]] == [
        "STAN, blend: falling",
        "STAN, blend: chest pain",
        "STAN, blend: overall",
    ]
    assert isinstance(cell(long, 2, "vanilla long, 20 copied"), Figure)
    assert all("Data: few." in table.notes for table in tables)


def test_a_result_without_frames_or_events_has_only_what_was_measured() -> None:
    (only,) = tables_of([replace(result("FCL"), short={}, long={}, copied={})], [])
    assert only.title.startswith("Table 1")


def test_the_notes_say_what_figures_rest_on() -> None:
    clips = [CLIP, replace(CLIP, dataset="gmdcsa24"), replace(CLIP, label="waving", important=None, dataset="own")]
    notes = " ".join(data_notes(clips, CLASSES, 12, "stan-edge evaluate x"))
    assert "3 clips (gmdcsa24 1, own 1, synthetic 1), 0.3 min, 1 groups, 12 labelled windows" in notes
    assert "falling (1 of 2 clips)" in notes
    assert "does not know waving" in notes
    assert "Nobody marked the frames of 1 clips" in notes
    assert "`stan-edge evaluate x`" in notes

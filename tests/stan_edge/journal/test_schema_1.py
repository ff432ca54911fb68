"""A journal that was written before record schema 2 (`run demo.mp4 --hop 1.0`) is read as if it were written today."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stan_edge.journal.reader import events, read_rows
from stan_edge.journal.schema_1 import upgraded
from stan_edge.replay import last_run

STORED = Path(__file__).with_name("schema_1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED, tmp_path / "journal"))


def test_its_events_are_listed(folder: Path) -> None:
    (event,) = events(read_rows(folder, "records").rows)
    assert (event.last["label"], event.last["phase"]) == ("falling", "end")


def test_its_run_is_in_the_words_of_today(folder: Path) -> None:
    run = last_run(folder, Path("demo.mp4"))
    assert run.start["schema"] == 2
    assert run.start["target_class"] is None and "explain_class" not in run.start
    windows = [record for record in run.records if record["type"] == "window"]
    assert {window["explained_class"] for window in windows} == {"background", "falling"}
    assert run.end is not None
    assert run.end["windows"] == {"due": 7, "done": 7, "invalid": 0, "shed": 0, "unexplained": 0}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("full", "full"),
        ("fewer_looks", "half_rate_detection"),
        ("cheap", "cheaper_method"),
        ("alternate", "explain_every_second"),
        ("labels", "labels_only"),
        ("fewer", "every_second_window"),
    ],
)
def test_levels_of_load_have_their_new_names(old: str, new: str) -> None:
    assert upgraded({"type": "load", "level": old})["level"] == new


def test_what_is_in_schema_2_stays(folder: Path) -> None:
    for row in read_rows(folder, "records").rows:
        assert upgraded(row.record) == row.record

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from stan_edge.errors import ConfigError
from stan_eval.result import Result
from stan_eval.steps import Steps
from stan_eval.tables import GridOptions, tables

SMALL = GridOptions(
    train_clips=20, short_clips=5, long_clips=4, calibration_clips=10, epochs=1, epoch_windows=32, workers=1
)


def test_a_row_that_is_done_is_not_made_again(tmp_path: Path) -> None:
    def fail() -> Result:
        raise AssertionError("made again")

    console = Console(quiet=True)
    Steps(tmp_path / "rows", console).row("FCL", lambda: Result("FCL", "global", None, {}))
    again = Steps(tmp_path / "rows", console)
    again.row("FCL", fail)
    again.row("CNN", lambda: Result("CNN", "global", None, {}))
    assert [result.model for result in again.results] == ["FCL", "CNN"]
    with pytest.raises(AssertionError):
        again.row("LSTM", fail)
    assert [result.model for result in Steps(tmp_path / "rows", console).results] == ["FCL", "CNN"]


@pytest.mark.parametrize("content", [b"cstan_eval.paper\nNoSuchResult\n.", b"", b"no pickle"])
def test_rows_that_cannot_be_read_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(ConfigError, match=r"rows was written by another version .* choose another --out"):
        Steps(tmp_path / "rows", Console(quiet=True))


def test_other_options_are_refused(tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text("{}")
    with pytest.raises(ConfigError, match="a grid with other options"):
        tables(tmp_path, SMALL, "again")


@pytest.mark.slow
def test_the_grid_is_measured_and_a_lost_row_made_again_alike(tmp_path: Path) -> None:
    first = tables(tmp_path, SMALL, "again")
    assert len({result.name for result in first}) == 12
    before = (tmp_path / "tables.csv").read_text()
    assert before.count("STAN, blend") > 10
    path = tmp_path / "rows.pickle"
    seconds, rows = pickle.loads(path.read_bytes())
    for name in ("STAN local", "CNN global"):
        del rows[name], seconds[name]
    path.write_bytes(pickle.dumps((seconds, rows)))
    second = tables(tmp_path, replace(SMALL, workers=2), "again")
    assert {result.name for result in second} == {result.name for result in first}
    assert sorted((tmp_path / "tables.csv").read_text().splitlines()) == sorted(before.splitlines())

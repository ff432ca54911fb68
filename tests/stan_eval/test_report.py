from __future__ import annotations

import csv
import io
import json

import pytest
from rich.console import Console

from stan_eval.intervals import Figure
from stan_eval.report import Row, Table, print_tables, text_of, to_csv, to_json, to_markdown, transposed

TABLE = Table(
    "Table 1: F1",
    ("falling", "note", "per hour"),
    (
        Row("stan-t, blend", (Figure(0.8567, 0.80, 0.9, 120), "as | is", Figure(1.5, 0.2, 5.0, 3, "per hour"))),
        Row("stan-t, local", (Figure(0.5, None, None, 7), None, Figure(0.25, None, None, 1, "seconds"))),
    ),
    ("Data: two clips.",),
)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Figure(0.8567, 0.8, 0.9, 1), "85.7 [80.0, 90.0]"),
        (Figure(0.8567, None, None, 1), "85.7"),
        (Figure(1.254, 1.0, 2.0, 1, "seconds"), "1.25 [1.00, 2.00]"),
        (Figure(1.5, 0.2, 5.0, 1, "per hour"), "1.5 [0.2, 5.0]"),
        ("3 of 4", "3 of 4"),
        (None, "-"),
    ],
)
def test_cells_read_as_people_expect(cell: Figure | str | None, text: str) -> None:
    assert text_of(cell) == text


def test_json_gives_back_every_figure() -> None:
    (table,) = json.loads(json.dumps(to_json([TABLE]), allow_nan=False))
    cells = [[Figure(**cell) if isinstance(cell, dict) else cell for cell in row["cells"]] for row in table["rows"]]
    rows = tuple(Row(row["name"], tuple(its)) for row, its in zip(table["rows"], cells, strict=True))
    assert Table(table["title"], tuple(table["columns"]), rows, tuple(table["notes"])) == TABLE


def test_csv_gives_back_every_figure() -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv([TABLE, TABLE]))))
    assert len(lines) == 2 * 6
    first, second = lines[0], lines[1]
    assert (first["table"], first["row"], first["column"]) == ("Table 1: F1", "stan-t, blend", "falling")
    assert (float(first["value"]), float(first["low"]), float(first["high"]), int(first["n"])) == (
        0.8567,
        0.8,
        0.9,
        120,
    )
    assert (second["value"], second["text"]) == ("", "as | is")


def test_markdown_holds_titles_cells_and_notes() -> None:
    text = to_markdown([TABLE])
    assert text.startswith("## Table 1: F1\n\n|  | falling | note | per hour |\n|---|---:|---:|---:|\n")
    assert "| stan-t, blend | 85.7 [80.0, 90.0] | as \\| is | 1.5 [0.2, 5.0] |" in text
    assert "- Data: two clips.\n" in text


def test_in_markdown_a_wide_table_is_turned_and_shared_notes_stand_once() -> None:
    columns = tuple(f"figure {k}" for k in range(12))
    wide = Table("wide", columns, (Row("model", tuple(str(k) for k in range(12))),), ("Of one.", *TABLE.notes))
    text = to_markdown([TABLE, wide])
    assert "| figure 11 | 11 |" in text
    assert text.count("Data: two clips.") == 1
    assert text.endswith("## Notes\n\n- Data: two clips.\n")
    assert text.index("Of one.") < text.index("## Notes")


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="'short' has 1 cells for 3 columns"):
        Table("t", ("a", "b", "c"), (Row("short", (None,)),))


def test_turning_twice_changes_nothing() -> None:
    assert transposed(transposed(TABLE)) == TABLE


def test_a_wide_table_is_turned_to_fit_the_terminal() -> None:
    columns = tuple(f"figure number {k}" for k in range(12))
    wide = Table("wide", columns, (Row("model", tuple(Figure(k / 12, 0.0, 1.0, 5) for k in range(12))),))
    file = io.StringIO()
    print_tables(Console(file=file, width=80), [wide])
    text = file.getvalue()
    assert all(f"figure number {k} " in text for k in range(12))
    assert "91.7 [0.0, 100.0]" in text
    assert "…" not in text

"""Tables as people read them (Markdown) and as programs do (CSV, JSON)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

from stan_eval.intervals import Figure

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Grid

Cell = Figure | str | None
COLUMNS = ("table", "row", "column", "value", "low", "high", "n", "unit", "text")
HEAD = 9
"""Characters in a line of a column's title in a terminal."""
WIDE = 8
"""Columns that a Markdown table may have in any case."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Every row has one cell for each of `columns`; the column of the names has no title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"row {row.name!r} has {len(row.cells)} cells for {len(self.columns)} columns")


def text_of(cell: Cell) -> str:
    """As people read it: shares times 100, the 95 % interval behind the value."""
    if not isinstance(cell, Figure):
        return cell or "-"
    factor, digits = {"share": (100, 1), "seconds": (1, 2), "per hour": (1, 1), "score": (1, 3)}[cell.unit]
    text = f"{cell.value * factor:.{digits}f}"
    if cell.low is None or cell.high is None:
        return text
    return f"{text} [{cell.low * factor:.{digits}f}, {cell.high * factor:.{digits}f}]"


def transposed(table: Table) -> Table:
    """Rows as columns: a table of few models and many figures is read more easily that way."""
    rows = tuple(Row(column, tuple(row.cells[k] for row in table.rows)) for k, column in enumerate(table.columns))
    return Table(table.title, tuple(row.name for row in table.rows), rows, table.notes)


def print_tables(console: Console, tables: Sequence[Table]) -> None:
    """Print tables for people; the notes that all of them share stand once, at the end.

    One that is too wide for the terminal is turned, and if that does not help either it loses its intervals.
    """
    from rich.measure import Measurement

    left_out = False
    unbounded = console.options.update(max_width=10_000)
    shared = _shared_notes(tables)
    for table in tables:
        short = _without_common_prefix(table)
        forms = [_grid(form, intervals=intervals) for intervals in (True, False) for form in (short, transposed(short))]
        fitting = (grid for grid in forms if Measurement.get(console, unbounded, grid).maximum <= console.width)
        fitted = next(fitting, forms[-1])
        left_out |= forms.index(fitted) >= 2
        console.print(fitted, highlight=False)
        for note in table.notes:
            if note not in shared:
                console.print(note, style="dim", markup=False, highlight=False)
        console.print()
    for note in shared:
        console.print(note, markup=False, highlight=False)
    if left_out:
        console.print("Some intervals did not fit the terminal; the files have them.", style="dim")


def _grid(table: Table, *, intervals: bool) -> Grid:
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(
        title=Text(table.title, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for k, name in enumerate(("", *table.columns)):
        grid.add_column(Text(fill(name, HEAD, break_long_words=False)), justify="right" if k else "left", no_wrap=True)
    for row in table.rows:
        cells = (text_of(cell) if intervals else text_of(cell).partition(" [")[0] for cell in row.cells)
        grid.add_row(Text(row.name), *map(Text, cells))
    return grid


def _without_common_prefix(table: Table) -> Table:
    """Rows of a single model name it in every row; the title says it once."""
    prefixes = {row.name.partition(": ")[0] for row in table.rows if ": " in row.name}
    if len(prefixes) != 1 or not all(": " in row.name for row in table.rows):
        return table
    rows = tuple(Row(row.name.partition(": ")[2], row.cells) for row in table.rows)
    return Table(f"{table.title} ({prefixes.pop()})", table.columns, rows, table.notes)


def to_markdown(tables: Sequence[Table]) -> str:
    """One section a table, and one for the notes that all share; what is wider than long is turned."""
    lines: list[str] = []
    shared = _shared_notes(tables)
    for whole in tables:
        table = _without_common_prefix(whole)
        table = transposed(table) if len(table.columns) > max(len(table.rows), WIDE) else table
        lines += [f"## {table.title}", "", _line("", *table.columns), "|---" + "|---:" * len(table.columns) + "|"]
        lines += [_line(row.name, *map(text_of, row.cells)) for row in table.rows]
        own = [f"- {note}" for note in table.notes if note not in shared]
        lines += ["", *own, *([""] if own else [])]
    if shared:
        lines += ["## Notes", "", *(f"- {note}" for note in shared), ""]
    return "\n".join(lines)


def _shared_notes(tables: Sequence[Table]) -> list[str]:
    return [note for note in tables[0].notes if all(note in table.notes for table in tables)] if tables else []


def to_csv(tables: Sequence[Table]) -> str:
    """One line a cell, with the columns `COLUMNS`; shares are not multiplied here."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                figure = (
                    (cell.value, cell.low, cell.high, cell.n, cell.unit) if isinstance(cell, Figure) else (None,) * 5
                )
                writer.writerow((table.title, row.name, column, *figure, text_of(cell)))
    return file.getvalue()


def to_json(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Plain lists and numbers, ready for `json.dumps`."""
    return [asdict(table) for table in tables]


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

"""A measurement for people: on the terminal, and as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from stan_bench.sections import Section, Table

if TYPE_CHECKING:
    from rich.text import Text


def print_sections(sections: Iterable[Section]) -> None:
    """For people, on stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console()
    for section in sections:
        console.print(Text(section.title, style="bold"))
        facts = RichTable(show_header=False, box=None, pad_edge=False)
        for name, value in section.facts.items():
            facts.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
        console.print(facts)
        for table in section.tables:
            shown = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=table.title, title_justify="left")
            for number, name in enumerate(table.header):
                shown.add_column(name, justify="right" if number and name else "left", no_wrap=bool(name))
            for row in table.rows:
                shown.add_row(*map(_cell, row))
            console.print(shown)
        for note in section.notes:
            console.print(Text(note, style="dim"))


def markdown(sections: Iterable[Section], command: str) -> str:
    """The same as a Markdown page that names the command."""
    lines = ["# stan-edge bench", "", f"Command: `{command}`", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        if section.facts:
            lines += [
                "| | |",
                "|---|---|",
                *(f"| {name} | {_escaped(value)} |" for name, value in section.facts.items()),
            ]
            lines.append("")
        for table in section.tables:
            lines += [*_markdown_table(table), ""]
        lines += [*(f"- {note}" for note in section.notes), ""] if section.notes else []
    return "\n".join(lines)


def _markdown_table(table: Table) -> list[str]:
    rows = ("| " + " | ".join(_escaped(cell).replace("\n", "<br>") for cell in row) + " |" for row in table.rows)
    return [f"{table.title}:", "", "| " + " | ".join(table.header) + " |", "|" + "---|" * len(table.header), *rows]


def _cell(text: str) -> Text:
    from rich.text import Text

    first, line, rest = text.partition("\n")
    bad = first.startswith(("REFUSED", "slower", "gone"))
    return Text(first, style="bold red" if bad else "") + Text(line + rest, style="dim")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")

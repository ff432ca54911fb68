"""`stan-edge events`: what a journal holds."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stan_edge.cli.options import JsonLines
from stan_edge.errors import ConfigError

if TYPE_CHECKING:
    from stan_edge.journal.reader import StoredEvent

COLUMNS = ("id", "camera", "label", "phase", "at", "ended_at", "t_start_s", "t_end_s", "peak_probability", "exported")


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the journal; a run may be writing it.")],
    camera: Annotated[str | None, typer.Option("--camera", help="Only this camera's.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Only this class.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="From this time on, like 2025-03-01T08:00.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this time.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Only what is not marked as exported.")] = False,
    json_lines: JsonLines = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    mark: Annotated[
        bool, typer.Option("--mark-exported", help="Mark what is listed: it need not be kept any longer.")
    ] = False,
) -> None:
    """List the events of a journal, the newest last."""
    if json_lines and as_csv:
        raise ConfigError("--json and --csv exclude each other; give one of them.")
    first, last = _moment("--since", since), _moment("--until", until)

    from stan_edge.journal.reader import events, mark_exported, read_rows

    found = read_rows(folder, "records")
    if found.damaged:
        print(
            f"stan-edge: the journal {folder} is damaged, this is what can still be read; "
            "`stan-edge run --journal` repairs it.",
            file=sys.stderr,
        )
    chosen = [
        event
        for event in events(found.rows)
        if (camera is None or event.last["camera"] == camera)
        and (label is None or event.last["label"] == label)
        and (first is None or event.at >= first)
        and (last is None or event.at < last)
        and not (new and event.exported)
    ]
    if json_lines:
        for event in chosen:
            print(json.dumps(event.to_json(), ensure_ascii=False))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(event.to_json() for event in chosen)
    else:
        _table(chosen)
    if mark:
        sys.stdout.flush()  # an output that nobody takes raises here, and then nothing is marked
        mark_exported(folder, chosen)


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # Python 3.10 does not know the Z; a time without a zone is this machine's
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is not an ISO time; write it like 2025-03-01T08:00.", field=option) from error


def _table(chosen: Sequence[StoredEvent]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("announced", "camera", "label", "from to", "peak", "", box=box.SIMPLE_HEAD)
    for event in chosen:
        record = event.to_json()
        state = ["no end"] * (record["phase"] != "end") + ["exported"] * event.exported
        table.add_row(
            f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}",
            Text(record["camera"], overflow="fold"),
            record["label"],
            f"{record['t_start_s']:.1f} {record['t_end_s']:.1f} s",
            f"{record['peak_probability']:.2f}",
            ", ".join(state),
        )
    Console().print(table if chosen else "No events.")

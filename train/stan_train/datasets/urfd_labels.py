"""The table of frame labels that is published with UR Fall Detection: `name,frame,label,...`, header or none."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stan_train.datasets.files import Refusal

NOT_LYING, FALLING, ON_THE_GROUND = -1, 0, 1


@dataclass(frozen=True)
class ClipLabels:
    """Labels of a clip by frame number, from 1."""

    clip: str
    labels: Mapping[int, int]


def read_labels(table: Path) -> Iterator[ClipLabels | Refusal]:
    """Labels clip by clip; a wrong row refuses its clip."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, cells) for cells in reader if cells and cells[0].strip() != "name"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        yield Refusal(table, f"cannot be read as a UTF-8 CSV file ({error}); copy it again")
        return
    clips: dict[str, list[tuple[int, list[str]]]] = {}
    for line, cells in rows:
        clips.setdefault(cells[0].strip(), []).append((line, cells))
    for name, its_rows in clips.items():
        try:
            yield ClipLabels(name, _labels(its_rows))
        except ValueError as error:
            yield Refusal(table, f"{error}; {name} is left out")


def _labels(rows: list[tuple[int, list[str]]]) -> dict[int, int]:
    labels: dict[int, int] = {}
    for line, cells in rows:
        number, label = _parse(line, cells)
        if number in labels:
            raise ValueError(f"line {line}: frame {number} a second time")
        labels[number] = label
    if FALLING not in labels.values():
        raise ValueError("no frame is labelled 0, falling")
    return labels


def _parse(line: int, cells: list[str]) -> tuple[int, int]:
    try:
        number, label = int(cells[1]), int(cells[2])
    except (ValueError, IndexError):
        raise ValueError(f"line {line}: frame and label are no whole numbers") from None
    if label not in (NOT_LYING, FALLING, ON_THE_GROUND):
        raise ValueError(f"line {line}: {label} is an unknown label (there are -1, 0 and 1)")
    if number < 1:
        raise ValueError(f"line {line}: frames are counted from 1")
    return number, label

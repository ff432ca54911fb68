"""Contact sheets: what the clips of each class look like, and which of their frames count as important."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from stan_edge.errors import ConfigError, SourceDecodeError
from stan_edge.sources import open_source
from stan_edge.types import Image
from stan_train.manifest import Clip

COLUMNS = 8
CELL_PX = (160, 120)
"""Width and height of a picture."""
TEXT_PX, STRIP_PX, GAP_PX, FRAME_PX = 18, 8, 10, 3
WIDTH_PX = COLUMNS * CELL_PX[0] + 2 * GAP_PX
ROW_PX = TEXT_PX + CELL_PX[1] + STRIP_PX + GAP_PX
HEAD_PX = 40


def write_previews(
    clips: Sequence[Clip], folder: Path, most: int, on_clip: Callable[[int, int], None]
) -> tuple[Path, ...]:
    """Write `folder/<class>.png` for every class.

    Args:
        most: clips a class; subjects and then groups take turns, so that few clips show many of them.
        on_clip: called with (clips drawn, clips in all).

    Raises:
        ConfigError: the folder cannot be written.
        SourceError: a clip cannot be read.
    """
    import cv2

    by_class: dict[str, list[Clip]] = {}
    for clip in clips:
        by_class.setdefault(clip.label, []).append(clip)
    chosen = {label: spread(same, most) for label, same in sorted(by_class.items())}
    total = sum(map(len, chosen.values()))
    done = 0
    written = []
    for label, shown in chosen.items():
        rows = []
        for clip in shown:
            rows.append(_row(clip))
            done += 1
            on_clip(done, total)
        sheet = np.concatenate([_head(label, len(shown), len(by_class[label])), *rows])
        path = folder / f"{label.replace('/', '-')}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
        except OSError as error:
            raise ConfigError(f"--out {folder}: cannot be written ({error}); choose another folder.") from error
        written.append(path)
    return tuple(written)


def spread(clips: Sequence[Clip], most: int) -> list[Clip]:
    """At most so many clips; data sets, subjects and groups take turns."""
    turns: dict[tuple[str, str], int] = {}
    ranked: list[tuple[int, int, int]] = []
    for clip in clips:
        of_subject, of_group = (clip.dataset, clip.subject), (clip.dataset, "group " + clip.group)
        ranked.append((turns.get(of_group, 0), turns.get(of_subject, 0), len(ranked)))
        turns[of_subject] = turns.get(of_subject, 0) + 1
        turns[of_group] = turns.get(of_group, 0) + 1
    return [clips[number] for *_, number in sorted(ranked)[:most]]


def _head(label: str, shown: int, total: int) -> Image:
    from stan_edge.reports.drawing import GRAY, RED, WHITE, put_text

    head = _empty(HEAD_PX)
    put_text(head, label, (GAP_PX, 26), WHITE, 0.8)
    put_text(head, f"{shown} of {total} clips", (GAP_PX + 360, 26), WHITE)
    put_text(head, "framed, red below: important", (WIDTH_PX - 560, 26), RED)
    put_text(head, "gray below: ignored", (WIDTH_PX - 200, 26), GRAY)
    return head


def _row(clip: Clip) -> Image:
    """A clip [ROW_PX, WIDTH_PX, 3]: its name, frames evenly spread over it, the strip of its intervals."""
    import cv2

    from stan_edge.reports.drawing import GRAY, RED, WHITE, put_text

    row = _empty(ROW_PX)
    flags = "frames not marked" if clip.important is None else f"important {clip.important_flags().mean():.0%}"
    size = f"{clip.width_px}x{clip.height_px} {clip.fps:.1f} fps {clip.duration_s:.1f} s"
    text = f"{clip.name}   {clip.dataset}   subject {clip.subject}   camera {clip.camera}   {size}   {flags}"
    put_text(row, text, (GAP_PX, TEXT_PX - 5), WHITE, 0.42)
    marked = clip.important_flags() & (clip.important is not None)
    ignored = clip.ignored_flags()
    top, bottom = TEXT_PX, TEXT_PX + CELL_PX[1]
    for column, (index, image) in enumerate(_frames(clip)):
        left = GAP_PX + column * CELL_PX[0]
        cell = row[top:bottom, left : left + CELL_PX[0] - 2]
        _fit(image, cell)
        if marked[index]:
            cv2.rectangle(
                row, (left + 1, top + 1), (left + CELL_PX[0] - 4, bottom - 2), RED, FRAME_PX, lineType=cv2.LINE_4
            )
        put_text(row, f"{index / clip.fps:.1f} s", (left + 6, bottom - 7), WHITE, 0.38)
    strip = row[bottom + 2 : bottom + STRIP_PX, GAP_PX : WIDTH_PX - GAP_PX]
    strip[:] = 60
    at = (np.arange(strip.shape[1]) * clip.frames) // strip.shape[1]
    strip[:, ignored[at]] = GRAY
    strip[:, marked[at]] = RED
    return row


def _empty(height_px: int) -> Image:
    from stan_edge.reports.drawing import DARK

    return np.full((height_px, WIDTH_PX, 3), DARK, np.uint8)


def _frames(clip: Clip) -> Iterator[tuple[int, Image]]:
    """Index and picture of the frames in the middle of equal parts of the clip."""
    wanted = [int((k + 0.5) * clip.frames / COLUMNS) for k in range(COLUMNS)]
    source = open_source(str(clip.path), crop=clip.crop)
    try:
        while wanted:
            frame = source.read()
            if frame is None:
                raise SourceDecodeError(
                    f"{clip.path} is shorter than the {clip.frames} frames in the manifest; scan its folder again."
                )
            while wanted and wanted[0] <= frame.index:
                yield wanted.pop(0), frame.image
    finally:
        source.close()


def _fit(image: Image, cell: Image) -> None:
    """Draw a picture into a cell, whole and in its own shape."""
    import cv2

    height, width = image.shape[:2]
    scale = min(cell.shape[1] / width, cell.shape[0] / height)
    size = max(int(width * scale), 1), max(int(height * scale), 1)
    left, top = (cell.shape[1] - size[0]) // 2, (cell.shape[0] - size[1]) // 2
    cell[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)

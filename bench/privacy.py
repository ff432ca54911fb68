"""How much of the person is outside what `--privacy` hides: on recordings of falls, frame by frame.

The person is looked for at the run's own rate, as in a run; a second search looks at every frame, around the same
place. Counted are the frames in which the box of its joints reaches out of what is hidden of that frame. Either search
may be wrong: `--pictures` writes what to look at.

python bench/privacy.py CLIPS... [--crop 320,0,320,240] [--pictures FOLDER] [--out bench/results/privacy.md]
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from typing import Annotated

import cv2
import typer

from stan_edge.person.anonymize import hidden_box
from stan_edge.person.detection import MediapipeDetector
from stan_edge.person.tracking import PersonTracker
from stan_edge.sources import Crop, CroppedSource, VideoFile

LITTLE = 0.1
"""Of the person's longer side."""


def main(
    clips: Annotated[list[Path], typer.Argument(help="Recordings.")],
    crop: Annotated[str | None, typer.Option("--crop", help="Part of the picture: X,Y,WIDTH,HEIGHT.")] = None,
    pictures: Annotated[Path | None, typer.Option("--pictures", help="Folder for the frames that count.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Markdown file to write.")] = None,
) -> None:
    lines = [
        "| clip | frames with a person | all hidden | a little outside | farther outside |",
        "|---|---|---|---|---|",
    ]
    total = [0, 0, 0, 0]
    for clip in clips:
        counts = _count(clip, crop, pictures)
        total = [a + b for a, b in zip(total, counts, strict=True)]
        if any(counts[2:]):
            lines.append(f"| {'/'.join(clip.parts[-2:])} | {' | '.join(map(str, counts))} |")
    lines.append(f"| all {len(clips)} | {' | '.join(map(str, total))} |")
    text = (
        "# What of the person is outside the hidden box\n\n" + "\n".join(lines) + "\n\n"
        f"A little: at most {LITTLE:g} of the person's longer side. Clips without are in the last line only. "
        f"{date.today():%Y-%m-%d}, `bench/privacy.py`.\n"
    )
    print(text)
    if out is not None:
        out.write_text(text, encoding="utf-8")


def _count(clip: Path, crop: str | None, pictures: Path | None) -> list[int]:
    with ExitStack() as stack:
        run, every = (stack.enter_context(closing(MediapipeDetector())) for _ in range(2))
        file = stack.enter_context(closing(VideoFile(clip)))
        source = CroppedSource(file, Crop.parse(crop)) if crop else file
        tracker, counts = PersonTracker(run), [0, 0, 0, 0]
        while (frame := source.read()) is not None:
            region = tracker.update(frame)
            sighting = every.find(frame.image, region.box_px)
            if sighting is None:
                continue
            height, width = frame.image.shape[:2]
            hidden = hidden_box(region, width, height)
            counts[0] += 1
            if hidden is None:
                counts[1] += 1
                continue
            x0, y0, x1, y1 = (float(edge) for edge in sighting.box)
            beyond = (
                hidden[0] - max(x0, 0),
                hidden[1] - max(y0, 0),
                min(x1, width) - hidden[2],
                min(y1, height) - hidden[3],
            )
            share = max(beyond) / max(x1 - x0, y1 - y0)
            if share > 0:
                counts[2 if share <= LITTLE else 3] += 1
                if pictures is not None:
                    picture = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
                    cv2.rectangle(picture, hidden[:2], hidden[2:], (0, 255, 0))
                    cv2.rectangle(picture, (int(x0), int(y0)), (int(x1), int(y1)), (0, 0, 255))
                    cv2.imwrite(str(pictures / f"{clip.stem}-{frame.index:04d}.png"), picture)
        return counts


if __name__ == "__main__":
    typer.run(main)

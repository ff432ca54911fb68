"""How much of the person is outside what `--privacy` hides: on recordings of falls, frame by frame.

The person is looked for at the run's own rate, as in a run; a second search looks at every frame, around the same
place. Counted are its joints' boxes that reach out of what is hidden of that frame.
"""

from __future__ import annotations

import shlex
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from stan_edge.person import PersonTracker
from stan_edge.pose import MediapipeDetector
from stan_edge.privacy import hidden_box
from stan_edge.sources import Crop, CroppedSource, VideoFile


def main(
    clips: Annotated[list[Path], typer.Argument(help="Recordings.")],
    crop: Annotated[str | None, typer.Option("--crop", help="Part of the picture: X,Y,WIDTH,HEIGHT.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Markdown file to write.")] = None,
) -> None:
    found = whole = out_of_box = 0
    worst_share = 0.0
    for clip in clips:
        run, every = MediapipeDetector(), MediapipeDetector()
        tracker = PersonTracker(run)
        file = VideoFile(clip)
        source = CroppedSource(file, Crop.parse(crop)) if crop else file
        while (frame := source.read()) is not None:
            region = tracker.update(frame)
            sighting = every.find(frame.image, region.box_px)
            if sighting is None:
                continue
            height, width = frame.image.shape[:2]
            found += 1
            hidden = hidden_box(region, width, height)
            if hidden is None:
                whole += 1
                continue
            x0, y0, x1, y1 = sighting.box
            outside_px = max(
                hidden[0] - max(x0, 0), hidden[1] - max(y0, 0), min(x1, width) - hidden[2], min(y1, height) - hidden[3]
            )
            if outside_px > 0:
                out_of_box += 1
                worst_share = max(worst_share, outside_px / max(x1 - x0, y1 - y0))
        source.close()
        run.close()
        every.close()
    text = (
        "# What of the person is outside the hidden box\n\n"
        "| frames with a person | whole picture hidden | joints outside | farthest, of the person's longer side |\n"
        "|---|---|---|---|\n"
        f"| {found} | {whole} | {out_of_box} ({out_of_box / max(found, 1):.2%}) | {worst_share:.2f} |\n\n"
        f"{len(clips)} clips, {date.today():%Y-%m-%d}. `python {shlex.join(sys.argv)}`\n"
    )
    print(text)
    if out is not None:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

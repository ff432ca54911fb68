"""Hours of rooms in which nothing that matters happens: how often does it alarm all the same?

    python -m bench.faults.idle_hours DATA/idle --work runs/idle-hours [--hours 8] [--out bench/results/idle-hours.md]

The clips of a folder, one after the other, again and again, through the whole runtime: MediaPipe, the shipped model,
events. A few minutes of clips stay a few minutes of people: what is different from turn to turn is only what `varied`
does, and the rate is no rate of rooms that the model has not seen. Killed, it goes on behind the last whole turn, which
is a line in `turns.jsonl` of the working folder.
"""

from __future__ import annotations

import json
import random
import shlex
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from stan_edge.backends.registry import open_backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import open_bundle, shipped_bundle
from stan_edge.person.detection import watching
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import Event, Record, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame, VideoFile
from stan_edge.types import Image

METHOD = "gradcam"
HOP_S = 0.2
SUFFIXES = (".mp4", ".mkv", ".avi", ".webm", ".mov")
FEW = 0.025
"""Of the two-sided 95 % interval of a Poisson count."""


@dataclass(frozen=True)
class Variation:
    """How a turn differs from the clip; the first one is the clip itself."""

    later_s: float = 0.0
    """Left out at the beginning: the windows begin at other frames."""
    mirrored: bool = False
    cropped: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Shares of the picture that are cut off: left, top, right, bottom."""
    gain: float = 1.0
    offset: float = 0.0
    """Gray levels become `gain * level + offset`."""


def varied(turn: int) -> Variation:
    if turn == 0:
        return Variation()
    rng = random.Random(turn)
    left, top, right, bottom = (rng.uniform(0, 0.06) for _ in range(4))
    return Variation(
        later_s=rng.uniform(0, 2.0),
        mirrored=rng.random() < 0.5,
        cropped=(left, top, right, bottom),
        gain=rng.uniform(0.8, 1.2),
        offset=rng.uniform(-15, 15),
    )


class Varied:
    """A clip, a little different."""

    live = False

    def __init__(self, path: Path, how: Variation) -> None:
        self.name = path.name
        self._clip = VideoFile(path)
        self._how = how
        self._first: Frame | None = None
        levels = np.arange(256) * how.gain + how.offset
        self._levels = levels.clip(0, 255).round().astype(np.uint8)

    def read(self) -> Frame | None:
        while (frame := self._clip.read()) is not None:
            if frame.t_capture_s >= self._how.later_s:
                break
        else:
            return None
        first = self._first = self._first or frame
        image = self._image(frame.image)
        return replace(
            frame, index=frame.index - first.index, t_capture_s=frame.t_capture_s - first.t_capture_s, image=image
        )

    def close(self) -> None:
        self._clip.close()

    def _image(self, image: Image) -> Image:
        if self._how == Variation():
            return image
        height, width = image.shape[:2]
        left, top, right, bottom = self._how.cropped
        image = image[
            round(top * height) : round((1 - bottom) * height), round(left * width) : round((1 - right) * width)
        ]
        image = cv2.LUT(image, self._levels)
        return np.ascontiguousarray(image[:, ::-1]) if self._how.mirrored else image


class Noted(Sink):
    """Alarms, and what became of windows."""

    def __init__(self) -> None:
        self.alarms: list[dict[str, Any]] = []
        self.windows = self.valid = 0
        self.end_s = 0.0

    def record(self, record: Record) -> None:
        if isinstance(record, Event) and record.phase == "end":
            self.alarms.append(
                {"label": record.label, "t_s": round(record.t_start_s, 2), "p": round(record.peak_probability, 3)}
            )
        if isinstance(record, WindowResult):
            self.windows += 1
            self.valid += record.valid
            self.end_s = record.t_end_s


def turns_done(path: Path) -> list[dict[str, Any]]:
    """Whole lines; the last one may be half there."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def upper_rate(count: int, hours: float) -> tuple[float, float]:
    """Exact 95 % interval of a Poisson rate (Garwood 1936)."""
    from scipy.stats import chi2

    low = chi2.ppf(FEW, 2 * count) / 2 if count else 0.0
    return low / hours, chi2.ppf(1 - FEW, 2 * count + 2) / 2 / hours


def report(turns: list[dict[str, Any]], clips: list[Path], took: str) -> str:
    hours = sum(turn["duration_s"] for turn in turns) / 3600
    distinct_s = sum(turn["duration_s"] for turn in turns if turn["turn"] == 0)
    alarms = [(turn, alarm) for turn in turns for alarm in turn["alarms"]]
    low, high = upper_rate(len(alarms), hours)
    spread = sum(bool(turn["alarms"]) for turn in turns)
    rows = [
        ("camera time", f"{hours:.2f} h, {len(turns)} turns of {len(clips)} clip{'s' * (len(clips) > 1)}"),
        ("of that distinct", f"{distinct_s / 60:.1f} min"),
        (
            "windows, of these valid",
            f"{sum(turn['windows'] for turn in turns)}, {sum(turn['valid'] for turn in turns)}",
        ),
        ("false alarms", f"{len(alarms)}, in {spread} turns"),
        (
            "false alarms an hour (95 % as if turns were independent)",
            f"{len(alarms) / hours:.2f} ({low:.2f} to {high:.2f})",
        ),
    ]
    labels = sorted({alarm["label"] for _, alarm in alarms})
    rows += [(f"of these {label}", str(sum(alarm["label"] == label for _, alarm in alarms))) for label in labels]
    return "\n".join(
        [
            "# Idle hours",
            "",
            f"{date.today()}. Command: `python -m bench.faults.idle_hours {shlex.join(sys.argv[1:])}`. {took}",
            "Turn 0 is the clips as they are. Each later turn begins 0 to 2 s into them, is mirrored or not, loses 0",
            "to 6 % at each side, and has gray levels times 0.8 to 1.2 plus -15 to 15, all from the turn's number.",
            "People, room and what they do are the same in all of them.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {what} | {figure} |" for what, figure in rows),
            "",
            *(
                f"- turn {turn['turn']}, {turn['clip']} at {a['t_s']:.1f} s: {a['label']} {a['p']:.2f}"
                for turn, a in alarms[:40]
            ),
            "",
        ]
    )


def main(
    folder: Annotated[Path, typer.Argument(help="Clips in which nothing that matters happens.")],
    work: Annotated[Path, typer.Option(help="Folder that says how far it is.")],
    hours: Annotated[float, typer.Option(help="Camera time.")] = 8.0,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write, anew after every turn.")] = None,
) -> None:
    clips = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not clips:
        raise SystemExit(f"{folder} holds no clips")
    work.mkdir(parents=True, exist_ok=True)
    path = work / "turns.jsonl"
    turns = turns_done(path)
    path.write_text("".join(json.dumps(turn) + "\n" for turn in turns), encoding="utf-8")
    bundle, backend = open_bundle(shipped_bundle()), open_backend(threads=1)
    explainer = Explainer(bundle, backend, METHOD)
    known = {(turn["turn"], turn["clip"]) for turn in turns}
    turn = 0
    while sum(one["duration_s"] for one in turns) < 3600 * hours:
        for clip in clips:
            if (turn, clip.name) in known:
                continue
            noted, how, began_s = Noted(), varied(turn), time.monotonic()
            with (
                closing(Varied(clip, how)) as source,
                watching(masks=bundle.contract.input.region == "mask") as tracker,
            ):
                Runtime(bundle, backend, explainer, hop_s=HOP_S).watch([CameraSpec(source, tracker, [noted])])
            turns.append(
                {
                    "turn": turn,
                    "clip": clip.name,
                    "duration_s": round(noted.end_s, 2),
                    "took_s": round(time.monotonic() - began_s, 1),
                    "windows": noted.windows,
                    "valid": noted.valid,
                    "alarms": noted.alarms,
                    "how": asdict(how),
                }
            )
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(turns[-1]) + "\n")
            times = sum(one["duration_s"] for one in turns) / sum(one["took_s"] for one in turns)
            page = report(turns, clips, f"{bundle.contract.name}, {METHOD}, {times:.1f} times real time.")
            if out:
                part = out.with_name(out.name + ".part")
                part.write_text(page, encoding="utf-8")
                part.replace(out)
        turn += 1
    print(report(turns, clips, ""))


if __name__ == "__main__":
    typer.run(main)

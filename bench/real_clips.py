"""What the shipped model says on real recordings: falls found, false alarms per hour.

    python bench/real_clips.py PATH_TO_DATA [--model BUNDLE] [--out bench/results/real_clips.md]

The folder holds `gmdcsa24`, `urfd`, `idle`, `asl_gestures` as published (URFD: the right half is the RGB picture).
A fall counts as found when a `falling` event overlaps its labelled interval, half a second added at both ends; any
other event is a false alarm.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from stan_edge.backends import open_backend
from stan_edge.bundle import open_bundle, shipped_bundle
from stan_edge.explainer import Explainer
from stan_edge.person import MediapipeDetector, PersonTracker
from stan_edge.records import Event, Record
from stan_edge.runtime import Runtime
from stan_edge.sinks import Sink
from stan_edge.sources import Crop, Frame, open_source

SLACK_S = 0.5
URFD_RGB = Crop(320, 0, 320, 240)
URFD_FPS = 30
FALL = re.compile(r"Fall\w*\s*\(\w+\)\s*\[\s*([\d.]+)\s*to\s*([\d.]+)")


@dataclass(frozen=True)
class Clip:
    path: Path
    group: str
    fall_s: tuple[float, float] | None
    crop: Crop | None = None


@dataclass(frozen=True)
class Verdict:
    clip: Clip
    duration_s: float
    events: tuple[Event, ...]

    @property
    def found(self) -> bool:
        return any(event.label == "falling" and self._overlaps(event) for event in self.events)

    @property
    def false_alarms(self) -> list[Event]:
        return [event for event in self.events if event.label != "falling" or not self._overlaps(event)]

    def _overlaps(self, event: Event) -> bool:
        fall_s = self.clip.fall_s
        return fall_s is not None and event.t_start_s <= fall_s[1] + SLACK_S and event.t_end_s >= fall_s[0] - SLACK_S


class _Ended(Sink):
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.last_s = 0.0

    def record(self, record: Record) -> None:
        if isinstance(record, Event) and record.phase == "end":
            self.events.append(record)

    def frame(self, frame: Frame, region: object) -> None:
        self.last_s = frame.t_capture_s


def find_clips(data: Path) -> list[Clip]:
    clips = []
    for table in sorted(data.glob("gmdcsa24/*/*.csv")):
        with table.open(newline="", encoding="utf-8") as file:
            labels = {row[0].strip(): ",".join(row[1:]) for row in csv.reader(file) if row}
        for path in sorted((table.parent / table.stem).glob("*.mp4")):
            found = FALL.search(labels.get(path.name, ""))
            fall_s = (float(found[1]), float(found[2])) if found else None
            clips.append(Clip(path, f"GMDCSA24 {table.stem.lower()}", fall_s))
    falling: dict[str, list[int]] = {}
    for row in csv.DictReader((data / "urfd" / "urfall-cam0-falls.csv").open()):
        if row["label"] == "0":
            falling.setdefault(row["name"], []).append(int(row["frame"]) - 1)
    for path in sorted(data.glob("urfd/*.mp4")):
        frames = falling[path.name.removesuffix("-cam0.mp4")]
        clips.append(Clip(path, "URFD fall", (min(frames) / URFD_FPS, max(frames) / URFD_FPS), URFD_RGB))
    clips += [Clip(path, "idle", None) for path in sorted(data.glob("idle/*.mp4"))]
    return clips + [Clip(path, "gestures", None) for path in sorted(data.glob("asl_gestures/*.mkv"))]


def main(
    data: Path,
    model: Annotated[Path | None, typer.Option(help="Bundle; default: the shipped one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    bundle = open_bundle(model or shipped_bundle())
    backend = open_backend()
    explainer = Explainer(bundle, backend, "vanilla")
    verdicts = []
    for clip in find_clips(data):
        sink, detector = _Ended(), MediapipeDetector(masks=bundle.contract.input.region == "mask")
        Runtime(bundle, backend, explainer, [sink]).run(
            open_source(str(clip.path), crop=clip.crop), PersonTracker(detector)
        )
        detector.close()
        verdicts.append(Verdict(clip, sink.last_s, tuple(sink.events)))
        print(_row(data, verdicts[-1]), flush=True)
    report = _report(data, verdicts, f"{bundle.contract.name} {bundle.digest}, {backend.name} {backend.precision}")
    print(report)
    if out:
        out.write_text(report, encoding="utf-8")


def _row(data: Path, verdict: Verdict) -> str:
    fall_s = verdict.clip.fall_s
    events = "; ".join(
        f"{e.label} {e.t_start_s:.1f}-{e.t_end_s:.1f} ({e.peak_probability:.2f})" for e in verdict.events
    )
    truth = f"{fall_s[0]:.1f}-{fall_s[1]:.1f}" if fall_s else "-"
    judged = ("found" if verdict.found else "MISSED") if fall_s else ""
    name = verdict.clip.path.relative_to(data)
    return f"| {name} | {truth} | {judged} | {len(verdict.false_alarms)} | {events or '-'} |"


def _report(data: Path, verdicts: list[Verdict], conditions: str) -> str:
    lines = [
        "# Real recordings",
        "",
        f"{conditions}, method vanilla, {date.today().isoformat()}. Command: `python bench/real_clips.py DATA`.",
        "No model was trained on any of these clips; "
        "the settings of the person search were chosen on GMDCSA24 and URFD.",
        "",
        "| group | clips | minutes | falls found | false alarms | by class |",
        "|---|---|---|---|---|---|",
    ]
    for group in dict.fromkeys(verdict.clip.group for verdict in verdicts):
        inside = [verdict for verdict in verdicts if verdict.clip.group == group]
        falls = [verdict for verdict in inside if verdict.clip.fall_s]
        alarms = [event.label for verdict in inside for event in verdict.false_alarms]
        by_class = ", ".join(f"{label} {alarms.count(label)}" for label in sorted(set(alarms)))
        minutes = sum(verdict.duration_s for verdict in inside) / 60
        found = f"{sum(verdict.found for verdict in falls)} of {len(falls)}" if falls else "-"
        lines.append(f"| {group} | {len(inside)} | {minutes:.1f} | {found} | {len(alarms)} | {by_class or '-'} |")
    lines += [
        "",
        "| clip | labelled fall, s | | false alarms | events, s (peak probability) |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_row(data, verdict) for verdict in verdicts), ""])


if __name__ == "__main__":
    typer.run(main)

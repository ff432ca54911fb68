"""`stan-edge run` with several cameras that freeze, go black and reboot in turns: are the others disturbed?

    python -m bench.faults.room [--cameras 4] [--minutes 10] [--out bench/results/room.md]

MJPEG servers of this process show the demo clip in real time; the last camera is left alone. What is counted comes out
of the command itself: windows that are there within one hop, labels of windows that are not valid, verdicts on pictures
of a fault, and how long after a fault the first valid window comes. One camera works, too; then every fault is its own.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import psutil
import typer

from stan_edge.sources import VideoFile, demo_clip
from tests.e2e.mjpeg import FPS, MjpegCamera

Kind = Literal["frozen", "black", "reboot"]
KINDS: tuple[Kind, ...] = ("frozen", "black", "reboot")
COMMAND = Path(sys.executable).with_name("stan-edge")
WINDOW_S, HOP_S = 2.0, 0.2
FAULT_S, CALM_S = 15.0, 20.0
"""How long a fault lasts, and how long after it everything is left alone."""
START_S = 120.0
SETTLE_S = 1.5
"""A picture must stay so long to be called frozen, and be on its way."""
WIDTH_PX = 320


@dataclass(frozen=True)
class Fault:
    """Something that was done to a camera, in this process's time."""

    camera: int
    kind: Kind
    from_s: float
    until_s: float


@dataclass
class Watched:
    """What the command said of a camera, and when."""

    windows: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    states: list[tuple[float, str]] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)


class Camera(MjpegCamera):
    """Shows the demo clip; can freeze and be covered."""

    def __init__(self, jpegs: list[bytes]) -> None:
        super().__init__()
        self._whole = self._jpegs = jpegs
        self._black = [cv2.imencode(".jpg", np.zeros((180, WIDTH_PX, 3), np.uint8))[1].tobytes()]

    def fail(self, kind: Kind) -> None:
        if kind == "reboot":
            self.unplug()
        else:
            self._jpegs = self._black if kind == "black" else self._jpegs[:1]

    def recover(self, kind: Kind) -> None:
        self._jpegs = self._whole
        if kind == "reboot":
            self.plug_in()


def demo_jpegs() -> list[bytes]:
    """The clip at the servers' rate."""
    jpegs: list[bytes] = []
    with closing(VideoFile(demo_clip())) as clip:
        while (frame := clip.read()) is not None:
            if frame.t_capture_s * FPS >= len(jpegs):
                height = round(frame.image.shape[0] * WIDTH_PX / frame.image.shape[1])
                small = cv2.resize(cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), (WIDTH_PX, height))
                jpegs.append(cv2.imencode(".jpg", small)[1].tobytes())
    return jpegs


def listen(out: Any, watched: dict[str, Watched]) -> None:
    for line in out:
        record, now_s = json.loads(line), time.monotonic()
        its = watched.get(record["camera"])
        if its is not None and record["type"] == "window":
            its.windows.append((now_s, record))
        elif its is not None and record["type"] == "status":
            its.states.append((now_s, record["state"]))
        elif its is not None and record["type"] == "load":
            its.levels.append(record["level"])


def sample(process: psutil.Process, samples: list[tuple[float, float, float]], ended: threading.Event) -> None:
    """Time, resident MiB and processor seconds."""
    while not ended.wait(1.0):
        try:
            times = process.cpu_times()
            samples.append((time.monotonic(), process.memory_info().rss / 2**20, times.user + times.system))
        except psutil.NoSuchProcess:
            return


def disturb(cameras: list[Camera], until_s: float) -> Iterator[Fault]:
    victims = cameras[:-1] or cameras
    number = 0
    while time.monotonic() + FAULT_S + CALM_S < until_s:
        at, kind = number % len(victims), KINDS[number // len(victims) % len(KINDS)]
        from_s = time.monotonic()
        victims[at].fail(kind)
        time.sleep(FAULT_S)
        victims[at].recover(kind)
        yield Fault(at, kind, from_s, time.monotonic())
        time.sleep(CALM_S)
        number += 1


def on_time(its: Watched, from_s: float, until_s: float) -> tuple[int, int]:
    """Windows that came within a hop of their last frame, and windows that were due."""
    good = sum(
        from_s <= at_s < until_s and one["valid"] and one["latency_ms"] <= 1e3 * HOP_S for at_s, one in its.windows
    )
    return good, max(int((until_s - from_s) / HOP_S), 1)


def wrong(its: Watched, faults: list[Fault]) -> int:
    """Verdicts on windows that lie wholly in a fault."""
    return sum(
        one["valid"] and fault.from_s + WINDOW_S + SETTLE_S < at_s < fault.until_s
        for at_s, one in its.windows
        for fault in faults
    )


def recovered_s(its: Watched, fault: Fault) -> float:
    """From the end of a fault to the first valid window behind it."""
    return min(
        (at_s - fault.until_s for at_s, one in its.windows if one["valid"] and at_s > fault.until_s), default=np.inf
    )


def calm(its: Watched, faults: list[Fault], from_s: float, until_s: float) -> list[tuple[float, float]]:
    """Stretches without a fault, and without the time that it takes to recover: that has a column of its own."""
    parts, start_s = [], from_s
    for fault in faults:
        parts.append((start_s, fault.from_s))
        start_s = fault.until_s + max(CALM_S / 2, recovered_s(its, fault) + WINDOW_S)
    return [(a, b) for a, b in [*parts, (start_s, until_s)] if b > a]


def main(
    cameras: Annotated[int, typer.Option(min=1)] = 4,
    minutes: Annotated[float, typer.Option(help="Real time.")] = 10.0,
    options: Annotated[str, typer.Option(help="More options of `stan-edge run`.")] = "",
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    with ExitStack() as stack:
        jpegs = demo_jpegs()
        shown = [stack.enter_context(closing(Camera(jpegs))) for _ in range(cameras)]
        watched = {camera.url: Watched() for camera in shown}
        flags = [part for camera in shown for part in ("--camera", camera.url)]
        command = [str(COMMAND), "run", *flags, "--wait", "--json", "--hop", f"{HOP_S:g}", *shlex.split(options)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        stack.callback(process.kill)
        threading.Thread(target=listen, args=(process.stdout, watched), daemon=True).start()
        ready_s = time.monotonic() + START_S
        while not all(its.windows for its in watched.values()):
            if process.poll() is not None or time.monotonic() > ready_s:
                raise SystemExit(f"not every camera gave a window within {START_S:g} s")
            time.sleep(0.1)
        time.sleep(10.0)
        samples: list[tuple[float, float, float]] = []
        ended = threading.Event()
        threading.Thread(target=sample, args=(psutil.Process(process.pid), samples, ended), daemon=True).start()
        from_s = time.monotonic()
        faults = list(disturb(shown, from_s + 60 * minutes))
        time.sleep(max(0.0, from_s + 60 * minutes - time.monotonic()))
        until_s = time.monotonic()
        ended.set()
        process.terminate()
        code = process.wait(60)
    text = report(list(watched.values()), faults, samples, (from_s, until_s), code)
    print(text)
    if out:
        out.write_text(text)


def report(
    watched: list[Watched],
    faults: list[Fault],
    samples: list[tuple[float, float, float]],
    span_s: tuple[float, float],
    code: int,
) -> str:
    lines = [
        f"# {len(watched)} cameras, one of them in trouble",
        "",
        f"{date.today()}, {psutil.cpu_count()} processors. Command: "
        f"`{shlex.join(['python', '-m', 'bench.faults.room', *sys.argv[1:]])}`. Faults of {FAULT_S:g} s: "
        f"{', '.join(KINDS)}, {CALM_S:g} s apart.",
        "",
        "| camera | faults | on time, of windows due without a fault of its own | labels without a verdict "
        "| verdicts on a fault | first valid window after a fault, s | lost "
        "| steps of the load ladder |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, its in enumerate(watched):
        own = [fault for fault in faults if fault.camera == number]
        took_s = [recovered_s(its, fault) for fault in own]
        parts = [on_time(its, *part) for part in calm(its, own, *span_s)]
        good, due = (sum(values) for values in zip(*parts, strict=True))
        labels = sum(not one["valid"] and one["label"] is not None for _, one in its.windows)
        recovery = f"{np.median(took_s):.1f}, at most {max(took_s):.1f}" if took_s else "-"
        lost = sum(state == "lost" for _, state in its.states)
        steps = ", ".join(f"{count} x {level}" for level, count in Counter(its.levels).items()) or "-"
        lines.append(
            f"| {number} | {len(own)} | {100 * good / due:.1f} % of {due} | {labels} | {wrong(its, own)} | {recovery} "
            f"| {lost} | {steps} |"
        )
    times_s, rss_mib, cpu_s = (np.array(values) for values in zip(*samples, strict=True))
    late = times_s > times_s[0] + (times_s[-1] - times_s[0]) / 4
    slope = np.polyfit(times_s[late] / 3600, rss_mib[late], 1)[0]
    lines += [
        "",
        f"Processors: {(cpu_s[-1] - cpu_s[0]) / (times_s[-1] - times_s[0]):.2f} of {psutil.cpu_count()}. Resident: "
        f"{rss_mib[0]:.0f} MiB, at the end {rss_mib[-1]:.0f}, {slope:+.1f} MiB an hour after the first quarter. "
        f"Exit code {code}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)

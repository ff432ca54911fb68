"""Where the time goes, from decoding to events; raw values are kept and percentiles are never guessed."""

from __future__ import annotations

import json
import platform
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import numpy as np
import psutil

from stan_edge.backends import Backend
from stan_edge.bundle import Bundle
from stan_edge.errors import SourceDecodeError
from stan_edge.explainer import Explainer
from stan_edge.pose import watching
from stan_edge.runtime import Runtime, StageTimes
from stan_edge.sinks import Sink
from stan_edge.sources import Crop, Frame, Source, open_source

P99_SAMPLES = 1000
"""A 99th percentile of fewer samples is a guess about one or two of them; it is left out."""


@dataclass(frozen=True)
class BenchReport:
    """Raw times in milliseconds by stage, and the conditions under which they were measured."""

    conditions: dict[str, str]
    stages_ms: dict[str, list[float]]
    windows: int
    frames: int
    wall_s: float
    video_s: float
    """Length of the video, all repetitions together."""
    rss_mib: float


class _TimedSource:
    """Times `read`, which is where a file is decoded."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.decode_ms: list[float] = []
        self.last_s = 0.0

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def live(self) -> bool:
        return self._source.live

    def read(self) -> Frame | None:
        started_s = time.perf_counter()
        frame = self._source.read()
        if frame is not None:
            self.decode_ms.append((time.perf_counter() - started_s) * 1e3)
            self.last_s = frame.t_capture_s
        return frame

    def close(self) -> None:
        self._source.close()


def measure(
    bundle: Bundle,
    backend: Backend,
    explainer: Explainer,
    spec: str,
    crop: Crop | None,
    repeat: int,
    *,
    person: bool,
) -> BenchReport:
    """Run a file `repeat` times through the runtime, after one run that warms everything up.

    Raises:
        SourceError: the file cannot be read.
    """
    stages: dict[str, list[float]] = {}
    windows = frames = 0
    wall_s = video_s = 0.0
    for number in range(repeat + 1):
        times = StageTimes.empty()
        source = _TimedSource(open_source(spec, crop=crop))
        with watching(masks=bundle.contract.input.region == "mask") if person else nullcontext() as tracker:
            started_s = time.perf_counter()
            end = Runtime(bundle, backend, explainer, [Sink()], stages=times).run(source, tracker)
        if end.failed:
            raise SourceDecodeError(end.reason)
        if number == 0:
            continue
        wall_s += time.perf_counter() - started_s
        windows, frames, video_s = windows + end.windows.done, frames + end.frames, video_s + source.last_s
        for stage, values in {"decode_ms": source.decode_ms, **asdict(times)}.items():
            stages.setdefault(stage.removesuffix("_ms"), []).extend(values)
    conditions = {
        "source": spec,
        "model": bundle.contract.name,
        "model_digest": bundle.digest,
        "backend": f"{backend.name} {backend.version}",
        "precision": backend.precision,
        "device": backend.device,
        "method": explainer.method,
        "person": "mediapipe" if person else "off",
        "machine": f"{platform.machine()}, {psutil.cpu_count()} processors, Python {platform.python_version()}",
    }
    rss_mib = psutil.Process().memory_info().rss / 2**20
    return BenchReport(conditions, stages, windows, frames, wall_s, video_s, rss_mib)


def percentiles(values: list[float]) -> dict[str, float | None]:
    """p50, p90, p95, p99 and max; p99 is None under `P99_SAMPLES` values."""
    p50, p90, p95, p99 = (float(value) for value in np.percentile(values, (50, 90, 95, 99)))
    enough = len(values) >= P99_SAMPLES
    return {"p50": p50, "p90": p90, "p95": p95, "p99": p99 if enough else None, "max": max(values)}


def print_report(report: BenchReport, *, as_json: bool) -> None:
    """A table for people, or everything, raw values included, as JSON."""
    summary = {stage: percentiles(values) for stage, values in report.stages_ms.items() if values}
    if as_json:
        print(json.dumps(asdict(report) | {"percentiles_ms": summary}))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name, value in report.conditions.items():
        console.print(f"{name:13s} {value}", highlight=False, markup=False)
    table = Table("stage", "n", *("p50", "p90", "p95", "p99", "max"), title="milliseconds")
    for stage, found in summary.items():
        cells = ("-" if value is None else f"{value:.2f}" for value in found.values())
        table.add_row(stage, str(len(report.stages_ms[stage])), *cells)
    console.print(table)
    console.print(
        f"{report.video_s:.1f} s of video in {report.wall_s:.1f} s ({report.video_s / report.wall_s:.1f} x real time), "
        f"{report.frames} frames, {report.windows} windows, resident memory {report.rss_mib:.0f} MiB",
        highlight=False,
    )
    console.print("decode and region: per frame; view, explain and conclude: per window. Files; no camera in between.")
    if any(found["p99"] is None for found in summary.values()):
        console.print(f"p99 is left out under {P99_SAMPLES} values; raise --repeat.", style="dim")

"""A recording through the whole way, from decoding to emitted results: at a camera's pace, or as fast as it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from stan_bench.camera import WARM_UP_WINDOWS, FileCamera, StageTimes, TimedFile, TimingSink, WindowTiming
from stan_bench.resources import ResourceWatch
from stan_bench.result import CameraRun, Measured
from stan_edge.backends.base import Backend
from stan_edge.errors import ConfigError, SourceDecodeError
from stan_edge.files import file_digest
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.person.detection import watching
from stan_edge.person.tracking import Tracker
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End
from stan_edge.sinks.json_lines import JsonLines
from stan_edge.sources import Crop, CroppedSource, Source, VideoFile


@dataclass(frozen=True)
class Recording:
    """What is played, and how it is looked at."""

    path: Path
    crop: Crop | None = None
    person: bool = True

    def open(self) -> Source:
        """Raises SourceError when it cannot be read."""
        file = VideoFile(self.path)
        return file if self.crop is None else CroppedSource(file, self.crop)

    def conditions(self, cameras: int) -> dict[str, str]:
        """What a measurement with it depends on."""
        return {
            "source": self.path.name,
            "source_digest": f"sha256:{file_digest(self.path)}",
            "crop": str(self.crop or "none"),
            "person": "mediapipe" if self.person else "off",
            "cameras": str(cameras),
        }


@dataclass
class _Play:
    """One camera's way through the recording."""

    camera: FileCamera
    tracker: Tracker | None
    stages: StageTimes
    watch: TimingSink
    end: End | None = None


def measure_camera(
    bundle: Bundle, backend: Backend, explainer: Explainer, recording: Recording, *, plays: int = 1, cameras: int = 1
) -> Measured:
    """Play a recording like a live camera, or like several that share the engine.

    The first `WARM_UP_WINDOWS` windows of each play are kept apart.

    Raises:
        SourceError: the recording cannot be read.
        ConfigError: it is too short for a window after the warm-up.
    """
    resources = ResourceWatch()
    rounds: list[list[_Play]] = []
    wall_s = 0.0
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        for _ in range(plays):
            with ExitStack() as stack:
                names = [str(recording.path) if cameras == 1 else f"camera {k + 1}" for k in range(cameras)]
                these = [
                    _set_up(bundle, recording, name, k * bundle.contract.hop_s / cameras, stack)
                    for k, name in enumerate(names)
                ]
                # without a ladder: what is measured is done for every window
                runtime = Runtime(bundle, backend, explainer)
                with resources.measuring():
                    started_s = time.monotonic()
                    _play_all(runtime, these, nowhere)
                    wall_s += time.monotonic() - started_s
            rounds.append(these)
    every = [play for these in rounds for play in these]
    steady, warm_up = _by_stage(every, several=cameras > 1)
    if not steady["explain"] and not any(play.end and play.end.windows.shed for play in every):
        raise ConfigError(
            f"{recording.path} gives no valid window after the {WARM_UP_WINDOWS} that warm up; give a longer recording."
        )
    first = rounds[0][0].watch
    return Measured(
        steady,
        warm_up,
        resources.resources(),
        wall_s,
        tuple(_camera_run([these[k] for these in rounds]) for k in range(cameras)),
        sum(play.end.frames for play in every if play.end),
        sum(play.camera.file.last_s for play in every),
        first.first_frame_s,
        first.first_result_s,
    )


def measure_fast(
    bundle: Bundle, backend: Backend, explainer: Explainer, recording: Recording, *, plays: int
) -> Measured:
    """Run a recording `plays` times as fast as it goes, after one run that warms everything up.

    Raises:
        SourceError: the recording cannot be read.
    """
    resources = ResourceWatch()
    steady: dict[str, list[float]] = {}
    warm_up: dict[str, list[float]] = {}
    windows, frames, wall_s, video_s = [], 0, 0.0, 0.0
    masks = bundle.contract.input.region == "mask"
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        for number in range(plays + 1):
            stages, file = StageTimes(), TimedFile(recording.open())
            watch = TimingSink(None, stages, bundle.contract.hop_s)
            with ExitStack() as stack:
                tracker = stack.enter_context(watching(masks=masks)) if recording.person else None
                if number > 0:
                    stack.enter_context(resources.measuring())
                started_s = time.monotonic()
                camera = CameraSpec(file, tracker, [JsonLines(nowhere, live=False), watch], stages.end)
                (end,) = Runtime(bundle, backend, explainer).watch([camera])
                spent_s = time.monotonic() - started_s
            if end.failed:
                raise SourceDecodeError(end.reason)
            for stage, values in _without_queue(_stages(file, stages)).items():
                (steady if number > 0 else warm_up).setdefault(stage, []).extend(values)
            if number > 0:
                windows += watch.windows
                frames, wall_s, video_s = frames + end.frames, wall_s + spent_s, video_s + file.last_s
    run = CameraRun(str(recording.path), tuple(windows), [], 0)
    return Measured(steady, warm_up, resources.resources(), wall_s, (run,), frames, video_s)


def _set_up(bundle: Bundle, recording: Recording, name: str, start_after_s: float, stack: ExitStack) -> _Play:
    camera = FileCamera(recording.open(), name, start_after_s)
    stack.callback(camera.close)
    masks = bundle.contract.input.region == "mask"
    tracker = stack.enter_context(watching(masks=masks)) if recording.person else None
    stages = StageTimes()
    return _Play(camera, tracker, stages, TimingSink(camera, stages, bundle.contract.hop_s))


def _play_all(runtime: Runtime, plays: Sequence[_Play], nowhere: TextIO) -> None:
    """Run the cameras together until each has ended.

    Raises:
        StanEdgeError: what went wrong with the first camera that failed.
    """
    ends = runtime.watch(
        [
            CameraSpec(play.camera, play.tracker, [JsonLines(nowhere, live=True), play.watch], play.stages.end)
            for play in plays
        ]
    )
    for play, end in zip(plays, ends, strict=True):
        if end.failed:
            raise SourceDecodeError(end.reason)
        play.end = end


def _stages(file: TimedFile, stages: StageTimes) -> dict[str, list[float]]:
    return {"decode": file.decode_ms, **stages.ms}


def _without_queue(stages: dict[str, list[float]]) -> dict[str, list[float]]:
    """Of one camera, which never waits for another."""
    return {stage: values for stage, values in stages.items() if stage != "queue"}


def _by_stage(plays: Sequence[_Play], *, several: bool) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Steady state and warm-up of all plays."""
    steady: dict[str, list[float]] = {}
    warm_up: dict[str, list[float]] = {}
    for play in plays:
        values = _stages(play.camera.file, play.stages)
        values = values if several else _without_queue(values)
        warm = {stage: play.watch.warm_up.get(stage, len(values[stage])) for stage in values}
        for stage in values:
            warm_up.setdefault(stage, []).extend(values[stage][: warm[stage]])
            steady.setdefault(stage, []).extend(values[stage][warm[stage] :])
        warm_up.setdefault("window", []).extend(_latencies(play.watch.windows[:WARM_UP_WINDOWS]))
        steady.setdefault("window", []).extend(_latencies(play.watch.windows[WARM_UP_WINDOWS:]))
        for event in play.watch.events:
            kept = steady if event.window > WARM_UP_WINDOWS else warm_up
            kept.setdefault("event", []).append(event.latency_ms)
            if event.onset_ms is not None:
                kept.setdefault("event_onset", []).append(event.onset_ms)
    return steady, warm_up


def _latencies(windows: Sequence[WindowTiming]) -> list[float]:
    return [window.latency_ms for window in windows if window.latency_ms is not None]


def _camera_run(plays: Sequence[_Play]) -> CameraRun:
    return CameraRun(
        plays[0].camera.name,
        tuple(window for play in plays for window in play.watch.windows),
        [latency_ms for play in plays for latency_ms in _latencies(play.watch.windows[WARM_UP_WINDOWS:])],
        sum(sum(play.end.dropped.values()) for play in plays if play.end),
    )

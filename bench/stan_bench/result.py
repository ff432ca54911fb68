"""What a measurement found, with every raw value."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import psutil

from stan_bench.camera import WindowState, WindowTiming
from stan_bench.resources import Resources
from stan_bench.statistics import intervals, percentiles
from stan_edge.backends.base import Backend, Placement
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Method
from stan_edge.parity import ParityRow

SCHEMA = 1
Mode = Literal["camera", "fast", "pure", "compare"]
WHAT: dict[Mode, str] = {
    "camera": "camera to event: the recording at its own pace, from the capture of a frame to results and alarms",
    "fast": "throughput: the recording as fast as possible; no camera, so no latency",
    "pure": "pure inference on recorded windows; no camera, no decoding, no person search, no events",
    "compare": "pure inference on recorded windows, all combinations in turn; no camera, no decoding, no events",
}


@dataclass(frozen=True)
class CameraRun:
    """One camera, all its plays together."""

    name: str
    windows: tuple[WindowTiming, ...]
    latency_ms: list[float]
    """Steady state: capture to result."""
    dropped_frames: int


@dataclass(frozen=True)
class Measured:
    """Times in milliseconds by stage, in the order in which they were taken, and what they cost."""

    stages_ms: dict[str, list[float]]
    """Steady state."""
    warm_up_ms: dict[str, list[float]]
    resources: Resources
    wall_s: float
    cameras: tuple[CameraRun, ...] = ()
    """Empty where no recording was played."""
    frames: int = 0
    video_s: float = 0.0
    """Length of the recording, all plays of all cameras together."""
    first_frame_s: float | None = None
    """`time.monotonic` when the first frame arrived at a camera's pace."""
    first_result_s: float | None = None
    """`time.monotonic` of the first result."""

    @property
    def windows(self) -> dict[str, int]:
        """Windows due, and what became of them."""
        return count_windows([window.state for camera in self.cameras for window in camera.windows])


@dataclass(frozen=True)
class ColdStart:
    """Seconds since this process started; a result's latency in milliseconds."""

    model_loaded_s: float
    """The engine is there and the graph is compiled; the parity check on first use comes after it."""
    first_frame_s: float | None
    """Everything is loaded, and the camera has delivered; None without a camera."""
    first_result_s: float | None
    first_result_late_ms: float | None
    """From the capture of the frame that completed the first window to its result; None when it was not done."""

    @classmethod
    def of(cls, model_loaded_s: float, measured: Measured, process_start_s: float) -> ColdStart:
        """Args:
        process_start_s: `time.monotonic` when the process started.
        """
        first = [camera.windows[0].latency_ms for camera in measured.cameras if camera.windows][:1]
        return cls(
            model_loaded_s,
            None if measured.first_frame_s is None else measured.first_frame_s - process_start_s,
            None if measured.first_result_s is None else measured.first_result_s - process_start_s,
            first[0] if first else None,
        )


@dataclass(frozen=True)
class BenchReport:
    """One measurement, under which conditions it was taken, and whether its results are right."""

    mode: Mode
    conditions: dict[str, str]
    """What two measurements must share to be compared."""
    software: dict[str, str]
    """What may differ between two measurements that are compared."""
    parity: ParityRow
    measured: Measured
    placement: Placement | None
    """None: the backend cannot say."""
    cold_start: ColdStart

    def to_json(self) -> dict[str, Any]:
        measured = asdict(self.measured)
        for clock in ("first_frame_s", "first_result_s"):  # of no use in another process; see cold_start
            del measured[clock]
        stages = {stage: values for stage, values in self.measured.stages_ms.items() if values}
        return {
            "schema": SCHEMA,
            "mode": self.mode,
            "what": WHAT[self.mode],
            "conditions": self.conditions,
            "software": self.software,
            "parity": asdict(self.parity) | {"passed": self.parity.passed},
            "placement": None if self.placement is None else asdict(self.placement),
            "cold_start": asdict(self.cold_start),
            "windows": self.measured.windows,
            "percentiles_ms": {stage: percentiles(values) for stage, values in stages.items()},
            "intervals_ms": {stage: intervals(values) for stage, values in stages.items()},
            **measured,
        }


def count_windows(states: Sequence[WindowState]) -> dict[str, int]:
    """due = done + shed + invalid; those done late are among those done."""
    counts = {"due": len(states), "done": states.count("done") + states.count("late"), "late": states.count("late")}
    return counts | {"shed": states.count("shed"), "invalid": states.count("invalid")}


def conditions(mode: Mode, bundle: Bundle, backend: Backend, method: Method, *, threads: int) -> dict[str, str]:
    """What a measurement was made of; two with other conditions are not compared."""
    return {
        "mode": mode,
        "model": bundle.contract.name,
        "model_digest": bundle.digest,
        "method": method,
        "backend": backend.name,
        "precision": backend.precision,
        "device": backend.device,
        "fallback": "yes" if backend.fallback else "no",
        "threads": str(threads) if threads else "chosen by the engine",
        "machine": machine(),
    }


def software(backend: Backend) -> dict[str, str]:
    """Versions, and how busy the machine was when the measurement began."""
    return {
        "stan-edge": version("stan-edge"),
        backend.name: backend.version,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_average_1min": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "not readable",
    }


def machine() -> str:
    """The machine without its name: processor, count, memory."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return f"{_processor()}, {psutil.cpu_count()} processors, {platform.machine()}, {memory_gib:.0f} GiB"


def process_age_s() -> float:
    """Seconds since this process started."""
    try:
        # since boot, in ticks of usually 10 ms; psutil's own is against a boot time in whole seconds
        ticks = int(
            Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        )
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return time.time() - psutil.Process().create_time()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown processor"

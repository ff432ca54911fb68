"""What a measurement costs the machine: processors, memory, heat and power, as far as they can be read."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_S, GPU_LOOK_S = 0.2, 1.0
HWMON = Path("/sys/class/hwmon")
GPU_QUERY = ("nvidia-smi", "--query-gpu=name,memory.used,power.draw,temperature.gpu", "--format=csv,noheader,nounits")
GPU_FIELDS = 4


@dataclass(frozen=True)
class GpuReading:
    """One GPU, everything that runs on it together; None: it does not say."""

    name: str
    memory_mib: float | None
    """Most that was seen."""
    power_w: float | None
    temperature_c: float | None


@dataclass(frozen=True)
class Resources:
    """Of the time that was measured; None where this machine does not let it be read."""

    cpu_share: float
    """Of all processors, by this process: 1 is all of them all the time."""
    machine_cpu_share: float
    """By everybody, this process included: what is more than `cpu_share` was somebody else's."""
    threads: int
    rss_mib: float
    rss_peak_mib: float
    temperature_c: float | None
    power_w: float | None
    """Of all sensors of the board, on the average."""
    gpus: tuple[GpuReading, ...] | None
    """None: there is no nvidia-smi that answers."""


class ResourceWatch:
    """Looks five times a second while `measuring`; what is between two measurements does not count."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.wall_s = 0.0
        """Seconds that were measured."""
        self._cpu_s = self._machine_busy_s = 0.0
        self._threads = 0
        self._rss_mib: list[float] = []
        self._temperatures_c: list[float] = []
        self._powers_w: list[float] = []
        self._gpus: list[list[GpuReading]] = []
        self._has_gpu = shutil.which(GPU_QUERY[0]) is not None

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Count what happens within."""
        ended = threading.Event()
        looker = threading.Thread(target=self._look_until, args=(ended,), name="resources", daemon=True)
        wall_s, cpu_s, busy_s = time.monotonic(), _cpu_s(self._process), _machine_busy_s()
        looker.start()
        try:
            yield
        finally:
            self.wall_s += time.monotonic() - wall_s
            self._cpu_s += _cpu_s(self._process) - cpu_s
            self._machine_busy_s += _machine_busy_s() - busy_s
            ended.set()
            looker.join()

    def resources(self) -> Resources:
        """What was seen; there must have been a measurement."""
        processors_s = self.wall_s * (psutil.cpu_count() or 1)
        return Resources(
            cpu_share=self._cpu_s / processors_s,
            machine_cpu_share=self._machine_busy_s / processors_s,
            threads=self._threads,
            rss_mib=self._rss_mib[-1],
            rss_peak_mib=max(self._rss_mib),
            temperature_c=_largest(self._temperatures_c),
            power_w=sum(self._powers_w) / len(self._powers_w) if self._powers_w else None,
            gpus=tuple(map(_worst, zip(*self._gpus, strict=False))) if self._gpus else None,
        )

    def _look_until(self, ended: threading.Event) -> None:
        gpu_due_s = 0.0
        while True:
            self._rss_mib.append(self._process.memory_info().rss / 2**20)
            self._threads = max(self._threads, self._process.num_threads())
            self._temperatures_c += temperatures_c()
            self._powers_w += board_power_w()
            if self._has_gpu and time.monotonic() >= gpu_due_s:
                gpus = look_at_gpus()
                self._gpus += [gpus] if gpus else []
                gpu_due_s = time.monotonic() + GPU_LOOK_S
            if ended.wait(LOOK_S):
                return


def temperatures_c() -> list[float]:
    """What the sensors of the machine say (hwmon, or else thermal zones); empty where there are none."""
    sensors = getattr(psutil, "sensors_temperatures", dict)  # Linux and FreeBSD only
    return [entry.current for entries in sensors().values() for entry in entries]


def board_power_w(folder: Path = HWMON) -> list[float]:
    """Sum of the power sensors in `folder`, one value, or none where there are none."""
    found_w = []
    for path in folder.glob("hwmon*/power*_input"):
        try:
            found_w.append(int(path.read_text(encoding="ascii")) / 1e6)
        except (OSError, ValueError):
            continue  # a sensor that is there and does not answer
    return [sum(found_w)] if found_w else []


def look_at_gpus() -> list[GpuReading]:
    """One look through nvidia-smi; empty when it does not answer."""
    try:
        said = subprocess.run(GPU_QUERY, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.rsplit(",", GPU_FIELDS - 1)] for line in said.splitlines()]
    return [GpuReading(row[0], *map(_number, row[1:])) for row in rows if len(row) == GPU_FIELDS]


def resource_facts(seen: Resources) -> dict[str, str]:
    """In words; what this machine does not let be read is said."""
    gpus = "not readable (no nvidia-smi that answers)" if seen.gpus is None else "; ".join(map(_gpu_text, seen.gpus))
    return {
        "processors": f"{seen.cpu_share:.0%} of all by this process, {seen.machine_cpu_share:.0%} by everybody",
        "memory": f"{seen.rss_mib:.0f} MiB resident, {seen.rss_peak_mib:.0f} at most; {seen.threads} threads",
        "temperature": _reading(seen.temperature_c, "°C at most", "no hwmon sensor and no thermal zone"),
        "power": _reading(seen.power_w, "W", "no hwmon power sensor"),
        "gpu": gpus,
    }


def _gpu_text(gpu: GpuReading) -> str:
    memory = _reading(gpu.memory_mib, "MiB", "memory")
    return f"{gpu.name}: {memory}, {_reading(gpu.power_w, 'W', 'power')}, {_reading(gpu.temperature_c, '°C', 'heat')}"


def _reading(value: float | None, unit: str, missing: str) -> str:
    return f"not readable ({missing})" if value is None else f"{value:.0f} {unit}"


def _worst(looks: tuple[GpuReading, ...]) -> GpuReading:
    """The largest of each value that one GPU showed."""
    seen = ([getattr(look, name) for look in looks] for name in ("memory_mib", "power_w", "temperature_c"))
    return GpuReading(looks[0].name, *(_largest([value for value in values if value is not None]) for values in seen))


def _largest(values: list[float]) -> float | None:
    return max(values, default=None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # "[N/A]"
        return None


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _machine_busy_s() -> float:
    """Seconds that all processors together have worked since the machine started."""
    times = psutil.cpu_times()._asdict()
    # guest time is in user time already; what a hypervisor took away (steal) was not idle either
    return sum(value for name, value in times.items() if name not in ("idle", "iowait", "guest", "guest_nice"))

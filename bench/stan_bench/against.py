"""Is it slower than it was? Two measurements of the same thing, and what is more than noise."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stan_bench.result import SCHEMA, BenchReport, Mode
from stan_bench.statistics import Interval, intervals
from stan_edge.errors import ConfigError

WORSE = 1.1
"""Ratio of medians from which on a difference beyond noise counts."""
JUDGED: dict[Mode, tuple[str, ...]] = {
    "camera": ("window", "explain"),
    "fast": ("decode", "view", "explain"),
    "pure": ("forward", "explain"),
}
"""Stages that decide. The others are shown: the median of `region`, say, is that of frames nobody looked at."""


@dataclass(frozen=True)
class Change:
    """One stage, then and now: medians with their intervals; None: it has no values."""

    stage: str
    old_ms: float | None
    old_interval_ms: Interval | None
    new_ms: float | None
    new_interval_ms: Interval | None

    @property
    def ratio(self) -> float | None:
        return self.new_ms / self.old_ms if self.old_ms and self.new_ms is not None else None

    @property
    def beyond_noise(self) -> bool:
        """The intervals of the medians do not overlap; one that is open (too few values) overlaps everything."""
        if self.old_interval_ms is None or self.new_interval_ms is None:
            return False
        (old_low, old_high), (new_low, new_high) = self.old_interval_ms, self.new_interval_ms
        above = old_high is not None and new_low is not None and new_low > old_high
        below = old_low is not None and new_high is not None and new_high < old_low
        return above or below

    @property
    def verdict(self) -> str:
        """`slower` and `gone` are regressions."""
        if self.old_ms is None:
            return "new"
        if self.ratio is None:
            return "gone"
        if self.beyond_noise and self.ratio > WORSE:
            return "slower"
        return "faster" if self.beyond_noise and self.ratio < 1 / WORSE else "same"


@dataclass(frozen=True)
class Against:
    """A measurement beside an earlier one."""

    path: Path
    changes: tuple[Change, ...]
    regressions: tuple[str, ...]
    """Stages that decide and are slower beyond noise, or have no values any more."""


def read_earlier(path: Path) -> dict[str, Any]:
    """What `--json` wrote.

    Raises:
        ConfigError: it cannot be read, or is something else.
    """
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--against {path}: cannot be read ({error}); give a file that `stan-edge bench --json` wrote."
        ) from error
    if not isinstance(earlier, dict) or earlier.get("schema") != SCHEMA or not _whole(earlier):
        raise ConfigError(
            f"--against {path}: is not what this version's `stan-edge bench --json` writes; measure it again."
        )
    return earlier


def require_same_conditions(path: Path, earlier: dict[str, Any], now: dict[str, str]) -> None:
    """Raises ConfigError when anything but time lies between two measurements."""
    then = earlier["conditions"]
    other = [key for key in dict.fromkeys((*now, *then)) if now.get(key) != then.get(key)]
    if other:
        differences = ", ".join(f"{key} {then.get(key)!r} there and {now.get(key)!r} here" for key in other)
        raise ConfigError(f"--against {path}: other conditions ({differences}); compare like with like.")


def against(path: Path, earlier: dict[str, Any], report: BenchReport) -> Against:
    """Compare with an earlier measurement of the same conditions."""
    old = {stage: values for stage, values in earlier["stages_ms"].items() if values}
    new = {stage: values for stage, values in report.measured.stages_ms.items() if values}
    changes = [
        Change(stage, *_median(old.get(stage)), *_median(new.get(stage))) for stage in dict.fromkeys((*old, *new))
    ]
    judged = JUDGED[report.mode]
    worse = [change.stage for change in changes if change.stage in judged and change.verdict in ("slower", "gone")]
    return Against(path, tuple(changes), tuple(worse))


def _median(values: list[float] | None) -> tuple[float | None, Interval | None]:
    return (float(np.median(values)), intervals(values)["p50"]) if values else (None, None)


def _whole(earlier: dict[str, Any]) -> bool:
    stages = earlier.get("stages_ms", {})  # a comparison has none: its conditions are others anyway
    return (
        isinstance(earlier.get("conditions"), dict)
        and isinstance(stages, dict)
        and all(isinstance(values, list) and all(map(_is_number, values)) for values in stages.values())
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)

"""From recorded windows of labelled clips to everything that a calibration puts into the contract."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import ConfigError
from stan_edge.files import file_digest
from stan_edge.model.contract import CalibrationRecord, Contract, Method
from stan_edge.pipeline.predictor import softmax
from stan_eval.calibration.alarm_thresholds import Hysteresis, Track
from stan_eval.calibration.alarm_thresholds import choose as choose_hysteresis
from stan_eval.calibration.temperature import Temperature, fit_temperature
from stan_eval.replay import ClipWindows
from stan_export.frame_calibration import Calibration, ScoredWindows, choose
from stan_train.manifest import Clip, Intervals
from stan_train.sampling import LEFT_OUT


@dataclass(frozen=True, eq=False)
class Recordings:
    """All clips through the bundle."""

    clips: list[ClipWindows]
    still: dict[Method, NDArray[np.float32]]  # [M, T] each


@dataclass(frozen=True)
class Chosen:
    """Everything that a calibration decides."""

    temperature: Temperature
    methods: dict[Method, Calibration]
    events: dict[str, Hysteresis]
    windows: int
    """Valid windows whose label is known."""


def decide(recordings: Recordings, contract: Contract, false_alarms_per_hour: float) -> Chosen:
    """Choose temperature, then with its probabilities the frame figures of each method and the events' ones.

    Raises:
        ConfigError: no window's label is known, or the frames tell nothing apart.
    """
    labels = [clip.labels(contract.classes, contract.background) for clip in recordings.clips]
    known = np.concatenate(labels) != LEFT_OUT
    if not known.any():
        raise ConfigError("No window shows clearly what its clip is labelled with; look at the marked frames.")
    all_labels = np.concatenate(labels)[known]
    temperature = fit_temperature(np.concatenate([clip.logits for clip in recordings.clips])[known], all_labels)
    probabilities = [_probabilities(clip, temperature.value) for clip in recordings.clips]
    background: NDArray[np.float64] | float = 0.0
    if contract.background is not None:
        background = np.concatenate(probabilities)[known, contract.classes.index(contract.background)]
    methods = {}
    for method, still in recordings.still.items():
        scored = ScoredWindows(
            raw=np.concatenate([clip.frame_scores[method] for clip in recordings.clips])[known],
            still=still,
            labels=all_labels,
            background=background,
            important=np.concatenate([clip.important for clip in recordings.clips])[known],
            counted=np.concatenate([_counted(clip) for clip in recordings.clips])[known],
        )
        methods[method] = choose(method, contract.methods[method], scored, contract.classes, contract.background)
    events = {}
    for name in contract.alarms:
        column = contract.classes.index(name)
        tracks = [
            Track(
                probabilities=rows[:, column],
                t_start_s=clip.t_start_s,
                t_end_s=clip.t_end_s,
                important_s=clip.important_s() if clip.clip.label == name else [],
                ignored_s=clip.seconds_of(clip.clip.ignored) if clip.clip.label == name else [],
            )
            for clip, rows in zip(recordings.clips, probabilities, strict=True)
        ]
        events[name] = choose_hysteresis(tracks, contract.hop_s, false_alarms_per_hour)
    return Chosen(temperature, methods, events, len(all_labels))


def calibrated_contract(
    contract: Contract, chosen: Chosen, recordings: Recordings, data: Path, false_alarms_per_hour: float
) -> Contract:
    """The contract with everything that was chosen, and what it was chosen on."""
    clips = [windows.clip for windows in recordings.clips]
    calibration = CalibrationRecord(
        data=data.name,
        data_sha256=data_digest(clips),
        clips=len(clips),
        windows=chosen.windows,
        minutes=round(sum(windows.duration_s for windows in recordings.clips) / 60, 3),
        false_alarms_per_hour_target=false_alarms_per_hour,
        nll_before=chosen.temperature.nll_before,
        nll_after=chosen.temperature.nll_after,
        figures={name: _figures(row) for name, row in chosen.events.items()},
    )
    changes = {
        "temperature": chosen.temperature.value,
        "methods": contract.methods | {method: found.spec for method, found in chosen.methods.items()},
        "events": {name: row.spec for name, row in chosen.events.items()},
        "calibration": calibration,
        "provenance": contract.provenance
        | {f"calibration_{method}": found.figures for method, found in chosen.methods.items()},
    }
    return contract.model_copy(update=changes)


def data_digest(clips: Iterable[Clip]) -> str:
    """SHA-256 over the sorted (file digest, label, important and ignored intervals) of clips."""
    rows = sorted(
        f"{file_digest(clip.path)} {clip.label} {_text(clip.important)} {_text(clip.ignored)}\n" for clip in clips
    )
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def _text(intervals: Intervals | None) -> str:
    return "?" if intervals is None else ";".join(f"{first}-{end}" for first, end in intervals)


def _figures(row: Hysteresis) -> dict[str, float | None]:
    return {
        "events": row.events,
        "found": row.found,
        "mean_delay_s": row.delay_s,
        "false_alarms": row.false_alarms,
        "false_alarms_per_hour": row.false_alarms_per_hour,
        "negative_minutes": row.negative_minutes,
    }


def _counted(clip: ClipWindows) -> NDArray[np.bool_]:
    """Frames [W, T] of which somebody said whether they are important."""
    return ~clip.ignored & (clip.clip.important is not None)


def _probabilities(clip: ClipWindows, temperature: float) -> NDArray[np.float64]:
    """[W, C], NaN for windows that are not valid."""
    return softmax(clip.logits, temperature)

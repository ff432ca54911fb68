"""Importance of all frames of a long clip: dense windows joined, or the paper's 20 frames copied to neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stan_edge.attribution import gate, importance
from stan_edge.contract import Contract, Method
from stan_edge.explainer import Explainer, softmax
from stan_edge.person import NOBODY
from stan_edge.records import WindowResult
from stan_edge.sources import open_source
from stan_edge.stream import Stream
from stan_edge.timeline import Timeline
from stan_edge.windows import Sample, Window, hop_ticks
from stan_train.manifest import Clip
from stan_train.regions import person_tracker


@dataclass(frozen=True, eq=False)
class Scored:
    """A window's verdict as the runtime gave it, with its importance for the clip's own class [T], gated."""

    result: WindowResult
    own: NDArray[np.float64]


def background_of(probabilities: NDArray[np.float64], contract: Contract) -> NDArray[np.float64]:
    """Probability of the background [..., 1] from those of all classes [..., C]; 0 for a model without one."""
    if contract.background is None:
        return np.zeros((*probabilities.shape[:-1], 1))
    return probabilities[..., contract.classes.index(contract.background), None]


def joined(windows: Sequence[Scored], label: str, contract: Contract, hop_s: float, frames: int) -> NDArray[np.float64]:
    """Importance [frames] for `label` of every source frame, by the rules of the runtime's timeline.

    Windows that say background vote 0, all others explain `label` and weigh as much as they believe in it.
    A frame between two ticks takes the nearer one; one that no valid window holds has importance 0.
    """
    timeline = Timeline(contract.background, hop_ticks(contract.input, hop_s))
    ticks = []
    for window in windows:
        result = window.result
        if result.valid and result.label != contract.background and result.probabilities is not None:
            scores = tuple(replace(f, score=float(s)) for f, s in zip(result.frames, window.own, strict=True))
            result = replace(result, label=label, probability=result.probabilities[label], frames=scores)
        ticks += timeline.add(result)
    ticks += timeline.finish()
    index = np.array([tick.index for tick in ticks])
    return copied_to_neighbours(index, np.array([tick.importance or 0.0 for tick in ticks]), frames)


def spread_out(clip: Clip, explainers: Sequence[Explainer], contract: Contract) -> dict[Method, NDArray[np.float64]]:
    """The paper's way: the centres of T equal parts of the clip explained as one window, for the clip's label, and
    copied to their neighbours; importance [L] by method.

    Raises:
        SourceError: the video cannot be read.
        ConfigError: its regions cannot be had.
    """
    window = _spread_window(clip, contract)
    stream = Stream(clip.name, contract, explainers[0].method, contract.hop_s, None, live=False)
    pictures, _ = stream.network_input(window)
    index = np.array([sample.frame.index for sample in window.samples])
    found = {}
    for explainer in explainers:
        explained = explainer(pictures, contract.classes.index(clip.label))
        background = background_of(softmax(explained.logits, contract.temperature), contract)
        scores = gate(importance(explained.frame_scores, contract.methods[explainer.method]), background)
        found[explainer.method] = copied_to_neighbours(index, scores, clip.frames)
    return found


def copied_to_neighbours(index: NDArray[np.int64], values: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Values [frames] of all frames from those known at some, each from the nearest, ties to the earlier."""
    known, place = np.unique(index, return_index=True)
    all_frames = np.arange(frames)
    after = np.clip(np.searchsorted(known, all_frames), 1, max(len(known) - 1, 1))
    if len(known) == 1:
        return np.full(frames, values[place[0]])
    nearer = np.where(all_frames - known[after - 1] <= known[after] - all_frames, after - 1, after)
    return values[place[nearer]]


def _spread_window(clip: Clip, contract: Contract) -> Window:
    count = contract.input.frames
    wanted = [int((k + 0.5) * clip.frames / count) for k in range(count)]
    samples: list[Sample] = []
    source = open_source(str(clip.path), crop=clip.crop)
    try:
        with person_tracker(clip, masks=contract.input.region == "mask") as tracker:
            while len(samples) < count and (frame := source.read()) is not None:
                region = tracker.update(frame) if tracker else NOBODY
                while len(samples) < count and wanted[len(samples)] <= frame.index:
                    samples.append(Sample(len(samples), frame, region, 0.0))
    finally:
        source.close()
    # a container may announce a few frames more than it holds
    samples += [replace(samples[-1], tick=tick) for tick in range(len(samples), count)]
    return Window(0, samples[0].frame.t_capture_s, samples[-1].frame.t_capture_s, tuple(samples), None)

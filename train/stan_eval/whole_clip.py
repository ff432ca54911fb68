"""Importance of all frames of a long clip: dense windows joined, or the paper's 20 frames copied to neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import Contract, Method
from stan_edge.person.tracking import Region
from stan_edge.pipeline.attribution import gate, importance
from stan_edge.pipeline.inputs import InputStream
from stan_edge.pipeline.predictor import Explainer, softmax
from stan_edge.pipeline.timeline import Timeline
from stan_edge.pipeline.windows import Sample, Window
from stan_edge.records import WindowResult
from stan_edge.sources import Frame
from stan_train.manifest import Clip


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


def joined(windows: Sequence[Scored], label: str, background: str | None, hop: int, frames: int) -> NDArray[np.float64]:
    """Importance [frames] for `label` of every source frame, by the rules of the runtime's timeline.

    Windows that say background vote 0, all others explain `label` and weigh as much as they believe in it.
    A frame between two ticks takes the nearer one; one that no valid window holds has importance 0.

    Args:
        hop: distance between windows in ticks.
    """
    timeline = Timeline(background, hop)
    ticks = []
    for window in windows:
        result = window.result
        if result.valid:
            scores = tuple(replace(f, score=float(s)) for f, s in zip(result.frames, window.own, strict=True))
            result = replace(result, target_class=label, frames=scores)
        ticks += timeline.add(result)
    ticks += timeline.finish()
    index = np.array([tick.index for tick in ticks])
    return copied_to_neighbours(index, np.array([tick.importance or 0.0 for tick in ticks]), frames)


class SpreadOut:
    """The paper's way with a long clip: the centres of T equal parts, taken as one window while the clip is read."""

    def __init__(self, clip: Clip, contract: Contract) -> None:
        self._clip, self._contract = clip, contract
        count = contract.input.frames
        self._wanted = [int((k + 0.5) * clip.frames / count) for k in range(count)]
        self._samples: list[Sample] = []

    def __call__(self, frame: Frame, region: Region) -> None:
        """Take the next frame of the clip."""
        while len(self._samples) < len(self._wanted) and self._wanted[len(self._samples)] <= frame.index:
            self._samples.append(Sample(len(self._samples), frame, region, 0.0))

    def explained(self, explainers: Sequence[Explainer]) -> dict[Method, NDArray[np.float64]]:
        """Importance [L] for the clip's label by method, copied from the frames taken to their neighbours."""
        clip, contract = self._clip, self._contract
        samples = list(self._samples)
        # a container may announce a few frames more than it holds
        samples += [replace(samples[-1], tick=tick) for tick in range(len(samples), len(self._wanted))]
        window = Window(0, samples[0].frame.t_capture_s, samples[-1].frame.t_capture_s, tuple(samples), None)
        pictures = InputStream(contract.input, contract.hop_s, None, live=False).network_input(window).pictures
        index = np.array([sample.frame.index for sample in samples])
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

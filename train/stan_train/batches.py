"""Micro-batches of augmented windows, each a function of (seed, epoch, number) alone: neither the number of workers,
nor of processes, nor an interruption changes what the network sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stan_edge.model.contract import InputSpec
from stan_train.augment import AugmentConfig, augment_window
from stan_train.cache import CachedClip
from stan_train.framing import plain_window, raw_window
from stan_train.manifest import BACKGROUND
from stan_train.sampling import LEFT_OUT, Windows, segment_index, window_index, window_labels

Number = tuple[int, int, int]
"""(epoch, micro-batch of the epoch, frames of each window)."""
_TRIES = 4


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What training draws from."""

    clips: Sequence[CachedClip]
    windows: Windows
    weights: NDArray[np.float64]  # [W]
    classes: tuple[str, ...]


class MicroBatches(Dataset[tuple[Tensor, Tensor]]):
    """Indexed by `Number`; gives pictures uint8 `[B, P, T, S, S, 3]` and labels int64 `[B]`.

    Args:
        whole_clips: sample each clip whole, in equal segments, as the paper does, instead of windows of `window_s`.
    """

    def __init__(
        self,
        data: TrainingSet,
        spec: InputSpec,
        augment: AugmentConfig,
        *,
        size: int,
        seed: int,
        whole_clips: bool,
    ) -> None:
        self._data, self._spec, self._augment = data, spec, augment
        self._size, self._seed, self._whole_clips = size, seed, whole_clips

    def __getitem__(self, number: Number) -> tuple[Tensor, Tensor]:
        epoch, micro, frames = number
        rng = np.random.default_rng((self._seed, epoch, micro))
        picked = rng.choice(len(self._data.windows), self._size, p=self._data.weights)
        windows = np.stack([self._window(int(w), frames, rng) for w in picked])
        return torch.from_numpy(windows), torch.from_numpy(self._data.windows.label[picked])

    def _window(self, number: int, frames: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        windows, spec = self._data.windows, self._spec
        cached = self._data.clips[windows.clip[number]]
        label = self._data.classes[windows.label[number]]
        if self._whole_clips:
            index = segment_index(cached, spec.frames, rng)
        else:
            index = self._stretched(cached, float(windows.start_s[number]), int(windows.label[number]), rng)
        segment = spec.frames // frames
        index = index[np.arange(frames) * segment + rng.integers(0, segment, frames)]  # one frame of each segment
        return augment_window(
            raw_window(cached, index, masks=spec.region == "mask" or cached.clip.region == "pose"),
            spec,
            self._augment,
            rng,
            important=cached.important[index],
            flip=label in self._augment.flip,
            room=lambda: self._room(rng),
        )

    def _stretched(self, cached: CachedClip, start_s: float, label: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Kept frames `[T]` of a window at another speed, around its middle, that still shows what it is drawn for."""
        spec, classes = self._spec, self._data.classes
        own = classes.index(cached.clip.label)
        nothing = classes.index(BACKGROUND) if BACKGROUND in classes else LEFT_OUT
        most = np.log(self._augment.speed)
        for _ in range(_TRIES):
            speed = float(np.exp(rng.uniform(-most, most)))
            moved_s = start_s + 0.5 * (1 - speed) * spec.window_s + rng.uniform(-0.1, 0.1)
            index = window_index(cached, moved_s, spec, speed=speed)
            if window_labels(cached.important[index][None], cached.ignored[index][None], own, nothing)[0] == label:
                return index
        return window_index(cached, start_s, spec)

    def _room(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        cached = self._data.clips[rng.integers(len(self._data.clips))]
        return cached.frames[rng.integers(len(cached.frames))]


def micro_batches(dataset: MicroBatches, numbers: Sequence[Number], workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The micro-batches asked for, in order; `workers` processes make them ahead of time (0: none)."""
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        # a forked worker inherits the thread pools of torch and OpenCV and can deadlock
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_one_thread,
    )
    return iter(loader)


def _one_thread(_worker: int) -> None:
    import cv2

    cv2.setNumThreads(1)


def validation_windows(
    data: TrainingSet, spec: InputSpec, number: int, frames: int, *, whole_clips: bool
) -> NDArray[np.uint8]:
    """A window `[P, frames, S, S, 3]` as the runtime shows it; with fewer frames, the centres of equal segments."""
    windows = data.windows
    cached = data.clips[windows.clip[number]]
    index = (
        segment_index(cached, spec.frames, None)
        if whole_clips
        else window_index(cached, float(windows.start_s[number]), spec)
    )
    index = index[np.arange(frames) * spec.frames // frames + spec.frames // frames // 2]
    return plain_window(raw_window(cached, index, masks=spec.region == "mask"), spec)

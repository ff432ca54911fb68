from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stan_edge.model.contract import InputSpec
from stan_train.augment import AugmentConfig
from stan_train.batches import MicroBatches, TrainingSet, micro_batches, validation_windows
from stan_train.cache import CachedClip
from stan_train.sampling import candidate_windows, sampling_weights

CLASSES = ("background", "falling")


@pytest.fixture(scope="module")
def data(cached: list[CachedClip], input_spec: InputSpec) -> TrainingSet:
    windows = candidate_windows(cached, CLASSES, input_spec)
    return TrainingSet(cached, windows, sampling_weights(windows, cached, 0, 0.5), CLASSES)


def dataset(data: TrainingSet, spec: InputSpec, *, whole_clips: bool = False) -> MicroBatches:
    return MicroBatches(data, spec, AugmentConfig(), size=3, seed=7, whole_clips=whole_clips)


def test_workers_change_nothing(data: TrainingSet, input_spec: InputSpec) -> None:
    numbers = [(0, 0, 4), (0, 1, 4), (1, 0, 20)]
    alone = list(micro_batches(dataset(data, input_spec), numbers, 0))
    helped = list(micro_batches(dataset(data, input_spec), numbers, 2))
    for (pictures, labels), (same, same_labels) in zip(alone, helped, strict=True):
        assert torch.equal(pictures, same)
        assert torch.equal(labels, same_labels)
    assert [tuple(pictures.shape) for pictures, _ in alone] == [(3, 1, 4, 64, 64, 3)] * 2 + [(3, 1, 20, 64, 64, 3)]
    assert not torch.equal(alone[0][0], alone[1][0])


@pytest.mark.parametrize("whole_clips", [False, True])
def test_pictures_belong_to_their_labels(data: TrainingSet, input_spec: InputSpec, whole_clips: bool) -> None:
    """Only the lit clips change their brightness half-way."""
    batches = dataset(data, input_spec, whole_clips=whole_clips)
    for micro in range(4):
        pictures, labels = batches[(0, micro, 20)]
        levels = pictures.float().mean((1, 3, 4, 5))
        lit = levels[:, -1] - levels[:, 0] > 20
        assert all(label == 1 for label, on in zip(labels, lit, strict=True) if on)
        assert all(label == 1 for label, level in zip(labels, levels, strict=True) if level.min() > 130)


def test_a_window_at_another_speed_still_shows_what_it_is_drawn_for(
    cached: list[CachedClip], input_spec: InputSpec
) -> None:
    """Ten dark seconds, and light from the fourth to the sixth."""
    important = np.zeros(100, bool)
    important[40:60] = True
    levels = np.where(important, 230, 20).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (100, 48, 64, 3))
    clip = replace(
        cached[0],
        clip=replace(cached[0].clip, label="falling", important=((40, 60),), frames=100),
        frames=frames,
        boxes=np.full((100, 4), np.nan, np.float32),
        times_s=np.arange(100) / 10,
        important=important,
        ignored=np.zeros(100, bool),
    )
    windows = candidate_windows([clip], CLASSES, input_spec)
    near = windows.start_s < 2.6  # the last background windows before the light
    weights = np.where(near & (windows.start_s > 1.5) & (windows.label == 0), 1.0, 0.0)
    some = TrainingSet([clip], windows, weights / weights.sum(), CLASSES)
    plain = AugmentConfig(narrower=0, region_lost=0, replaced_background=0, blur=0, noise=0, gray=0)
    batches = MicroBatches(some, input_spec, plain, size=3, seed=7, whole_clips=False)
    for micro in range(20):
        pictures, labels = batches[(0, micro, 20)]
        assert (labels == 0).all()
        assert pictures.float().mean((1, 3, 4, 5)).max() < 90


def test_validation_shows_the_window_itself(data: TrainingSet, input_spec: InputSpec) -> None:
    lit = int(np.flatnonzero((data.windows.label == 1) & (data.windows.start_s == 0))[0])
    whole = validation_windows(data, input_spec, lit, 20, whole_clips=False)
    assert np.array_equal(whole[0].mean(axis=(1, 2, 3)) > 120, np.arange(20) >= 10)
    few = validation_windows(data, input_spec, lit, 4, whole_clips=False)
    assert np.array_equal(few, whole[:, [2, 7, 12, 17]])


def test_a_clip_without_marked_frames_is_drawn_from_anywhere(cached: list[CachedClip], input_spec: InputSpec) -> None:
    weak = replace(cached[2], clip=replace(cached[2].clip, important=None), important=np.ones(30, bool))
    windows = candidate_windows([cached[0], weak], CLASSES, input_spec)
    assert set(windows.start_s[windows.clip == 1].round(1)) == {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}

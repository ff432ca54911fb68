from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stan_edge.errors import ConfigError
from stan_edge.model.contract import InputSpec
from stan_train.cache import CachedClip
from stan_train.sampling import (
    LEFT_OUT,
    candidate_windows,
    require_every_class,
    sampling_weights,
    segment_index,
    thinned,
    window_index,
    window_labels,
)

CLASSES = ("background", "falling")
flags = arrays(bool, (6, 20))


@given(flags, flags)
def test_a_window_is_the_activity_background_or_left_out(important: np.ndarray, ignored: np.ndarray) -> None:
    found = window_labels(important, ignored, 1, 0)
    for label, shown, skipped in zip(found, important, ignored, strict=True):
        if label == 1:
            assert shown.sum() >= 5
        elif label == 0:
            assert not shown.any()
            assert not skipped.any()
        else:
            assert label == LEFT_OUT
            assert 0 < shown.sum() < 5 or skipped.any()


def test_a_window_takes_the_frames_nearest_to_its_ticks(cached: list[CachedClip], input_spec: InputSpec) -> None:
    clip = cached[0]  # 3 s at 10 Hz: a tick is a frame
    assert np.array_equal(window_index(clip, 0.5, input_spec), np.arange(5, 25))
    slow = window_index(clip, 0.52, input_spec, speed=0.5)
    assert np.array_equal(slow, np.round(5.2 + np.arange(20) / 2))
    past_the_end = window_index(clip, 2.0, input_spec)
    assert np.array_equal(past_the_end, np.minimum(np.arange(20, 40), 29))


@given(st.integers(1, 70), st.integers(0, 3))
def test_segments_cover_the_whole_clip_in_order(count: int, seed: int) -> None:
    clip = replace_length(count)
    centres = segment_index(clip, 20, None)
    drawn = segment_index(clip, 20, np.random.default_rng(seed))
    for found in (centres, drawn):
        assert (np.diff(found) >= 0).all()
        assert found[0] <= max(count // 20, 0)
        assert count - 1 - found[-1] <= count // 20
    if count >= 20:  # the paper's formula
        assert np.array_equal(centres, np.floor((np.arange(20) + 0.5) * count / 20))


def replace_length(count: int) -> CachedClip:
    empty = np.zeros((count, 1, 1, 3), np.uint8)
    return CachedClip(None, None, empty, None, *[np.zeros(count)] * 3, *[np.zeros(count, bool)] * 2)  # type: ignore[arg-type]


def test_candidates_know_what_they_show(cached: list[CachedClip], input_spec: InputSpec) -> None:
    windows = candidate_windows(cached, CLASSES, input_spec)
    lit = [cached[c].clip.label == "falling" for c in windows.clip]
    assert np.array_equal(windows.label == 1, lit)  # every window of a lit clip holds half a second of light
    assert set(windows.clip.tolist()) == {0, 1, 2, 3}
    few = thinned(windows, 2)
    assert len(few) == 8
    for number in range(4):
        mine = few.start_s[few.clip == number]
        assert mine.min() < 0.5 < mine.max()


def test_an_unknown_label_and_a_class_without_windows_are_refused(
    cached: list[CachedClip], input_spec: InputSpec
) -> None:
    with pytest.raises(ConfigError, match=r"lit0\.mp4: label 'falling' is not one of the model's classes"):
        candidate_windows(cached, ("background",), input_spec)
    dark = replace(cached[2], important=np.zeros(30, bool))
    windows = candidate_windows([*cached[:2], dark], CLASSES, input_spec)
    with pytest.raises(ConfigError, match="No window shows 'falling'"):
        require_every_class(windows, CLASSES, input_spec)


def test_background_has_its_share_and_real_clips_are_not_lost_among_drawn_ones(
    cached: list[CachedClip], input_spec: InputSpec
) -> None:
    many = [replace(cached[2], clip=replace(cached[2].clip, dataset="drawn")) for _ in range(9)]
    clips = [*cached[:3], *many]
    windows = candidate_windows(clips, CLASSES, input_spec)
    weights = sampling_weights(windows, clips, 0, 0.4)
    assert weights.sum() == pytest.approx(1)
    assert weights[windows.label == 0].sum() == pytest.approx(0.4)
    drawn = np.isin(windows.clip, np.arange(3, 12)) & (windows.label == 1)
    assert weights[drawn].sum() == pytest.approx(0.6 / 2)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stan_edge.contract import InputSpec
from stan_edge.views import apply_view
from stan_train.augment import augment_window, plain_window

STORED = 128
NOBODY = np.full((20, 4), np.nan, np.float32)
SOMEBODY = np.tile(np.array([30, 20, 90, 110], np.float32), (20, 1))


@pytest.fixture(scope="module")
def whole(input_spec: InputSpec) -> InputSpec:
    return input_spec.model_copy(update={"view": "global"})


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (20, STORED, STORED, 3), np.uint8)


@pytest.mark.parametrize("size", [64, 112, 128, 224])
def test_an_augmented_window_has_the_size_the_network_takes(input_spec: InputSpec, size: int) -> None:
    spec = input_spec.model_copy(update={"size_px": size})
    for seed in range(8):
        found = augment_window(noise(), SOMEBODY, spec, np.random.default_rng(seed))
        assert (found.shape, found.dtype) == ((20, size, size, 3), np.uint8)


def test_the_same_random_state_gives_the_same_window_and_another_gives_another(input_spec: InputSpec) -> None:
    one, same, other = (
        augment_window(noise(), SOMEBODY, input_spec, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_augmentation_leaves_the_stored_window_alone(input_spec: InputSpec) -> None:
    frames, boxes = noise(), SOMEBODY.copy()
    augment_window(frames, boxes, input_spec, np.random.default_rng(0))
    assert np.array_equal(frames, noise())
    assert np.array_equal(boxes, SOMEBODY)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_left_stays_left_and_up_stays_up(whole: InputSpec, seed: int) -> None:
    frames = np.full((20, STORED, STORED, 3), 60, np.uint8)
    frames[:, 24:54, 24:44] = 200
    found = augment_window(frames, NOBODY, whole, np.random.default_rng(seed)).astype(float).mean(axis=(0, 3))
    bright = found > (found.min() + found.max()) / 2
    bright[:4] = bright[-4:] = False
    bright[:, :4] = bright[:, -4:] = False
    rows, columns = np.nonzero(bright & (found > np.median(found) + 10))
    assert columns.mean() < 30
    assert rows.mean() < 30


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_time_runs_forward_and_every_frame_is_there(whole: InputSpec, seed: int) -> None:
    levels = np.linspace(40, 210, 20).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (20, STORED, STORED, 3)).copy()
    found = augment_window(frames, NOBODY, whole, np.random.default_rng(seed))
    brightness = found[:, 24:40, 24:40].astype(float).mean(axis=(1, 2, 3))
    assert brightness[-1] > brightness[0] + 20
    assert (np.diff(brightness) >= -3).all()


def test_all_frames_of_a_window_are_moved_alike(whole: InputSpec) -> None:
    frames = np.broadcast_to(noise()[:1], (20, STORED, STORED, 3)).copy()
    still = [augment_window(frames, NOBODY, whole, np.random.default_rng(seed)) for seed in range(12)]
    moved_alike = sum(bool((window == window[:1]).all()) for window in still)
    assert moved_alike >= 6
    assert all(np.abs(w.astype(float) - w[:1].astype(float)).mean() < 20 for w in still)


def test_a_plain_window_is_what_the_runtime_shows(input_spec: InputSpec) -> None:
    frames = noise()
    stored = input_spec.model_copy(update={"size_px": STORED})
    found = plain_window(frames, SOMEBODY, stored)
    expected = [apply_view(f, tuple(b.tolist()), "blend") for f, b in zip(frames, SOMEBODY, strict=True)]
    assert np.array_equal(found, np.stack(expected))
    assert np.array_equal(plain_window(frames, NOBODY, stored), frames)

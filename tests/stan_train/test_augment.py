from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stan_edge.model.contract import InputSpec
from stan_edge.pipeline.views import apply_view, cut_square, place_square
from stan_train.augment import AugmentConfig, augment_window
from stan_train.framing import RawWindow, plain_window

SIDE = 128
NOBODY = np.full((20, 4), np.nan, np.float32)
SOMEBODY = np.tile(np.array([30, 20, 90, 110], np.float32), (20, 1))
GENTLE = AugmentConfig(narrower=0, region_lost=0, replaced_background=0, noise=0, blur=0)
QUIET = np.zeros(20, bool)


@pytest.fixture(scope="module")
def whole(input_spec: InputSpec) -> InputSpec:
    return input_spec.model_copy(update={"view": "global"})


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (20, SIDE, SIDE, 3), np.uint8)


def shown(
    pictures: np.ndarray | None = None, boxes: np.ndarray = SOMEBODY, masks: np.ndarray | None = None
) -> RawWindow:
    return RawWindow(noise() if pictures is None else pictures, boxes.copy(), masks)


def augmented(
    what: RawWindow, spec: InputSpec, seed: int, config: AugmentConfig | None = None, **more: Any
) -> np.ndarray:
    settings = {"important": QUIET, "flip": False, "room": lambda: np.zeros((60, 80, 3), np.uint8)} | more
    return augment_window(what, spec, config or AugmentConfig(), np.random.default_rng(seed), **settings)


@pytest.mark.parametrize("size", [64, 112, 224])
@pytest.mark.parametrize(("view", "passes"), [("blend", 1), ("late", 2)])
def test_an_augmented_window_has_the_size_the_network_takes(
    input_spec: InputSpec, size: int, view: str, passes: int
) -> None:
    spec = input_spec.model_copy(update={"size_px": size, "view": view})
    for seed in range(6):
        found = augmented(shown(), spec, seed, flip=True)
        assert (found.shape, found.dtype) == ((passes, 20, size, size, 3), np.uint8)


def test_the_same_random_state_gives_the_same_window_and_another_gives_another(input_spec: InputSpec) -> None:
    one, same, other = (augmented(shown(), input_spec, seed) for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_augmentation_leaves_the_clip_alone(input_spec: InputSpec) -> None:
    masks = np.zeros((20, SIDE, SIDE), bool)
    masks[:, 30:100, 40:80] = True
    what = shown(masks=masks)
    everything = AugmentConfig(narrower=1, region_lost=1, replaced_background=1)
    for seed in range(6):
        augmented(what, input_spec, seed, everything, flip=True)
    assert np.array_equal(what.pictures, noise())
    assert np.array_equal(what.boxes, SOMEBODY)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_left_stays_left_and_up_stays_up(whole: InputSpec, seed: int) -> None:
    frames = np.full((20, SIDE, SIDE, 3), 60, np.uint8)
    frames[:, 24:54, 24:44] = 200
    (found,) = augmented(shown(frames, NOBODY), whole, seed, GENTLE)
    brightness = found.astype(float).mean(axis=(0, 3))
    bright = brightness > (brightness.min() + brightness.max()) / 2
    bright[:4] = bright[-4:] = False
    bright[:, :4] = bright[:, -4:] = False
    rows, columns = np.nonzero(bright & (brightness > np.median(brightness) + 10))
    assert columns.mean() < 30
    assert rows.mean() < 30


def test_only_what_may_be_mirrored_is(whole: InputSpec) -> None:
    frames = np.full((20, SIDE, SIDE, 3), 60, np.uint8)
    frames[:, 24:104, 16:40] = 200
    sides = []
    for seed in range(40):
        (found,) = augmented(shown(frames, NOBODY), whole, seed, GENTLE, flip=True)
        columns = found[:, 16:48, 8:-8].astype(float).mean(axis=(0, 1, 3))
        sides.append(columns[:20].mean() > columns[-20:].mean())
    assert 8 < sum(sides) < 32


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_time_runs_forward_and_every_frame_is_there(whole: InputSpec, seed: int) -> None:
    levels = np.linspace(40, 210, 20).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (20, SIDE, SIDE, 3)).copy()
    (found,) = augmented(shown(frames, NOBODY), whole, seed, AugmentConfig(region_lost=1))
    brightness = found[:, 24:40, 24:40].astype(float).mean(axis=(1, 2, 3))
    assert brightness[-1] > brightness[0] + 15
    assert (np.diff(brightness) >= -3).all()


def test_all_frames_of_a_window_are_moved_alike(whole: InputSpec) -> None:
    still = np.broadcast_to(noise()[:1], (20, SIDE, SIDE, 3)).copy()
    for seed in range(12):
        (found,) = augmented(shown(still, SOMEBODY), whole, seed, AugmentConfig(noise=0, narrower=1))
        assert (found == found[:1]).all()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_a_narrower_view_keeps_the_body_where_the_activity_shows(whole: InputSpec, seed: int) -> None:
    from stan_train.augment import _narrower

    important = np.arange(20) > 10
    boxes = SOMEBODY + np.linspace(0, 30, 20, dtype=np.float32)[:, None] * np.array([1, 0, 1, 0], np.float32)
    found = _narrower(shown(boxes=boxes), important, np.random.default_rng(seed))
    area = (found.boxes[important, 2:] - found.boxes[important, :2]).prod(1)
    assert (area >= 0.8 * 60 * 90 - 1).all()
    assert found.pictures.shape[1] >= 0.35 * SIDE


def test_who_is_out_of_the_narrower_view_has_no_box() -> None:
    from stan_train.augment import _narrower

    far = np.tile(np.array([10, 20, 30, 50], np.float32), (20, 1))
    gone = 0
    for seed in range(60):
        found = _narrower(shown(boxes=far), QUIET, np.random.default_rng(seed))
        height, width = found.pictures.shape[1:3]
        known = ~np.isnan(found.boxes[:, 0])
        gone += not known.any()
        assert (found.boxes[known] >= 0).all()
        assert (found.boxes[known] <= [width, height, width, height]).all()
    assert gone > 0


def test_another_room_replaces_what_is_not_the_person(whole: InputSpec) -> None:
    masks = np.zeros((20, SIDE, SIDE), bool)
    masks[:, 32:96, 32:96] = True
    frames = np.full((20, SIDE, SIDE, 3), 200, np.uint8)
    config = AugmentConfig(narrower=0, region_lost=0, replaced_background=1, noise=0, blur=0, gray=0)
    (found,) = augmented(shown(frames, NOBODY, masks), whole, 3, config)
    (kept,) = augmented(shown(frames, NOBODY, masks), whole, 3, replace(config, replaced_background=0))
    middle, corner = found[:, 28:36, 28:36].astype(int), found[:, 4:8, 4:8].astype(int)
    assert np.abs(middle - kept[:, 28:36, 28:36]).max() <= 1
    assert corner.mean() < 60 < middle.mean()


def test_a_plain_window_is_what_the_runtime_shows(input_spec: InputSpec) -> None:
    (found,) = plain_window(shown(), input_spec)
    square = place_square("follow", SIDE, SIDE, [tuple(box.tolist()) for box in SOMEBODY])
    box = square.to_view(tuple(SOMEBODY[0].tolist()), 64)
    expected = [apply_view(cut_square(picture, square, 64), box, "blend") for picture in noise()]
    assert np.array_equal(found, np.stack(expected))


def test_a_mask_is_the_region_when_the_model_wants_one(input_spec: InputSpec) -> None:
    spec = input_spec.model_copy(update={"view": "local", "region": "mask", "framing": "letterbox"})
    masks = np.zeros((20, SIDE, SIDE), bool)
    masks[:, 32:96, 32:64] = True
    bright = np.full((20, SIDE, SIDE, 3), 200, np.uint8)
    (found,) = plain_window(shown(bright, SOMEBODY, masks), spec)
    assert np.array_equal(found[0].any(axis=-1), masks[0][::2, ::2])


def test_a_region_that_is_lost_held_or_wrong_has_the_mask_that_the_runtime_would_have() -> None:
    from stan_train.augment import _as_tracked

    boxes = SOMEBODY + np.arange(20, dtype=np.float32)[:, None] * np.array([1, 0, 1, 0], np.float32)
    masks = np.zeros((20, SIDE, SIDE), bool)
    for k in range(20):
        masks[k, 20:110, 30 + k : 90 + k] = True
    seen = set()
    for seed in range(40):
        found = _as_tracked(shown(boxes=boxes, masks=masks), AugmentConfig(region_lost=1), np.random.default_rng(seed))
        assert found.masks is not None
        lost, masked = np.isnan(found.boxes[:, 0]), found.masks.any((1, 2))
        assert not (lost & masked).any()
        for box, mask in zip(found.boxes[masked], found.masks[masked], strict=True):
            columns = np.flatnonzero(mask.any(0))
            assert np.abs([columns[0] - box[0], columns[-1] + 1 - box[2]]).max() < 15  # boxes jitter by 3 % of a side
        held = masked[1:] & (found.masks[1:] == found.masks[:-1]).all((1, 2))
        seen |= {name for name, frames in (("lost", lost), ("wrong", ~lost & ~masked), ("held", held)) if frames.any()}
    assert seen == {"lost", "wrong", "held"}

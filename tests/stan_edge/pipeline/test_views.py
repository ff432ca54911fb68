from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from stan_edge.pipeline.views import apply_view, cut_mask, cut_square, passes, place_square
from stan_edge.types import Box, Image, Square

sides = st.integers(64, 2000)


@st.composite
def frames_with_boxes(draw: st.DrawFn) -> tuple[int, int, list[Box | None]]:
    width, height = draw(sides), draw(sides)
    assume(max(width, height) <= 4 * min(width, height))
    boxes: list[Box | None] = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            boxes.append(None)
            continue
        x0, x1 = sorted((draw(st.integers(0, width - 1)), draw(st.integers(1, width))))
        y0, y1 = sorted((draw(st.integers(0, height - 1)), draw(st.integers(1, height))))
        boxes.append((x0, y0, x1, y1))
    return width, height, boxes


@given(frames_with_boxes())
def test_the_following_square_holds_every_box_and_stays_in_the_frame_where_it_fits(
    scene: tuple[int, int, list[Box | None]],
) -> None:
    width, height, boxes = scene
    square = place_square("follow", width, height, boxes)
    assert square.side_px % 2 == 0 or square.side_px == max(width, height)  # it can be halved
    for start, extent in ((square.x_px, width), (square.y_px, height)):
        if square.side_px <= extent:
            assert 0 <= start <= extent - square.side_px
        else:
            assert start <= 0
            assert extent <= start + square.side_px
    for box in boxes:
        if box is not None:
            assert square.x_px <= box[0]
            assert square.y_px <= box[1]
            assert box[2] <= square.x_px + square.side_px
            assert box[3] <= square.y_px + square.side_px


@given(frames_with_boxes())
def test_letterbox_is_the_whole_frame_and_follow_without_boxes_is_the_same(
    scene: tuple[int, int, list[Box | None]],
) -> None:
    width, height, boxes = scene
    square = place_square("letterbox", width, height, boxes)
    assert square.side_px == max(width, height)
    assert square.x_px <= 0 <= width <= square.x_px + square.side_px
    assert square.y_px <= 0 <= height <= square.y_px + square.side_px
    assert place_square("follow", width, height, [None] * len(boxes)) == square


def test_a_far_person_is_not_blown_up_to_pixels() -> None:
    assert place_square("follow", 640, 480, [(300, 200, 310, 230)]).side_px == round(0.3 * 640)


@given(frames_with_boxes(), st.integers(32, 224))
def test_a_box_in_view_pixels_goes_back_to_the_same_frame_pixels(
    scene: tuple[int, int, list[Box | None]], size: int
) -> None:
    width, height, boxes = scene
    square = place_square("follow", width, height, boxes)
    scale = square.side_px / size
    for box in boxes:
        if box is not None:
            seen = square.to_view(box, size)
            assert all(-1e-6 <= edge <= size + 1e-6 for edge in seen)
            back = [edge * scale + start for edge, start in zip(seen, (square.x_px, square.y_px) * 2, strict=True)]
            assert back == pytest.approx(box)


def test_letterboxing_keeps_every_part_of_the_frame_on_black() -> None:
    frame = np.full((60, 120, 3), 200, np.uint8)
    frame[:, :6], frame[:, -6:] = (255, 0, 0), (0, 0, 255)
    view = cut_square(frame, place_square("letterbox", 120, 60, []), 64)
    assert view.shape == (64, 64, 3)
    assert not view[:16].any()
    assert not view[48:].any()
    assert view[32, 0].tolist() == [255, 0, 0]
    assert view[32, -1].tolist() == [0, 0, 255]
    assert view[16:48].min(axis=(0, 1)).tolist() == [0, 0, 0]
    assert (view[20:44, 10:54] == 200).all()


def test_a_square_of_the_right_size_is_the_picture_itself() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)
    assert np.array_equal(cut_square(frame, Square(13, 7, 64), 64), frame[7:71, 13:77])


def area_weights(extent: int, shown: int) -> np.ndarray:
    """[shown, extent]: how much of each pixel lies in the part of the extent that a pixel of the view shows."""
    edges = np.linspace(0, extent, shown + 1)
    start, stop = edges[:-1, None], edges[1:, None]
    pixel = np.arange(extent)
    return np.clip(np.minimum(stop, pixel + 1) - np.maximum(start, pixel), 0, None) / (stop - start)


@given(st.integers(112, 1100), st.integers(32, 112), st.integers(0, 2**32 - 1))
@example(1080, 112, 0).via("halved twice")
@example(338, 112, 0).via("halved where it was hardly more than three pixels for each of the view")
def test_a_large_square_is_averaged_over_the_area_of_each_pixel(side: int, size: int, seed: int) -> None:
    grain = np.random.default_rng(seed).integers(0, 256, (size // 2, size // 2, 3), np.uint8)
    frame = cv2.resize(grain, (side, side), interpolation=cv2.INTER_LINEAR)
    weights = area_weights(side, size)
    expected = np.einsum("ai,ijc,bj->abc", weights, frame.astype(float), weights, optimize=True)
    off = np.abs(cut_square(frame, Square(0, 0, side), size) - expected)
    assert off.mean() < 2
    assert off.max() < 10


boxes_in_view = st.tuples(*[st.floats(-20, 90)] * 4).map(
    lambda e: (min(e[0], e[2]), min(e[1], e[3]), max(e[0], e[2]), max(e[1], e[3]))
)


@given(boxes_in_view, st.integers(0, 2**32 - 1))
def test_local_is_black_outside_the_box_and_the_picture_inside(box: Box, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(1, 256, (64, 64, 3), np.uint8)
    local = apply_view(picture, box, "local")
    rows, columns = np.mgrid[:64, :64] + 0.5
    inside = (box[0] <= columns) & (columns <= box[2]) & (box[1] <= rows) & (rows <= box[3])
    touched = (box[0] < columns + 0.5) & (columns - 0.5 < box[2]) & (box[1] < rows + 0.5) & (rows - 0.5 < box[3])
    assert np.array_equal(local[inside], picture[inside])
    assert not local[~touched].any()


@given(boxes_in_view, st.integers(0, 2**32 - 1))
def test_blend_is_the_mean_of_global_and_local_to_one_grey_level(box: Box, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    whole, local, blend = (apply_view(picture, box, view).astype(float) for view in ("global", "local", "blend"))
    assert np.array_equal(whole, picture)
    assert np.abs(blend - (whole + local) / 2).max() <= 1


def view_of_the_shipped_model(picture: Image, box: Box, view: str) -> Image:
    """`apply_view` as it was when the shipped model was trained, word for word."""
    size = picture.shape[0]
    x0, y0 = (int(np.clip(np.floor(value), 0, size)) for value in box[:2])
    x1, y1 = (int(np.clip(np.ceil(value), 0, size)) for value in box[2:])
    outside: Image = np.zeros_like(picture) if view == "local" else picture // np.uint8(2)
    outside[y0:y1, x0:x1] = picture[y0:y1, x0:x1]
    return outside


@given(boxes_in_view, st.integers(0, 2**32 - 1), st.sampled_from(["local", "blend"]))
def test_box_views_keep_every_bit_that_the_shipped_model_was_trained_on(box: Box, seed: int, view: str) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    assert np.array_equal(apply_view(picture, box, view), view_of_the_shipped_model(picture, box, view))


@given(st.integers(0, 2**32 - 1), st.none() | boxes_in_view)
def test_a_mask_goes_before_the_box_and_keeps_exactly_its_pixels(seed: int, box: Box | None) -> None:
    rng = np.random.default_rng(seed)
    picture, mask = rng.integers(2, 256, (64, 64, 3), np.uint8), rng.random((64, 64)) < 0.3
    local, blend = (apply_view(picture, box, view, mask) for view in ("local", "blend"))
    assert np.array_equal(local[mask], picture[mask])
    assert not local[~mask].any()
    assert np.array_equal(blend[mask], picture[mask])
    assert np.array_equal(blend[~mask], picture[~mask] // 2)
    assert np.array_equal(apply_view(picture, box, "global", mask), picture)


def test_a_mask_is_cut_like_the_frame_it_belongs_to() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((80, 100)) < 0.5
    assert np.array_equal(cut_mask(mask, Square(13, 7, 64), 64), mask[7:71, 13:77])
    person = np.zeros((60, 120), bool)
    person[12:48, 31:77] = True
    square = place_square("letterbox", 120, 60, [])
    seen = cut_mask(person, square, 60)
    assert seen.dtype == bool
    shown = cut_square(np.where(person[..., None], np.uint8(255), np.uint8(0)).repeat(3, 2), square, 60)
    assert np.array_equal(seen, shown[..., 0] > 127)
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    assert (rows[0], rows[-1] + 1, columns[0] - 15, columns[-1] - 15) == (21, 39, 0, 23)


def test_union_and_late_are_a_global_and_a_local_pass_and_every_other_view_is_its_own() -> None:
    assert passes("union") == passes("late") == ("global", "local")
    assert [passes(view) for view in ("global", "local", "blend")] == [("global",), ("local",), ("blend",)]


@pytest.mark.parametrize("view", ["global", "local", "blend"])
def test_without_a_known_person_the_whole_picture_is_the_person_region(view: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert np.array_equal(apply_view(picture, None, view), picture)


@pytest.mark.parametrize("view", ["global", "local", "blend"])
def test_a_view_leaves_the_picture_it_was_made_from_alone(view: str) -> None:
    picture = np.full((64, 64, 3), 200, np.uint8)
    apply_view(picture, (10.0, 10.0, 20.0, 20.0), view)
    apply_view(picture, None, view, np.eye(64, dtype=bool))
    assert (picture == 200).all()

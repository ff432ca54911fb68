"""The person's region: the rules on boxes, and the pacing of the detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stan_edge.person.detection_rate import DETECTION_HZ, REDUCED_DETECTION_HZ
from stan_edge.person.tracking import (
    HOLD_S,
    BoxSmoother,
    PersonTracker,
    Region,
    Sighting,
    is_plausible,
    padded_box,
    padded_mask,
)
from stan_edge.sources import Frame, Segment
from stan_edge.types import Image, Mask, RawBox

BOX = np.array([100.0, 80.0, 200.0, 380.0])


class FixedDetector:
    """Finds what it is told, and remembers what it was asked."""

    def __init__(self, *answers: RawBox | None, masks: bool = False) -> None:
        self.answers = list(answers)
        self.masks = masks
        self.near: list[tuple[int, int, int, int] | None] = []
        self.forgot = 0

    def find(self, image: Image, near: tuple[int, int, int, int] | None) -> Sighting | None:
        self.near.append(near)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return None if answer is None else Sighting(answer, body(answer) if self.masks else None)

    def forget(self) -> None:
        self.forgot += 1


def body(box: RawBox) -> np.ndarray:
    """The mask of a person who fills the box."""
    mask = np.zeros((480, 640), bool)
    x0, y0, x1, y1 = (int(edge) for edge in box)
    mask[y0:y1, x0:x1] = True
    return mask


def frame_at(t_s: float, image: Image | None = None) -> Frame:
    return Frame(0, t_s, np.zeros((480, 640, 3), np.uint8) if image is None else image)


def regions_from(*looks: RawBox | None, masks: Sequence[Mask | None] = ()) -> list[Region]:
    """What a smoother makes of looks at `DETECTION_HZ`."""
    smoother = BoxSmoother()
    known = masks or [None] * len(looks)
    return [
        smoother.feed(look, k / DETECTION_HZ, 640, 480, mask=mask)
        for k, (look, mask) in enumerate(zip(looks, known, strict=True))
    ]


def test_margin_is_15_percent_and_at_least_32_px_of_640() -> None:
    assert padded_box(BOX, 640, 480) == (68, 35, 232, 425)
    assert padded_box(BOX, 1280, 480) == (36, 16, 264, 444)
    assert padded_box(np.array([-50.0, 400.0, 30.0, 470.0]), 640, 480) == (0, 368, 62, 480)


coordinates = st.floats(-2000, 3000, allow_nan=False)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(*[coordinates] * 4), min_size=1, max_size=12), st.integers(2, 2000), st.integers(2, 2000))
def test_every_region_is_a_box_inside_the_frame(
    raws: list[tuple[float, float, float, float]], width_px: int, height_px: int
) -> None:
    smoother = BoxSmoother()
    for k, raw in enumerate(raws):
        region = smoother.feed(np.array(raw), k / DETECTION_HZ, width_px, height_px)
        assert (region.state == "none") == (region.box_px is None)
        if region.box_px is not None:
            x0, y0, x1, y1 = region.box_px
            assert 0 <= x0 < x1 <= width_px
            assert 0 <= y0 < y1 <= height_px


@settings(deadline=None)  # the machine may be busy
@given(st.floats(0, 500), st.floats(0, 300), st.floats(40, 130), st.floats(40, 170))
def test_a_still_box_is_the_padded_box_from_the_first_detection(x: float, y: float, w: float, h: float) -> None:
    raw = np.array([x, y, x + w, y + h])
    assert [region.box_px for region in regions_from(*[raw] * 7)] == [padded_box(raw, 640, 480)] * 7


def test_one_wild_detection_does_not_move_the_region() -> None:
    wild = np.array([500.0, 10.0, 620.0, 100.0])
    regions = regions_from(BOX, BOX, BOX, BOX, wild, BOX)
    assert [region.box_px for region in regions] == [padded_box(BOX, 640, 480)] * 6


def test_a_moved_person_is_followed_after_three_of_five_detections() -> None:
    moved = BOX + 200
    moved[3] = 470
    regions = regions_from(*[BOX] * 5, *[moved] * 3)
    assert regions[6].box_px == padded_box(BOX, 640, 480)
    assert regions[7].box_px == padded_box(moved, 640, 480)


def test_a_miss_holds_the_box_then_gives_it_up() -> None:
    smoother = BoxSmoother()
    box = smoother.feed(BOX, 0.0, 640, 480).box_px
    assert smoother.feed(None, HOLD_S, 640, 480) == Region(box, "held")
    assert smoother.feed(None, HOLD_S + 0.1, 640, 480) == Region(None, "none")
    assert smoother.feed(None, HOLD_S + 9, 640, 480) == Region(None, "none")


def test_boxes_from_before_a_gap_have_no_vote() -> None:
    smoother, moved = BoxSmoother(), BOX + 50
    for k in range(5):
        smoother.feed(BOX, k / DETECTION_HZ, 640, 480)
    assert smoother.feed(moved, 60.0, 640, 480).box_px == padded_box(moved, 640, 480)


def test_a_mask_is_widened_by_5_percent_of_the_longer_side_of_its_box() -> None:
    assert np.array_equal(padded_mask(body(BOX), BOX), body(BOX + np.array([-15, -15, 15, 15])))
    small = np.array([10.0, 10.0, 16.0, 14.0])
    assert np.array_equal(padded_mask(body(small), small), body(small + np.array([-1, -1, 1, 1])))


def test_the_mask_is_that_of_the_last_look_and_is_held_and_lost_with_its_box() -> None:
    smoother, moved = BoxSmoother(), BOX + 20
    regions = [
        smoother.feed(box, t_s, 640, 480, mask=mask)
        for box, t_s, mask in zip(
            [BOX, moved, None, None, moved],
            [0.0, 0.1, 0.2, 9.0, 9.1],
            [body(BOX), body(moved), body(BOX), None, None],
            strict=True,
        )
    ]
    assert [region.state for region in regions] == ["tracked", "tracked", "held", "none", "tracked"]
    assert np.array_equal(regions[0].mask, padded_mask(body(BOX), BOX))
    assert np.array_equal(regions[1].mask, padded_mask(body(moved), moved))
    assert np.array_equal(regions[2].mask, regions[1].mask)
    assert regions[3].mask is None
    assert regions[4].mask is None  # its box is known, its mask is not
    assert regions[4].box_px == padded_box(moved, 640, 480)


def test_masks_change_no_box_and_an_empty_mask_is_none() -> None:
    rng = np.random.default_rng(0)
    looks = [None if k in (4, 5, 11) else BOX + rng.normal(0, 10, 4) for k in range(20)]
    masks = [None if look is None else body(look) for look in looks]
    masks[8] = np.zeros((480, 640), bool)
    regions = regions_from(*looks, masks=masks)
    assert regions == regions_from(*looks)
    assert [k for k, region in enumerate(regions) if region.mask is None] == [8]


def test_a_tracker_gives_the_regions_of_what_its_detector_finds() -> None:
    looks = [BOX, BOX + 9, None, BOX + 18, None, BOX]
    tracker = PersonTracker(FixedDetector(BOX, *looks, masks=True))  # the first look is not believed yet
    tracked = [tracker.update(frame_at(k / 10)) for k in range(7)][1:]
    expected = regions_from(*looks, masks=[None if box is None else body(box) for box in looks])
    assert tracked == expected
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(tracked, expected, strict=True))


@pytest.mark.parametrize(
    "raw",
    [(np.nan, 0, 10, 10), (10, 10, 10, 200), (0, 0, 8, 9), (-300, 0, 100, 200), (900, 10, 950, 300)],
    ids=["nan", "flat", "tiny", "mostly left of the frame", "outside"],
)
def test_nonsense_counts_as_a_miss(raw: tuple[float, float, float, float]) -> None:
    assert not is_plausible(np.array(raw, np.float64), 640, 480)
    assert BoxSmoother().feed(np.array(raw, np.float64), 0.0, 640, 480).state == "none"


@pytest.mark.parametrize("fps", [10.0, 15.0, 25.0, 30.0, 60.0])
def test_detector_runs_at_its_rate_whatever_the_frame_rate(fps: float) -> None:
    rng = np.random.default_rng(1)
    detector = FixedDetector(BOX)
    tracker = PersonTracker(detector)
    for k in range(round(20 * fps)):
        tracker.update(frame_at(k / fps + rng.uniform(0, 0.05) / fps))
    assert len(detector.near) == pytest.approx(200, abs=2)
    for k in range(round(20 * fps), round(40 * fps)):
        tracker.update(frame_at(k / fps + rng.uniform(0, 0.05) / fps), REDUCED_DETECTION_HZ)
    assert len(detector.near) == pytest.approx(300, abs=4)


def test_tracker_tells_the_detector_where_the_person_was() -> None:
    detector = FixedDetector(BOX, BOX, None)
    tracker = PersonTracker(detector)
    states = [tracker.update(frame_at(k / 10)).state for k in range(4)]
    assert states == ["none", "tracked", "held", "held"]
    box = padded_box(BOX, 640, 480)
    assert detector.near == [None, None, box, box]


def test_someone_seen_only_once_is_nobody() -> None:
    detector = FixedDetector(BOX, None, BOX, None)
    tracker = PersonTracker(detector)
    assert [tracker.update(frame_at(k / 10)).state for k in range(5)] == ["none"] * 5


def test_after_a_break_nobody_is_known_until_seen_twice_again() -> None:
    detector = FixedDetector(BOX)
    tracker = PersonTracker(detector)
    before = [tracker.update(frame_at(k / 10)).state for k in range(4)]
    back = Segment(1, "reconnect")
    after = [tracker.update(replace(frame_at(0.35 + k / 10), segment=back)).state for k in range(3)]
    assert before == ["none", "tracked", "tracked", "tracked"]
    assert after == ["none", "tracked", "tracked"]
    assert detector.near[4:6] == [None, None]
    assert detector.forgot == 1

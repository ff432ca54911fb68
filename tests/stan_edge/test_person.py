"""The person's region: the rules on boxes, the pacing of the detector, and MediaPipe on real falls."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stan_edge.bundle import CONTRACT, write_digests
from stan_edge.cli import bench, run
from stan_edge.contract import read_contract, write_contract
from stan_edge.errors import ConfigError
from stan_edge.person import (
    HOLD_S,
    RATE_HZ,
    SPARING_RATE_HZ,
    BoxSmoother,
    Mask,
    PersonTracker,
    RawBox,
    Region,
    Sighting,
    is_plausible,
    padded_box,
    padded_mask,
)
from stan_edge.pose import MediapipeDetector, watching
from stan_edge.sources import Crop, Frame, Image, Segment, demo_clip, open_source

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
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
    """What a smoother makes of looks at `RATE_HZ`."""
    smoother = BoxSmoother()
    known = masks or [None] * len(looks)
    return [
        smoother.feed(look, k / RATE_HZ, 640, 480, mask=mask)
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
        region = smoother.feed(np.array(raw), k / RATE_HZ, width_px, height_px)
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
        smoother.feed(BOX, k / RATE_HZ, 640, 480)
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


@pytest.mark.parametrize("region", ["box", "mask"])
@pytest.mark.parametrize("verb", ["run", "bench"])
def test_the_detector_gives_masks_where_the_model_asks_for_them(
    bundle_copy: Path, monkeypatch: pytest.MonkeyPatch, verb: str, region: str
) -> None:
    class AskedError(Exception):
        """Says what the detector was asked for."""

    def detector(*, masks: bool = False) -> MediapipeDetector:
        raise AskedError(masks)

    contract = read_contract(bundle_copy / CONTRACT)
    spec = contract.input.model_copy(update={"region": region})
    write_contract(bundle_copy / CONTRACT, contract.model_copy(update={"input": spec}))
    write_digests(bundle_copy)
    monkeypatch.setattr(run, "_stop_on_signals", lambda _: None)
    monkeypatch.setattr("stan_edge.pose.MediapipeDetector", detector)
    command = {"run": run.command, "bench": bench.command}[verb]
    with pytest.raises(AskedError) as asked:
        command(str(demo_clip()), model=bundle_copy, backend="onnxruntime")
    assert asked.value.args == (region == "mask",)


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
        tracker.update(frame_at(k / fps + rng.uniform(0, 0.05) / fps), SPARING_RATE_HZ)
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


def test_a_detector_that_has_forgotten_finds_what_a_new_one_does() -> None:
    pytest.importorskip("mediapipe")
    pictures = []
    with closing(open_source(str(demo_clip()))) as source:
        while len(pictures) < 41 and (frame := source.read()) is not None:
            pictures.append(frame.image)
    found = []
    for used in (False, True):
        detector = MediapipeDetector()
        if used:
            assert detector.find(pictures[0], None) is not None
            detector.forget()
        sighting = detector.find(pictures[-1], None)
        assert sighting is not None
        found.append(sighting.box)
        detector.close()
    np.testing.assert_array_equal(*found)


def test_missing_mediapipe_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("mediapipe")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ConfigError, match=r'pip install "stan-edge\[pose\]"'):
        MediapipeDetector()


def regions_of(clip: str, crop: Crop | None = None, *, masks: bool = False) -> list[Region]:
    regions = []
    with watching(masks=masks) as tracker, closing(open_source(str(DATA / clip), crop=crop)) as source:
        while (frame := source.read()) is not None:
            regions.append(tracker.update(frame))
    return regions


@needs_data
def test_a_real_fall_is_held_to_the_end_twice_the_same_and_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mediapipe")

    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    clip = "gmdcsa24/Subject 1/Fall/13.mp4"
    regions = regions_of(clip)
    known = [region for region in regions if region.state == "tracked"]
    assert len(known) >= 0.95 * len(regions)
    standing, lying = regions[10].box_px, regions[-1].box_px
    assert standing is not None and lying is not None
    assert standing[3] - standing[1] > standing[2] - standing[0]
    assert lying[3] - lying[1] < lying[2] - lying[0]
    assert regions_of(clip) == regions


@needs_data
def test_a_person_whom_tracking_alone_loses_on_the_ground_is_found_again() -> None:
    pytest.importorskip("mediapipe")
    regions = regions_of("urfd/fall-04-cam0.mp4", Crop(320, 0, 320, 240))  # tracking alone: 26 of 96 frames lost
    assert sum(region.state == "tracked" for region in regions) >= 0.9 * len(regions)
    x0, y0, x1, _ = regions[-1].box_px or (0, 0, 0, 0)
    assert y0 > 120 and x0 < 120 < x1  # on the floor, where he lies


@needs_data
def test_the_mask_is_the_person_also_on_the_ground_and_changes_no_box() -> None:
    pytest.importorskip("mediapipe")
    clip, crop = "urfd/fall-04-cam0.mp4", Crop(320, 0, 320, 240)  # found turned by a quarter, too
    regions = regions_of(clip, crop, masks=True)
    assert regions == regions_of(clip, crop)
    at_center = []
    for region in regions:
        if region.box_px is None:
            continue
        x0, y0, x1, y1 = region.box_px
        assert region.mask is not None
        assert region.mask.shape == (240, 320)
        at_center.append(region.mask[(y0 + y1) // 2, (x0 + x1) // 2])
        assert 0.2 < region.mask[y0:y1, x0:x1].mean() < 0.95
        assert region.mask[y0:y1, x0:x1].sum() > 0.7 * region.mask.sum()
    assert np.mean(at_center) >= 0.9


def test_mediapipe_writes_nothing_to_the_terminal_and_swallows_nothing_of_ours() -> None:
    pytest.importorskip("mediapipe")
    code = (
        "import os, numpy as np\n"
        "from stan_edge.native_noise import native_noise_removed\n"
        "from stan_edge.pose import MediapipeDetector\n"
        "detector = MediapipeDetector()\n"
        "detector.find(np.zeros((240, 320, 3), np.uint8), None)\n"
        "detector.forget()\n"
        "detector.find(np.zeros((240, 320, 3), np.uint8), None)\n"
        "with native_noise_removed():\n"
        "    os.write(2, b'kept\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout == ""
    assert done.stderr == "kept\n"


def test_threads_that_remove_the_noise_together_give_the_terminal_back() -> None:
    code = (
        "import os, threading\n"
        "from stan_edge.native_noise import native_noise_removed\n"
        "first_in, second_in = threading.Event(), threading.Event()\n"
        "def second():\n"
        "    first_in.wait()\n"
        "    with native_noise_removed():\n"
        "        second_in.set()\n"
        "        thread_of_first.join()\n"
        "        os.write(2, b'I0000 00:00:00.000000 1 noise.cc:1] noise\\n')\n"
        "        os.write(2, b'kept\\n')\n"
        "def first():\n"
        "    with native_noise_removed():\n"
        "        first_in.set()\n"
        "        second_in.wait()\n"
        "thread_of_first, thread_of_second = threading.Thread(target=first), threading.Thread(target=second)\n"
        "thread_of_first.start(); thread_of_second.start(); thread_of_second.join()\n"
        "os.write(2, b'after\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "kept\nafter\n"

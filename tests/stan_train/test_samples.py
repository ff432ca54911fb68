from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stan_edge.contract import InputSpec
from stan_edge.person import region_from_boxes
from stan_train.samples import CLIP_S, IMPORTANT_FOR_LABEL, STORED_PX, chunk_counts, cut_windows, generate_samples
from stan_train.synthetic import ACTIVITIES, SyntheticClip

LENGTH = 60


def clip_with(important: np.ndarray, label: str = "falling") -> SyntheticClip:
    """Frame k is filled with k, so that a window says where it was cut."""
    frames = np.empty((LENGTH, 24, 32, 3), np.uint8)
    frames[:] = np.arange(LENGTH, dtype=np.uint8)[:, None, None, None]
    boxes = np.tile(np.array([8, 4, 20, 20], np.float32), (LENGTH, 1))
    return SyntheticClip(frames, np.arange(LENGTH) / 10, label, important, boxes, "")


@pytest.fixture(scope="module")
def spec(input_spec: InputSpec) -> InputSpec:
    return input_spec.model_copy(update={"framing": "letterbox"})


@settings(max_examples=15)
@given(st.integers(0, 55), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_a_window_is_labelled_by_the_share_of_important_frames_in_it(
    spec: InputSpec, first: int, length: int, seed: int
) -> None:
    important = np.zeros(LENGTH, bool)
    important[first : first + length] = True
    found = list(cut_windows(clip_with(important), spec, np.random.default_rng(seed)))
    labels = [ACTIVITIES[label] for _, _, label, _ in found]
    assert labels.count("falling") <= 2
    assert labels.count("background") <= 2
    for (frames, boxes, _, flags), label in zip(found, labels, strict=True):
        start = int(frames[0].max())
        assert [int(frame.max()) for frame in frames] == list(range(start, start + 20))
        assert frames.shape == (20, STORED_PX, STORED_PX, 3)
        assert boxes.shape == (20, 4)
        assert np.array_equal(flags, important[start : start + 20])
        assert flags.mean() >= IMPORTANT_FOR_LABEL if label == "falling" else not flags.any()
    shares = [important[start : start + 20].mean() for start in range(LENGTH - 19)]
    assert ("falling" in labels) == (max(shares) >= IMPORTANT_FOR_LABEL)
    assert ("background" in labels) == (min(shares) == 0)


def test_boxes_are_the_runtimes_regions_in_the_pixels_of_the_window(spec: InputSpec) -> None:
    clip = clip_with(np.zeros(LENGTH, bool), "background")
    frames, boxes, _, _ = next(cut_windows(clip, spec, np.random.default_rng(0)))
    box = region_from_boxes(clip.boxes_px, 32, 24)[int(frames[10].max())]
    scale = STORED_PX / 32
    expected = [box[0] * scale, (box[1] + 4) * scale, box[2] * scale, (box[3] + 4) * scale]
    assert boxes[10] == pytest.approx(expected)


def test_a_clip_without_a_visible_person_has_no_boxes(spec: InputSpec) -> None:
    clip = clip_with(np.zeros(LENGTH, bool), "background")
    clip.boxes_px[:] = np.nan
    assert all(np.isnan(boxes).all() for _, boxes, _, _ in cut_windows(clip, spec, np.random.default_rng(0)))


def finished_chunk(folder: Path, spec: InputSpec, seed: int) -> None:
    folder.mkdir()
    key = {"seed": seed, "input": spec.model_dump(), "stored_px": STORED_PX, "clip_s": CLIP_S}
    (folder / "samples.json").write_text(json.dumps(key))
    np.save(folder / "0000.npy", np.full((3, 20, 8, 8, 3), 7, np.uint8))
    np.savez(
        folder / "0000.npz",
        boxes=np.zeros((3, 20, 4), np.float32),
        labels=np.array([0, 1, 2]),
        important=np.zeros((3, 20), bool),
    )


def test_a_finished_chunk_is_not_drawn_again(spec: InputSpec, tmp_path: Path) -> None:
    finished_chunk(tmp_path / "samples", spec, seed=3)
    seen: list[tuple[int, int]] = []
    (chunk,) = generate_samples(tmp_path / "samples", 20, 3, spec, 1, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]
    assert len(chunk) == 3
    assert (chunk.frames == 7).all()
    assert chunk.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("clips", "chunks"), [(1, 1), (20, 1), (21, 2), (1600, 80)])
def test_clips_are_drawn_in_chunks_of_20(clips: int, chunks: int) -> None:
    assert chunk_counts(clips) == chunks

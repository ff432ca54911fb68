"""Region files beside clips: what is damaged or of another clip is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stan_edge.errors import ConfigError
from stan_train.manifest import REGION_SIDECAR, Clip
from stan_train.regions import known_regions

BOXES = np.tile(np.array([20, 10, 40, 40], np.float32), (20, 1))
MASKS = np.random.default_rng(0).integers(0, 256, (20, 48, 8), np.uint8)


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """Twenty frames of 60x48 pixels; no video is read here."""
    path = tmp_path / "a.mp4"
    return Clip(path, "test", "falling", "ann", "ann", "1", 10.0, 20, 60, 48, None, (), "sidecar", None)


def beside(clip: Clip) -> Path:
    return clip.path.with_name(f"a{REGION_SIDECAR}")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_boxes_and_masks_come_back(clip: Clip, save) -> None:
    save(beside(clip), boxes=BOXES, masks=MASKS)
    boxes, masks = known_regions(clip)
    assert np.array_equal(boxes, BOXES)
    assert np.array_equal(masks, MASKS)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_that_is_cut_off_or_damaged_is_named(clip: Clip, save) -> None:
    save(beside(clip), boxes=BOXES, masks=MASKS)
    whole = beside(clip).read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(40):
        beside(clip).write_bytes(whole[: rng.integers(len(whole))])
        with pytest.raises(ConfigError, match=r"a\.regions\.npz: cannot be read"):
            known_regions(clip)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 0xFF
        beside(clip).write_bytes(damaged)
        try:
            known_regions(clip)
        except ConfigError as error:
            refused += "a.regions.npz" in str(error)
    assert refused > 200  # the other bytes say nothing: dates, permissions


def test_a_file_of_another_kind_is_named(clip: Clip) -> None:
    with beside(clip).open("wb") as file:
        np.save(file, BOXES)
    with pytest.raises(ConfigError, match="cannot be read"):
        known_regions(clip)
    beside(clip).unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        known_regions(clip)


@pytest.mark.parametrize(
    ("masks", "shape"),
    [
        (MASKS[:19], r"\(19, 48, 8\)"),
        (MASKS[:, :47], r"\(20, 47, 8\)"),
        (MASKS[..., :7], r"\(20, 48, 7\)"),
        (MASKS[0], r"\(48, 8\)"),
        (MASKS.astype(bool), r"bool \(20, 48, 8\)"),
    ],
)
def test_masks_of_another_shape_are_refused(clip: Clip, masks: np.ndarray, shape: str) -> None:
    np.savez(beside(clip), boxes=BOXES, masks=masks)
    with pytest.raises(ConfigError, match=rf"{shape}, not packed bits, uint8 \(20, 48, 8\)"):
        known_regions(clip)


@pytest.mark.parametrize("boxes", [BOXES[0], BOXES[:, :3], BOXES[None]])
def test_boxes_of_another_shape_are_refused(clip: Clip, boxes: np.ndarray) -> None:
    np.savez(beside(clip), boxes=boxes)
    with pytest.raises(ConfigError, match="not one box of 4 numbers a frame"):
        known_regions(clip)

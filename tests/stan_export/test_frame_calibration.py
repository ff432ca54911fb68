from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.errors import ConfigError
from stan_edge.model.contract import METHODS, InputSpec, Method
from stan_edge.pipeline.attribution import correct, importance
from stan_edge.pipeline.predictor import Explanation
from stan_export.frame_calibration import (
    CalibrationWindows,
    ScoredWindows,
    _threshold,
    calibrate,
    f1_score,
    read_calibration,
    uncalibrated,
)

SCENE = (20, 64, 64, 3)
CLASSES = ("background", "falling", "headache", "chest_pain", "compensation")


class Brightness:
    """Explains a window by the brightness of its frames, so that the right numbers are known."""

    method: Method = "staa"

    def __call__(self, frames: np.ndarray, class_index: int = -1) -> Explanation:
        scores = frames.astype(np.float32).mean(axis=(1, 2, 3))
        logits = np.zeros(5, np.float32)
        logits[class_index] = 50.0  # sure of itself: the background gate is open or shut
        return Explanation(logits, scores, scores[:, None, None], self.method)


def windows_of(levels: np.ndarray, labels: list[int], important: np.ndarray) -> CalibrationWindows:
    frames = np.broadcast_to(levels.astype(np.uint8)[..., None, None, None], (len(levels), *SCENE[:1], 8, 8, 3)).copy()
    return CalibrationWindows(frames, np.array(labels), important)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_f1_is_the_harmonic_mean_of_precision_and_recall(pairs: list[tuple[bool, bool]]) -> None:
    hits = sum(flag and true for flag, true in pairs)
    flagged, positive = sum(flag for flag, _ in pairs), sum(true for _, true in pairs)
    expected = 0.0
    if hits:
        precision, recall = hits / flagged, hits / positive
        expected = 2 * precision * recall / (precision + recall)
    flags, truth = (np.array(column) for column in zip(*pairs, strict=True))
    assert f1_score(flags, truth) == pytest.approx(expected)


def test_frames_that_differ_clearly_are_told_apart_by_the_lowest_threshold_that_does() -> None:
    rng = np.random.default_rng(0)
    important = np.zeros((6, 20), bool)
    important[1:, 8:14] = True
    levels = np.where(important, rng.integers(120, 200, important.shape), rng.integers(40, 110, important.shape))
    windows = windows_of(levels, [0, 1, 2, 1, 3, 4], important)
    found = calibrate(Brightness(), windows, CLASSES, "background", temperature=1.0)
    raw = levels.astype(np.uint8).astype(np.float32)
    scores, truth = importance(raw[1:], found.spec), important[1:]
    separation = [(scores[truth] >= k / 100).mean() - (scores[~truth] >= k / 100).mean() for k in range(101)]
    assert max(separation) == found.recall - found.false_flags == found.f1 == 1.0
    assert found.threshold == separation.index(1.0) / 100
    assert separation[separation.index(1.0) + 1] == 1.0
    share = truth.mean()
    assert found.f1_all_positive == pytest.approx(2 * share / (1 + share))


def test_the_scale_is_the_5th_and_95th_percentile_of_all_scores() -> None:
    levels = np.random.default_rng(0).integers(20, 240, (5, 20))
    found = calibrate(
        Brightness(), windows_of(levels, [0, 1, 2, 3, 4], levels > 120), CLASSES, "background", temperature=1.0
    )
    raw = correct(levels.astype(np.float32), found.spec)
    assert found.spec.scale == pytest.approx(tuple(np.percentile(raw, (5, 95))))


def test_a_method_without_position_bias_has_a_flat_profile() -> None:
    levels = np.random.default_rng(0).integers(20, 240, (5, 20))
    found = calibrate(
        Brightness(), windows_of(levels, [0, 1, 2, 3, 4], levels > 120), CLASSES, "background", temperature=1.0
    )
    assert found.spec.profile == pytest.approx((1.0,) * 20)


@pytest.mark.parametrize("method", METHODS)
def test_an_uncalibrated_method_says_so(method: Method) -> None:
    spec = uncalibrated(method, 20, CLASSES[1:])
    assert spec.scale is None
    assert spec.thresholds == dict.fromkeys(CLASSES[1:], 0.5)
    assert len(spec.profile) == 20
    assert spec.class_specific == (method != "staa")
    assert spec.dealias == (method in ("vanilla", "smoothgrad", "streaming"))
    assert spec.samples == {"smoothgrad": 8, "streaming": 1}.get(method)


def save(path: Path, **changes: np.ndarray) -> Path:
    arrays = {
        "frames": np.zeros((3, *SCENE), np.uint8),
        "labels": np.array([0, 1, 2]),
        "important": np.zeros((3, 20), bool),
    }
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


def test_calibration_windows_are_read(input_spec: InputSpec, tmp_path: Path) -> None:
    assert read_calibration(save(tmp_path / "w.npz"), input_spec, 5).labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"frames": np.zeros((3, 20, 32, 32, 3), np.uint8)}, r"windows are \(20, 32, 32, 3\)"),
        ({"frames": np.zeros((3, *SCENE), np.float32)}, "windows are"),
        ({"labels": None}, "labels"),
        ({"labels": np.array([0, 1])}, "one label for each window"),
        ({"labels": np.array([0, 1, 5])}, "between 0 and 4"),
        ({"important": np.zeros((3, 10), bool)}, "one flag for each frame"),
    ],
)
def test_windows_that_do_not_fit_the_model_are_refused(
    input_spec: InputSpec, tmp_path: Path, changes: dict[str, np.ndarray], says: str
) -> None:
    with pytest.raises(ConfigError, match=f"--calibration .*{says}"):
        read_calibration(save(tmp_path / "w.npz", **changes), input_spec, 5)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_damaged_calibration_file_is_refused(input_spec: InputSpec, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"--calibration .*w\.npz: cannot be read"):
        read_calibration(tmp_path / "w.npz", input_spec, 5)


def test_a_calibration_file_cut_in_half_is_refused(input_spec: InputSpec, tmp_path: Path) -> None:
    whole = save(tmp_path / "w.npz").read_bytes()
    (tmp_path / "w.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_calibration(tmp_path / "w.npz", input_spec, 5)


def test_a_calibration_file_that_is_not_there_is_refused(input_spec: InputSpec, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`stan-edge train` writes one"):
        read_calibration(tmp_path / "nowhere.npz", input_spec, 5)


@given(st.integers(0, 2**32 - 1))
def test_a_threshold_never_does_worse_than_flagging_everything_by_the_papers_criterion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    important = rng.random((6, 20)) < rng.uniform(0.2, 0.8)
    important[0, :2] = [True, False]
    scores = np.clip(rng.normal(0.4, 0.2, important.shape) + rng.uniform(-0.3, 0.5) * important, 0, 1)
    counted = rng.random(important.shape) < 0.9
    counted[0, :2] = True
    windows = ScoredWindows(scores.astype(np.float32), scores[:1], np.ones(6, np.int64), 0.0, important, counted)
    found = _threshold(scores, windows, np.ones(6, bool))
    values, truth = scores[counted], important[counted]
    f1 = [f1_score(values >= t, truth) for t in np.arange(101) / 100]
    everything = f1_score(np.ones_like(truth), truth)
    if max(f1) > everything:
        assert found == f1.index(max(f1)) / 100
    else:  # nothing to gain: it separates as well as it can, or flags nothing
        separation = [(values[truth] >= t).mean() - (values[~truth] >= t).mean() for t in np.arange(101) / 100]
        assert found == (separation.index(max(separation)) / 100 if max(separation) > 0 else 1.0)

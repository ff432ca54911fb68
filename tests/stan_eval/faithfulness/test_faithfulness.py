from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.backends.base import Backend
from stan_edge.model.bundle import Bundle
from stan_eval.faithfulness.measure import classifier, faithfulness_figures, measure_faithfulness
from stan_eval.faithfulness.order_scores import SUBSTRATES, Masked, Substrate, order_scores, stride_order
from stan_eval.intervals import Unit
from tests.conftest import MakeClip

FRAMES = 20
TELLING = np.arange(6, 11)


def window() -> np.ndarray:
    """[1, 20, 2, 2, 3]: frames 6 to 10 are bright."""
    levels = np.full(FRAMES, 40, np.uint8)
    levels[TELLING] = 200
    return np.broadcast_to(levels[None, :, None, None, None], (1, FRAMES, 2, 2, 3)).copy()


def brightest_counts(pictures: np.ndarray) -> np.ndarray:
    """Class 1 is as probable as many frames are bright, at most 5."""
    bright = min(float((pictures[0].mean((1, 2, 3)) > 150).sum()) / len(TELLING), 1.0)
    return np.array([1 - bright, bright])


@given(st.lists(st.booleans(), min_size=FRAMES, max_size=FRAMES))
def test_what_is_taken_away_is_replaced_by_what_is_left(flags: list[bool]) -> None:
    kept = np.array(flags)
    pictures = np.random.default_rng(0).integers(0, 256, (2, FRAMES, 3, 3, 3)).astype(np.uint8)
    masked = Masked(brightest_counts, pictures)
    for substrate in SUBSTRATES:
        seen = masked.pictures(kept, substrate)
        assert np.array_equal(seen[:, kept], pictures[:, kept])
        for k in np.flatnonzero(~kept):
            if substrate == "clip mean" or not kept.any():
                assert np.abs(seen[:, k] - pictures.mean(1)).max() <= 0.5
            else:
                near = np.abs(np.flatnonzero(kept) - k)
                nearest = np.flatnonzero(kept)[near == near.min()]
                assert any(np.array_equal(seen[:, k], pictures[:, place]) for place in nearest)


@pytest.mark.parametrize("substrate", SUBSTRATES)
def test_an_order_that_puts_the_telling_frames_first_beats_chance_and_its_reverse(substrate: Substrate) -> None:
    rest = np.setdiff1d(np.arange(FRAMES), TELLING)
    right = np.concatenate([TELLING, rest])
    best, worst = (
        order_scores(Masked(brightest_counts, window()), order, 1, substrate) for order in (right, right[::-1])
    )
    rng = np.random.default_rng(0)
    chance = [
        order_scores(Masked(brightest_counts, window()), rng.permutation(FRAMES), 1, substrate).gain for _ in range(40)
    ]
    assert best.gain > max(chance)
    assert worst.gain < min(chance)
    assert abs(np.mean(chance)) < 0.15
    assert best.comprehensiveness > worst.comprehensiveness
    assert best.sufficiency < worst.sufficiency
    assert best.faithfulness == 1.0  # the first 14 frames hold all that tell


def test_the_areas_are_those_under_the_curves() -> None:
    """With the mean of the clip instead, a frame counts only where it is kept: p = min(k, 5) / 5 of the first k."""
    right = np.concatenate([TELLING, np.setdiff1d(np.arange(FRAMES), TELLING)])
    found = order_scores(Masked(brightest_counts, window()), right, 1, "clip mean")
    counts = np.array([0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
    kept = np.minimum(counts, 5) / 5
    widths = np.diff(counts) / FRAMES
    insertion = (widths * (kept[1:] + kept[:-1]) / 2).sum()
    deletion = (widths * (1 - (kept[1:] + kept[:-1]) / 2)).sum()
    assert found.insertion == pytest.approx(insertion)
    assert found.deletion == pytest.approx(deletion)
    few = np.array([1, 2, 4, 5]) / 5
    assert found.comprehensiveness == pytest.approx(few.mean())
    assert found.sufficiency == pytest.approx((1 - few).mean())
    assert found.monotonicity < -0.7  # ties from the sixth frame on


def test_the_network_runs_once_for_what_is_asked_twice() -> None:
    asked: list[np.ndarray] = []
    masked = Masked(lambda pictures: asked.append(pictures) or brightest_counts(pictures), window())  # type: ignore[func-returns-value]
    first = order_scores(masked, np.arange(FRAMES), 1, "clip mean")
    # of 12 shares kept and 12 taken away, all and nothing are the same
    assert len(asked) == 22
    assert order_scores(masked, np.arange(FRAMES), 1, "clip mean") == first
    assert len(asked) == 22


def test_the_stride_pattern_is_an_order() -> None:
    assert stride_order(5).tolist() == [1, 3, 0, 2, 4]


def test_windows_of_clips_are_measured_by_the_forward_graph(
    make_clip: MakeClip, tiny_bundle: Bundle, backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stan_eval.faithfulness.measure.RANDOM_ORDERS", 5)  # 20 only make chance surer
    lit = [60] * 20 + [190] * 20 + [60] * 10
    marks = ((20, 40),)
    clips = [
        make_clip(tmp_path / "a.mp4", lit, "falling", important=marks),
        make_clip(tmp_path / "b.mp4", lit, "falling", important=marks),
        make_clip(tmp_path / "dark.mp4", [60] * 40),
        make_clip(tmp_path / "wrong.mp4", lit, "headache", important=marks),  # it says falling there
    ]
    turns = []
    found = measure_faithfulness(
        tiny_bundle, clips, ("vanilla", "gradcam"), backend, tiny_bundle, lambda: turns.append(1), fold=2
    )
    assert len(turns) == 4
    assert [one.unit for one in found] == [Unit(2, "a"), Unit(2, "a"), Unit(2, "b"), Unit(2, "b")]
    names = {name for name, _ in found[0].values}
    assert names == {
        *("vanilla", "gradcam", "vanilla, random weights", "gradcam, random weights"),
        *("odd, then even", "random"),
    }
    figures = faithfulness_figures(found)
    for substrate in SUBSTRATES:
        # brightness decides, and bright frames are those of the light: the class's map knows them
        gain = figures["gradcam", substrate].figures["gain over random"]
        assert gain is not None
        assert gain.value > 0.02
        chance = figures["random", substrate].figures["gain over random"]
        assert chance is not None
        assert chance.value == 0.0
        # the "other" network is the same one here
        again = figures["gradcam, random weights", substrate].figures["gain"]
        own = figures["gradcam", substrate].figures["gain"]
        assert again is not None and own is not None
        assert again.value == own.value
        assert figures["gradcam", substrate].windows == 4


def test_probabilities_are_those_of_the_runtime(tiny_bundle: Bundle, backend: Backend) -> None:
    with np.load(tiny_bundle.parity) as recorded:
        frames, logits = recorded["frames"][0], recorded["logits"][0]
    contract = tiny_bundle.contract
    expected = np.exp(logits / contract.temperature)
    np.testing.assert_allclose(classifier(tiny_bundle, backend)(frames[None]), expected / expected.sum(), rtol=1e-4)


def test_nothing_measured_has_no_figures() -> None:
    assert faithfulness_figures([]) == {}

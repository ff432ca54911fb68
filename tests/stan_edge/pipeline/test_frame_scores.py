"""What the frame scores of the shipped model say of clips whose truth is known, by the way a user gets them.

The clips are synthetic people that training never saw. Bounds stand beside what was measured; a method for which a
promise does not hold fails here, visibly, with its figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from stan_edge.backends.registry import open_backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import open_bundle, shipped_bundle
from stan_edge.model.contract import METHODS, Method
from stan_edge.pipeline.attribution import correct
from stan_edge.pipeline.inputs import InputStream
from stan_edge.pipeline.predictor import PREDICTED, Explainer, softmax
from stan_edge.records import Record, WindowResult
from stan_edge.sources import Frame
from stan_edge.sources.scripted import ScriptedSource, Show
from stan_train.regions import KnownRegions
from stan_train.synthetic import render_clip
from tests.conftest import Kept

BUNDLE = open_bundle(shipped_bundle())
FALLING = BUNDLE.contract.classes.index("falling")


def methods(*only: Method, **failing: str) -> list[Any]:
    """Methods for `parametrize`, all by default. Those named do not keep the promise, and the reason says by how much
    they miss it. SmoothGrad's windows take ten times as long as those of any other, so it is slow."""
    params = []
    for method in only or METHODS:
        marks = [pytest.mark.slow] if method in ("smoothgrad", "streaming") else []
        if method in failing:
            marks.append(pytest.mark.xfail(strict=True, raises=AssertionError, reason=failing[method]))
        params.append(pytest.param(method, marks=marks))
    return params


@dataclass(frozen=True, eq=False)
class Scene:
    """Pictures at 10 a second, and where the person is in them."""

    pictures: np.ndarray  # [L, H, W, 3]
    boxes_px: np.ndarray  # [L, 4]

    def __getitem__(self, frames: Sequence[int]) -> Scene:
        return Scene(self.pictures[frames], self.boxes_px[frames])


@cache
def fall(seed: int) -> tuple[Scene, int, int]:
    """A drawn fall, and its first and last frame."""
    clip = render_clip("falling", seed, duration_s=8, fps=10, size_px=(160, 120))
    first, last = np.flatnonzero(clip.important)[[0, -1]]
    return Scene(clip.frames, clip.boxes_px), int(first), int(last)


@cache
def explainer(method: Method) -> Explainer:
    return Explainer(BUNDLE, open_backend("openvino", threads=1), method)


class Seen(Kept):
    def __init__(self) -> None:
        super().__init__()
        self.windows: list[WindowResult] = []

    def record(self, record: Record) -> None:
        super().record(record)
        if isinstance(record, WindowResult):
            self.windows.append(record)

    @property
    def scores(self) -> np.ndarray:
        """`[windows, T]`."""
        return np.array([[frame.score for frame in window.frames] for window in self.windows])


def watch(scene: Scene, method: Method, hop_s: float = 2.0, target_class: str | None = None) -> Seen:
    """A recording through the runtime."""
    seen, source = Seen(), ScriptedSource([Show(list(scene.pictures), 10)], live=False)
    runtime = Runtime(
        BUNDLE, open_backend("openvino", threads=1), explainer(method), hop_s=hop_s, target_class=target_class
    )
    runtime.watch([CameraSpec(source, KnownRegions(scene.boxes_px), [seen])])
    return seen


def window(scene: Scene) -> np.ndarray:
    """What the network is shown of the first 20 frames."""
    inputs = InputStream(BUNDLE.contract.input, 2.0, KnownRegions(scene.boxes_px), live=False)
    due = [w for k, picture in enumerate(scene.pictures) for w in inputs.take(Frame(k, k / 10, picture))[1]]
    return inputs.network_input(due[0]).pictures[0]


def raw_and_corrected(shown: np.ndarray, method: Method, explained: int = FALLING) -> tuple[np.ndarray, np.ndarray]:
    """Frame scores as the graph gives them, and after de-aliasing and the profile."""
    raw = explainer(method)(shown, explained).frame_scores
    return raw, correct(raw, BUNDLE.contract.methods[method])


STILLS = ((200, "before"), (201, "after"), (202, "during"), (203, "before"), (204, "during"))


def still(seed: int, when: str) -> Scene:
    scene, first, last = fall(seed)
    return scene[[{"before": first, "during": (first + last) // 2, "after": last}[when]] * 20]


@cache
def results_of_stills(method: Method) -> list[WindowResult]:
    return [watch(still(seed, when), method).windows[0] for seed, when in STILLS]


@pytest.mark.parametrize("method", methods())
def test_no_frame_of_a_still_clip_is_important(method: Method) -> None:
    for result in results_of_stills(method):
        assert result.label == "background"
        assert not any(frame.important for frame in result.frames)


@pytest.mark.parametrize(
    "method",
    methods(
        vanilla="someone lying still: the scores of one window differ by 0.15",
        smoothgrad="someone lying still: 0.18",
        streaming="someone lying still: 0.19",
        staa="someone lying still: 0.24",
    ),
)
def test_the_frames_of_a_still_clip_score_the_same(method: Method) -> None:
    """Measured: 0.032 by gradcam, 0.013 by staa-grad."""
    for result, clip in zip(results_of_stills(method), STILLS, strict=True):
        assert np.ptp([frame.score for frame in result.frames]) < 0.05, clip


@pytest.mark.parametrize("method", methods())
def test_what_the_network_says_of_stillness_itself_is_divided_out(method: Method) -> None:
    """Also without the probability of the background, which alone makes still clips flat. What is left of the spread
    over a window: 0.27 of it (smoothgrad) to 0.42 (vanilla)."""
    spreads = []
    for seed, when in STILLS:
        both = raw_and_corrected(window(still(seed, when)), method, PREDICTED)
        spreads.append([scores.std() / scores.mean() for scores in both])
        assert spreads[-1][1] < spreads[-1][0], (seed, when)
    raw, corrected = np.mean(spreads, axis=0)
    assert corrected < raw / 2


CHANGED = 6
"""Frames of a window in which something moves."""


@cache
def scores_of_sudden_falls(method: Method) -> list[tuple[np.ndarray, int]]:
    """A person stands still, falls within 0.6 s and lies still: scores of the window, and the frame from which on."""
    found = []
    for seed in range(200, 205):
        scene, first, last = fall(seed)
        moving = np.linspace(first, last, CHANGED).round().astype(int).tolist()
        for start in (1, 7, 13):
            clip = scene[[first] * start + moving + [last] * (20 - CHANGED - start)]
            found.append((watch(clip, method, target_class="falling").scores[0], start))
    return found


@pytest.mark.parametrize(
    "method",
    methods(
        vanilla="in 11 of 15 clips: it leans to the middle of the window",
        smoothgrad="in 6 of 15 clips, which is chance",
        streaming="in 6 of 15 clips, which is chance",
        staa="in 14 of 15 clips",
    ),
)
def test_importance_is_highest_where_the_only_change_of_a_clip_is(method: Method) -> None:
    """At most a frame beside it: each token sees three. By chance that is so in 6 of the 15 clips."""
    hits = 0
    for scores, start in scores_of_sudden_falls(method):
        peak = np.flatnonzero(scores == scores.max()).mean()  # a scale that ends at 1 has several
        hits += start - 1 <= peak <= start + CHANGED
    assert hits == 15


@pytest.mark.parametrize(
    "method",
    methods(smoothgrad="0.54 of the pairs, 0.5 is chance", streaming="0.44 of the pairs"),
)
def test_frames_that_change_score_higher_than_still_ones(method: Method) -> None:
    """In pairs of one frame of each kind; measured: 0.99 by gradcam, 0.91 staa-grad, 0.90 staa, 0.86 vanilla."""
    shares = []
    for scores, start in scores_of_sudden_falls(method):
        changed = scores[start : start + CHANGED, None]
        others = np.delete(scores, np.s_[start : start + CHANGED])
        shares.append(np.mean((changed > others) + (changed == others) / 2))
    assert np.mean(shares) > 0.8


@pytest.mark.parametrize("method", methods())
def test_the_timeline_of_a_recording_is_highest_where_its_only_change_is(method: Method) -> None:
    """By every method, also where single windows say nothing: those that hold no change show background, and vote 0.
    Mean importance of the change over that of the rest: 2.9 by streaming, 7 to 21 by the others."""
    for seed in (200, 201):
        scene, first, last = fall(seed)
        frames = watch(scene[[first] * 25 + list(range(first, last + 1)) + [last] * 25], method, 0.2).frames
        importance = np.array([frame.importance for frame in frames])
        change = np.s_[25 : 26 + last - first]
        assert 24 <= importance.argmax() <= 26 + last - first
        assert importance[change].mean() > 2 * np.delete(importance, change).mean()


@cache
def around_the_fall(seed: int) -> np.ndarray:
    scene, first, _ = fall(seed)
    start = max(0, first - 4)
    return window(scene[list(range(start, start + 20))])


SEEDS = range(200, 205)
"""Falls that the model sees in this window."""


def test_a_fall_that_runs_backwards_is_no_fall() -> None:
    """So importance for `falling` cannot be expected to be the same numbers in reverse order."""
    for seed in SEEDS:
        shown = around_the_fall(seed)
        forwards, backwards = (
            softmax(explainer("gradcam")(clip).logits, BUNDLE.contract.temperature)[FALLING]
            for clip in (shown, shown[::-1].copy())
        )
        assert forwards > 0.9
        assert backwards < 0.1


@pytest.mark.parametrize(
    "method",
    methods(smoothgrad="mean rank correlation -0.04", streaming="mean rank correlation 0.02"),
)
def test_a_clip_that_runs_backwards_has_its_importance_at_the_same_pictures(method: Method) -> None:
    """Roughly: mean rank correlation 0.71 by gradcam, 0.68 staa-grad, 0.83 vanilla, 0.75 staa."""
    found = []
    for seed in SEEDS:
        shown = around_the_fall(seed)
        forwards, backwards = (raw_and_corrected(clip, method)[1] for clip in (shown, shown[::-1].copy()))
        found.append(spearmanr(forwards, backwards[::-1]).statistic)
    assert np.mean(found) > 0.5


@pytest.mark.parametrize(
    "method",
    methods(
        *(method for method in METHODS if BUNDLE.contract.methods[method].dealias),
        streaming="0.68 in one of the clips, as before: one draw of noise",
    ),
)
def test_a_clip_that_is_symmetric_in_time_has_a_curve_closer_to_symmetric_than_its_gradient(method: Method) -> None:
    """Largest difference of a frame and its mirror image, of the highest score: from 0.4 to 0.85 before, 0.2 to 0.6
    after. The network itself is not symmetric: it tells forwards from backwards."""
    for seed in SEEDS:
        half = around_the_fall(seed)[:10]
        both = raw_and_corrected(np.concatenate([half, half[::-1]]), method)
        raw, corrected = (np.abs(scores - scores[::-1]).max() / scores.max() for scores in both)
        assert corrected < min(raw, 0.65), seed


@pytest.mark.parametrize(
    ("method", "shift", "least"),
    [
        ("gradcam", 2, 0.9),
        ("staa-grad", 2, 0.7),
        ("vanilla", 2, 0.7),
        ("staa", 2, 0.65),
        ("gradcam", 10, 0.8),
    ],
)
def test_overlapping_windows_agree_on_the_frames_they_share(method: Method, shift: int, least: float) -> None:
    """Windows a default hop (2 frames) or half a window apart. Measured: 0.96, 0.77, 0.84, 0.75 and 0.86."""
    assert agreement(method)[shift] > least


@pytest.mark.parametrize(
    ("method", "shift"),
    [
        pytest.param(
            method,
            shift,
            marks=[
                pytest.mark.xfail(strict=True, raises=AssertionError, reason=f"median rank correlation {figure}"),
                *([pytest.mark.slow] if method == "streaming" else []),
            ],
        )
        for method, shift, figure in (
            ("streaming", 2, "0.21"),
            ("staa-grad", 10, "0.43"),
            ("vanilla", 10, "-0.96: it says where in the window a frame is"),
            ("streaming", 10, "0.05"),
            ("staa", 10, "-0.09"),
        )
    ],
)
def test_what_the_other_methods_say_of_a_frame_depends_on_the_window(method: Method, shift: int) -> None:
    assert agreement(method)[shift] > 0.65


@cache
def agreement(method: Method) -> dict[int, float]:
    """Median rank correlation of the scores of two windows, by their distance in frames, where both show the fall."""
    found: dict[int, list[float]] = {2: [], 10: []}
    for seed in (200, 201, 202):
        scene, first, _ = fall(seed)
        seen = watch(scene[list(range(max(0, first - 20), min(first + 30, 80)))], method, 0.2, target_class="falling")
        shown = [window.probabilities["falling"] > 0.5 for window in seen.windows]
        for shift, values in found.items():
            for k in range(len(shown) - shift // 2):
                if shown[k] and shown[k + shift // 2]:
                    shared = seen.scores[k][shift:], seen.scores[k + shift // 2][:-shift]
                    flat = any(np.ptp(scores) == 0 for scores in shared)  # says nothing of the other's order
                    values.append(0.0 if flat else spearmanr(*shared).statistic)
    return {shift: float(np.median(values)) for shift, values in found.items()}

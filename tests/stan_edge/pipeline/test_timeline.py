from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.pipeline.timeline import Timeline, TimelineFrame
from stan_edge.records import FrameScore, WindowResult

FRAMES = 20
LABELS = ("background", "falling", "headache")


def result(number: int, hop: int, label: str | None, probability: float, scores: list[float] | None) -> WindowResult:
    ticks = range(number * hop, number * hop + FRAMES)
    return WindowResult(
        camera="c",
        window=number,
        t_start_s=number * hop / 10,
        t_end_s=number * hop / 10 + 2,
        valid=label is not None,
        reason=None if label else "gap",
        label=label,
        probability=probability if label else None,
        probabilities=None if label is None else dict.fromkeys(LABELS, (1 - probability) / 2) | {label: probability},
        frames=tuple(
            FrameScore(tick / 10, tick, scores[k] if label and scores else None, False) for k, tick in enumerate(ticks)
        ),
        person="none",
        latency_ms=0.0,
    )


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, list[WindowResult]]:
    hop, count = draw(st.integers(1, FRAMES)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = [draw(st.sampled_from([None, *LABELS])) for _ in range(count)]
    results = [
        result(number, hop, label, float(rng.uniform(0.2, 1)), rng.random(FRAMES).tolist())
        for number, label in enumerate(chosen)
    ]
    return hop, results


def run(hop: int, results: list[WindowResult]) -> list[TimelineFrame]:
    timeline = Timeline("background", hop)
    return [frame for one in results for frame in timeline.add(one)] + timeline.finish()


def by_hand(results: list[WindowResult], index: int) -> tuple[str | None, float | None]:
    votes = [
        (one.label, one.probability, frame.score)
        for one in results
        if one.valid
        for frame in one.frames
        if frame.index == index
    ]
    if not votes:
        return None, None
    weight = sum(probability for _, probability, _ in votes)
    shares = {
        label: sum(p * score for voted, p, score in votes if voted == label) / weight
        for label in {label for label, _, _ in votes} - {"background"}
    }
    return max(shares.items(), key=lambda item: item[1], default=(None, 0.0))


@given(streams())
def test_importance_is_the_probability_weighted_mean_over_the_valid_windows_that_hold_the_frame(
    stream: tuple[int, list[WindowResult]],
) -> None:
    hop, results = stream
    for frame in run(hop, results):
        label, importance = by_hand(results, frame.index)
        assert frame.label == label
        assert frame.importance == (None if importance is None else pytest.approx(importance))


@given(streams())
def test_every_frame_becomes_final_once_in_order(stream: tuple[int, list[WindowResult]]) -> None:
    hop, results = stream
    frames = run(hop, results)
    assert [frame.index for frame in frames] == list(range((len(results) - 1) * hop + FRAMES))
    assert [frame.t_s for frame in frames] == [frame.index / 10 for frame in frames]


@given(streams())
def test_what_is_final_lies_before_every_later_window_and_what_is_open_is_provisional(
    stream: tuple[int, list[WindowResult]],
) -> None:
    hop, results = stream
    timeline = Timeline("background", hop)
    for number, one in enumerate(results):
        final = timeline.add(one)
        assert [frame.index for frame in final] == list(range(number * hop, (number + 1) * hop))
        expected = [by_hand(results[: number + 1], index) for index in range((number + 1) * hop, number * hop + FRAMES)]
        best = {label for label, _ in expected if label}
        for label in best:
            open_frames = timeline.provisional(label)
            assert [frame.index for frame in open_frames] == list(range((number + 1) * hop, number * hop + FRAMES))
            for frame, (leader, value) in zip(open_frames, expected, strict=True):
                assert not frame.important
                if leader == label:
                    assert frame.score == pytest.approx(value)


@given(streams())
def test_what_is_provisional_is_final_if_the_stream_ends_now(stream: tuple[int, list[WindowResult]]) -> None:
    """To the bit; what no window has said, or is of another class, is not known to be 0."""
    hop, results = stream
    timeline = Timeline("background", hop)
    for one in results:
        timeline.add(one)
        final = copy.deepcopy(timeline).finish()
        for label in LABELS[1:]:
            shown = timeline.provisional(label)
            assert [(frame.t_s, frame.index) for frame in shown] == [(frame.t_s, frame.index) for frame in final]
            for provisional, frame in zip(shown, final, strict=True):
                if frame.label == label:
                    assert provisional.score == frame.importance
                if frame.importance is None:
                    assert provisional.score is None


@given(streams())
def test_of_the_class_asked_for_windows_say_as_much_as_they_believe_in_it(
    stream: tuple[int, list[WindowResult]],
) -> None:
    hop, results = stream
    asked = [replace(one, target_class="headache") for one in results]
    for frame in run(hop, asked):
        votes = [
            (one.probabilities["background" if one.label == "background" else "headache"], one.label, held.score)
            for one in asked
            if one.probabilities is not None
            for held in one.frames
            if held.index == frame.index
        ]
        if not votes:
            assert (frame.label, frame.importance) == (None, None)
            continue
        shares = [weight * score for weight, label, score in votes if label != "background" and score is not None]
        assert frame.label == ("headache" if shares else None)
        assert frame.importance == pytest.approx(sum(shares) / sum(weight for weight, _, _ in votes))


def test_a_frame_that_no_valid_window_holds_has_no_importance() -> None:
    frames = run(20, [result(0, 20, None, 0, None), result(1, 20, "falling", 1.0, [0.5] * 20)])
    assert {(frame.label, frame.importance) for frame in frames[:20]} == {(None, None)}
    assert {(frame.label, frame.importance) for frame in frames[20:]} == {("falling", 0.5)}


def test_background_votes_0() -> None:
    frames = run(10, [result(0, 10, "background", 0.5, [1.0] * 20), result(1, 10, "falling", 0.5, [0.8] * 20)])
    assert [frames[index].importance for index in (5, 15, 25)] == pytest.approx([0.0, 0.4, 0.8])
    assert frames[5].label is None

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.errors import BackendError, ConfigError
from stan_edge.model.bundle import Bundle
from stan_edge.person.tracking import PersonTracker
from stan_edge.pipeline.interpreter import WindowOutcome
from stan_edge.pipeline.pipeline import Pipeline, PipelineEnd
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import Event
from tests.stan_edge.pipeline.conftest import Somebody


def run(
    bundle: Bundle, explainer: Explainer, pictures: np.ndarray, *, fps: float = 10.0, live: bool = False
) -> tuple[Pipeline, list[WindowOutcome], PipelineEnd]:
    tracker = PersonTracker(Somebody(2, 2, 62, 62))
    pipeline = Pipeline("room", bundle.contract, explainer, 0.2, tracker, live=live)
    outcomes = [one for index, picture in enumerate(pictures) for one in pipeline.feed(picture, index / fps)]
    end = pipeline.finish()
    return pipeline, outcomes + end.outcomes, end


@pytest.fixture(scope="module")
def light_goes_on(noisy: Callable[..., np.ndarray]) -> np.ndarray:
    return np.concatenate([noisy(30, 60), noisy(30, 190), noisy(30, 60, 1)])


def test_a_window_says_what_it_shows_and_which_frames_say_so(
    tiny_bundle: Bundle, explainer: Explainer, light_goes_on: np.ndarray
) -> None:
    _, steps, _ = run(tiny_bundle, explainer, light_goes_on)
    thresholds = tiny_bundle.contract.methods["vanilla"].thresholds
    for result in (step.result for step in steps):
        assert result.valid
        assert result.probabilities is not None
        assert sum(result.probabilities.values()) == pytest.approx(1)
        assert result.probability == max(result.probabilities.values()) == result.probabilities[result.label]
        assert result.person == "tracked"
        for frame in result.frames:
            assert 0 <= frame.score <= 1
            assert frame.important == (result.label != "background" and frame.score >= thresholds[result.label])
    labels = [step.result.label for step in steps]
    assert labels[0] == "background"
    assert "falling" in labels


def test_an_alarm_becomes_one_event_with_important_frames(
    tiny_bundle: Bundle, explainer: Explainer, light_goes_on: np.ndarray
) -> None:
    low = {"thresholds": dict.fromkeys(tiny_bundle.contract.alarms, 0.1)}
    vanilla = tiny_bundle.contract.methods["vanilla"].model_copy(update=low)
    methods = tiny_bundle.contract.methods | {"vanilla": vanilla}
    bundle = replace(tiny_bundle, contract=tiny_bundle.contract.model_copy(update={"methods": methods}))
    _, steps, end = run(bundle, explainer, light_goes_on)
    events: list[Event] = [event for step in steps for event in step.events] + end.events
    story = [event for event in events if event.label == "falling"]
    assert [event.phase for event in story][:1] == ["start"]
    assert [event.phase for event in story][-1:] == ["end"]
    assert 1.0 < story[-1].t_start_s < 6.0 <= story[-1].t_end_s < 8.0
    assert any(3.0 <= frame.t_s < 6.0 for frame in story[-1].important_frames)


def test_every_frame_of_the_grid_is_on_the_timeline_once(
    tiny_bundle: Bundle, explainer: Explainer, light_goes_on: np.ndarray
) -> None:
    _, steps, end = run(tiny_bundle, explainer, light_goes_on)
    indices = [frame.index for step in steps for frame in step.final] + [frame.index for frame in end.final]
    assert indices == list(range(len(indices)))
    assert len(indices) == 2 * (len(steps) - 1) + 20


def test_a_window_without_explanation_is_counted_as_what_it_is(
    tiny_bundle: Bundle, explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    pictures = noisy(60, 190)
    pictures[30] = 0
    stream, steps, _ = run(tiny_bundle, explainer, pictures, live=True)
    counts = stream.counts
    assert counts.due == counts.done + counts.invalid + counts.shed == len(steps)
    assert counts.invalid == sum(step.result.reason == "black" for step in steps) == 10
    for result in (step.result for step in steps if not step.result.valid):
        assert (result.label, result.probability, result.probabilities) == (None, None, None)
        assert all(frame.score is None and not frame.important for frame in result.frames)


def test_a_hop_that_does_not_fit_the_model_is_refused(tiny_bundle: Bundle, explainer: Explainer) -> None:
    with pytest.raises(ConfigError, match=r"0\.25 s"):
        Pipeline("room", tiny_bundle.contract, explainer, 0.25)


def test_a_stream_begins_anew_after_reset(tiny_bundle: Bundle, explainer: Explainer, light_goes_on: np.ndarray) -> None:
    def streamed(pipeline: Pipeline, from_s: float) -> list[object]:
        outcomes = [one for k, picture in enumerate(light_goes_on) for one in pipeline.feed(picture, from_s + k / 8)]
        end = pipeline.finish()
        done = [(one.result, one.final, one.events) for one in outcomes + end.outcomes]
        return [*done, end.final, end.events, pipeline.counts]

    pipeline = Pipeline("room", tiny_bundle.contract, explainer, 0.2, PersonTracker(Somebody(2, 2, 62, 62)))
    first = streamed(pipeline, 0.0)
    pipeline.reset()
    again = streamed(pipeline, 4096.0)  # times count from the first picture
    assert first == again
    assert len(first) > 40


def test_pictures_may_be_overwritten_once_they_were_taken(
    tiny_bundle: Bundle, explainer: Explainer, light_goes_on: np.ndarray
) -> None:
    kept, reused = (Pipeline("room", tiny_bundle.contract, explainer, 0.2) for _ in range(2))
    buffer = np.empty_like(light_goes_on[0])
    for k, picture in enumerate(light_goes_on):
        buffer[:] = picture
        results = [
            [one.result for one in pipeline.feed(shown, k / 10)]
            for pipeline, shown in ((kept, picture), (reused, buffer))
        ]
        assert results[0] == results[1]
    assert kept.counts.done == 36


@pytest.mark.parametrize(
    ("image", "t_s", "says"),
    [
        (np.zeros((48, 64), np.uint8), 1.0, "Picture 1 is uint8 of shape (48, 64)"),
        (np.zeros((48, 64, 4), np.uint8), 1.0, "Picture 1 is uint8 of shape (48, 64, 4)"),
        (np.zeros((48, 64, 3), np.float32), 1.0, "Picture 1 is float32"),
        (np.zeros((0, 64, 3), np.uint8), 1.0, "Picture 1 is uint8 of shape (0, 64, 3)"),
        (None, 1.0, "Picture 1 is object"),
        (np.zeros((48, 64, 3), np.uint8), 0.4, "Picture 1 was taken at 0.4 s, the one before at 0.5 s"),
        (np.zeros((48, 64, 3), np.uint8), float("nan"), "Picture 1 was taken at nan s"),
        (np.zeros((48, 64, 3), np.uint8), float("inf"), "give finite times"),
    ],
)
def test_what_is_no_picture_or_no_time_is_refused_and_changes_nothing(
    tiny_bundle: Bundle, explainer: Explainer, image: np.ndarray, t_s: float, says: str
) -> None:
    pipeline = Pipeline("room", tiny_bundle.contract, explainer, 0.2)
    picture = np.zeros((48, 64, 3), np.uint8)
    pipeline.feed(picture, 0.5)
    with pytest.raises(ConfigError, match=re.escape(says)):
        pipeline.feed(image, t_s)
    assert pipeline.feed(picture, 0.5) == []


def test_nothing_is_fed_to_a_stream_that_has_ended(tiny_bundle: Bundle, explainer: Explainer) -> None:
    pipeline = Pipeline("room", tiny_bundle.contract, explainer, 0.2)
    assert pipeline.finish().outcomes == []
    with pytest.raises(ConfigError, match=r"has ended; call reset\(\)"):
        pipeline.feed(np.zeros((48, 64, 3), np.uint8), 0.0)
    with pytest.raises(ConfigError, match=r"has ended; call reset\(\)"):
        pipeline.finish()


def test_a_stream_whose_engine_failed_has_ended_until_it_is_reset(
    tiny_bundle: Bundle, backend: Backend, light_goes_on: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = Explainer(tiny_bundle, backend, "vanilla")
    pipeline = Pipeline("room", tiny_bundle.contract, explainer, 0.2)

    def fail(_feeds: object) -> None:
        raise BackendError("out of memory.")

    with monkeypatch.context() as broken:
        broken.setattr(explainer, "_graph", fail)
        with pytest.raises(BackendError, match="out of memory"):
            for k, picture in enumerate(light_goes_on):
                pipeline.feed(picture, k / 10)
    with pytest.raises(ConfigError, match="has ended"):
        pipeline.feed(light_goes_on[0], 10.0)
    pipeline.reset()
    assert sum(len(pipeline.feed(picture, k / 10)) for k, picture in enumerate(light_goes_on)) == 36


def test_a_stream_lets_go_of_what_finds_the_person_once(tiny_bundle: Bundle, explainer: Explainer) -> None:
    closed: list[int] = []
    with Pipeline("room", tiny_bundle.contract, explainer, 0.2, on_close=lambda: closed.append(1)) as pipeline:
        assert closed == []
    pipeline.close()
    assert closed == [1]

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stan_edge.errors import ConfigError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import EventSpec
from stan_edge.person.tracking import PersonTracker, Sighting
from stan_edge.pipeline.pipeline import Pipeline, WindowOutcome
from stan_edge.pipeline.predictor import Explainer, Explanation, Prediction
from stan_edge.pipeline.views import cut_square
from stan_edge.pipeline.windows import Window
from stan_edge.records import Event, WindowResult
from stan_edge.sources import Frame
from stan_edge.types import Image


class Somebody:
    """Finds the same box in every picture, and the same mask if it is given one."""

    def __init__(self, *box: float, mask: np.ndarray | None = None) -> None:
        self._found = Sighting(np.array(box), mask)

    def find(self, image: Image, near: object) -> Sighting:
        return self._found

    def forget(self) -> None: ...


def run(
    bundle: Bundle, explainer: Explainer, pictures: np.ndarray, *, fps: float = 10.0, live: bool = False
) -> tuple[Pipeline, list[WindowOutcome], list[object]]:
    stream = Pipeline("room", bundle.contract, "vanilla", 0.2, PersonTracker(Somebody(2, 2, 62, 62)), live)
    windows = [
        window
        for index, picture in enumerate(pictures)
        for window in stream.feed(Frame(index, index / fps, picture))[1]
    ] + stream.finish_windows()
    steps = []
    for window in windows:
        explanation = None if window.reason else explainer(stream.network_input(window)[0])
        steps.append(stream.conclude(window, explanation, 1.0))
    return stream, steps, list(stream.finish())


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
    _, steps, (_, last) = run(bundle, explainer, light_goes_on)
    events: list[Event] = [event for step in steps for event in step.events] + last
    story = [event for event in events if event.label == "falling"]
    assert [event.phase for event in story][:1] == ["start"]
    assert [event.phase for event in story][-1:] == ["end"]
    assert 1.0 < story[-1].t_start_s < 6.0 <= story[-1].t_end_s < 8.0
    assert any(3.0 <= frame.t_s < 6.0 for frame in story[-1].important_frames)


def test_frames_that_end_up_under_another_label_leave_the_event_that_ends_with_the_stream(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]
) -> None:
    contract = tiny_bundle.contract
    plain = {"dealias": False, "profile": (1.0,) * 20, "scale": (0.0, 1.0)}
    low = {"thresholds": dict.fromkeys(contract.alarms, 0.3)}
    spec = contract.methods["vanilla"].model_copy(update=plain | low)
    soon = EventSpec(enter=0.6, leave=0.4, min_duration_s=0.0, merge_gap_s=1.0)
    contract = contract.model_copy(
        update={"methods": {"vanilla": spec}, "events": dict.fromkeys(contract.alarms, soon)}
    )
    stream = Pipeline("room", contract, "vanilla", 0.2, None, False)
    windows = [w for k, picture in enumerate(noisy(22, 60)) for w in stream.feed(Frame(k, k / 10, picture))[1]]
    for window, label, score in zip(windows, ("falling", "headache"), (0.8, 1.0), strict=True):
        logits = np.where(np.array(contract.classes) == label, np.float32(20), np.float32(0)) * contract.temperature
        scores = np.full(20, score, np.float32)
        step = stream.conclude(window, Explanation(logits, scores, scores[:, None, None]), 1.0)
        assert [event.label for event in step.events] == [label]
    timeline, ends = stream.finish()
    assert {frame.label for frame in timeline} == {"headache"}
    found = {event.label: {frame.index for frame in event.important_frames} for event in ends}
    assert found == {"falling": {0, 1}, "headache": set(range(2, 22))}


def test_every_frame_of_the_grid_is_on_the_timeline_once(
    tiny_bundle: Bundle, explainer: Explainer, light_goes_on: np.ndarray
) -> None:
    _, steps, (rest, _) = run(tiny_bundle, explainer, light_goes_on)
    indices = [frame.index for step in steps for frame in step.final] + [frame.index for frame in rest]
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


def test_a_valid_window_that_was_not_explained_is_shed(tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]) -> None:
    stream = Pipeline("room", tiny_bundle.contract, "vanilla", 0.2, None, True)
    windows = [w for k, picture in enumerate(noisy(20, 60)) for w in stream.feed(Frame(k, k / 10, picture))[1]]
    result: WindowResult = stream.conclude(windows[0], None, 400.0).result
    assert (result.valid, result.reason, result.latency_ms) == (False, "shed", 400.0)
    assert (stream.counts.due, stream.counts.shed) == (1, 1)


def test_the_network_sees_one_square_for_all_frames_with_the_view_of_the_contract(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]
) -> None:
    stream = Pipeline("room", tiny_bundle.contract, "vanilla", 0.2, PersonTracker(Somebody(20, 10, 40, 40)), False)
    pictures = noisy(20, 190, height=48, width=64)
    windows = [w for k, picture in enumerate(pictures) for w in stream.feed(Frame(k, k / 10, picture))[1]]
    (shown,), square = stream.network_input(windows[0])
    assert shown.shape == (20, 64, 64, 3)
    assert shown.dtype == np.uint8
    assert square.side_px < 64
    known = [sample.region.box_px is not None for sample in windows[0].samples]
    assert sum(known) >= 18
    assert [mean < 180 for mean in shown.mean(axis=(1, 2, 3))] == known


class Wanderer:
    """Somebody who stays, walks and stays."""

    def __init__(self) -> None:
        self._looks = 0

    def find(self, image: Image, near: object) -> Sighting:
        x_px = min(max(self._looks - 30, 0), 30)
        self._looks += 1
        return Sighting(np.array([x_px, 10.0, x_px + 20, 40]))

    def forget(self) -> None: ...


def wandering(bundle: Bundle, pictures: np.ndarray) -> tuple[Pipeline, list[Window]]:
    stream = Pipeline("room", bundle.contract, "vanilla", 0.2, PersonTracker(Wanderer()), False)
    return stream, [w for k, picture in enumerate(pictures) for w in stream.feed(Frame(k, k / 10, picture))[1]]


def test_frames_that_windows_share_are_cut_once_and_no_window_shows_it(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = noisy(90, 190, height=48, width=64)
    stream, windows = wandering(tiny_bundle, pictures)
    cuts: list[int] = []
    monkeypatch.setattr("stan_edge.pipeline.pipeline.cut_square", lambda *args: cuts.append(1) or cut_square(*args))
    counts, squares = [], []
    for window in windows:
        cuts.clear()
        together, square = stream.network_input(window)
        counts.append(len(cuts))
        squares.append(square)
        alone, its = wandering(tiny_bundle, pictures[:0])[0].network_input(window)
        assert its == square
        np.testing.assert_array_equal(together, alone)
    assert counts[0] == 20
    assert len(set(squares)) > 5
    stayed = [count for count, before, now in zip(counts[1:], squares, squares[1:], strict=False) if before == now]
    assert stayed.count(2) == len(stayed) > 5


PERSON = np.zeros((48, 64), bool)
PERSON[15:35, 25:35] = True


def seen(bundle: Bundle, pictures: np.ndarray, view: str, region: str, mask: np.ndarray | None) -> np.ndarray:
    """The network's input [P, T, S, S, 3] for the first window of a letterboxed stream."""
    changes = {"view": view, "region": region, "framing": "letterbox"}
    contract = bundle.contract.model_copy(update={"input": bundle.contract.input.model_copy(update=changes)})
    tracker = PersonTracker(Somebody(25, 15, 35, 35, mask=mask))
    stream = Pipeline("room", contract, "vanilla", 0.2, tracker, False)
    windows = [w for k, picture in enumerate(pictures) for w in stream.feed(Frame(k, k / 10, picture))[1]]
    return stream.network_input(windows[0])[0]


@pytest.mark.parametrize("view", ["union", "late"])
def test_union_and_late_show_the_global_and_the_local_picture(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray], view: str
) -> None:
    pictures = noisy(20, 190, height=48, width=64)
    both = seen(tiny_bundle, pictures, view, "box", None)
    assert both.shape == (2, 20, 64, 64, 3)
    for got, plain in zip(both, ("global", "local"), strict=True):
        assert np.array_equal(got, seen(tiny_bundle, pictures, plain, "box", None)[0])
    assert not np.array_equal(*both)


@pytest.mark.parametrize("view", ["global", "local", "blend", "late"])
def test_a_mask_counts_only_where_the_contract_asks_for_masks(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray], view: str
) -> None:
    pictures = noisy(20, 190, height=48, width=64)
    boxed = seen(tiny_bundle, pictures, view, "box", None)
    assert np.array_equal(seen(tiny_bundle, pictures, view, "box", PERSON), boxed)
    assert np.array_equal(seen(tiny_bundle, pictures, view, "mask", None), boxed)
    assert np.array_equal(seen(tiny_bundle, pictures, view, "mask", PERSON), boxed) == (view == "global")


def test_the_local_view_of_a_masked_model_is_black_around_the_person(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]
) -> None:
    (local,) = seen(tiny_bundle, noisy(20, 190, height=48, width=64), "local", "mask", PERSON)
    widened = np.zeros((64, 64), bool)
    widened[8 + 14 : 8 + 36, 24:36] = True  # a pixel wider; a frame 48 high lies 8 lower in its letterbox
    assert local[0].any(-1)[8:56].all()  # someone seen only once is nobody yet
    assert all(np.array_equal(picture.any(-1), widened) for picture in local[2:])


def test_a_hop_that_does_not_fit_the_model_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match=r"--hop 0\.25"):
        Pipeline("room", tiny_bundle.contract, "vanilla", 0.25, None, False)


def test_what_a_cheaper_method_says_is_judged_by_its_own_scale_and_threshold(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]
) -> None:
    def spec(method: str, threshold: float, high: float) -> object:
        plain = tiny_bundle.contract.methods[method]  # type: ignore[index]
        return plain.model_copy(
            update={
                "dealias": False,
                "profile": (1.0,) * 20,
                "scale": (0.0, high),
                "thresholds": dict.fromkeys(plain.thresholds, threshold),
            }
        )

    methods = {"vanilla": spec("vanilla", 0.8, 1.0), "gradcam": spec("gradcam", 0.4, 10.0)}
    contract = tiny_bundle.contract.model_copy(update={"methods": methods})
    stream = Pipeline("room", contract, "vanilla", 2.0, None, False)
    logits = np.array([-99, 99, -99, -99, -99], np.float32)  # falling, and surely so
    windows = [w for k in range(60) for w in stream.feed(Frame(k, k / 10, noisy(1, 190)[0]))[1]]
    rising = Explanation(logits, np.linspace(0, 10, 20, dtype=np.float32), np.zeros((20, 2, 2), np.float32))
    cheap = stream.conclude(windows[0], rising, 1.0, "gradcam")
    assert cheap.result.method == "gradcam"
    assert [frame.score for frame in cheap.result.frames] == pytest.approx(np.linspace(0, 1, 20))
    flags = [frame.important for frame in cheap.result.frames]
    assert flags == [score >= 0.4 for score in np.linspace(0, 1, 20)]
    # the timeline, with the threshold of the stream's own method, agrees on what is important
    thresholds = methods["vanilla"].thresholds  # type: ignore[attr-defined]
    assert [frame.is_important(thresholds) for frame in cheap.final] == flags
    labelled = stream.conclude(windows[1], Prediction(logits), 1.0)
    assert (labelled.result.label, labelled.result.method, labelled.result.explained_class) == ("falling", None, None)
    assert {(frame.score, frame.important) for frame in labelled.result.frames} == {(None, False)}
    assert {(frame.label, frame.importance) for frame in labelled.final} == {(None, None)}
    own = stream.conclude(windows[2], replace(rising, frame_scores=rising.frame_scores / 10), 1.0)
    assert own.result.method == "vanilla"
    assert [frame.important for frame in own.result.frames] == [score >= 0.8 for score in np.linspace(0, 1, 20)]
    assert (stream.counts.done, stream.counts.unexplained) == (3, 1)

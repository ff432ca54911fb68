"""What predictions become: records, one timeline, events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import EventSpec
from stan_edge.pipeline.inputs import InputStream
from stan_edge.pipeline.interpreter import Interpreter
from stan_edge.pipeline.predictor import Explanation, Prediction
from tests.stan_edge.pipeline.conftest import due


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
    interpreter = Interpreter("room", contract, "vanilla", 0.2)
    windows = due(InputStream(contract.input, 0.2, None, live=False), noisy(22, 60))
    for window, label, score in zip(windows, ("falling", "headache"), (0.8, 1.0), strict=True):
        logits = np.where(np.array(contract.classes) == label, np.float32(20), np.float32(0)) * contract.temperature
        scores = np.full(20, score, np.float32)
        outcome = interpreter.conclude(window, Explanation(logits, scores, scores[:, None, None], "vanilla"))
        assert [event.label for event in outcome.events] == [label]
    timeline, ends = interpreter.finish()
    assert {frame.label for frame in timeline} == {"headache"}
    found = {event.label: {frame.index for frame in event.important_frames} for event in ends}
    assert found == {"falling": {0, 1}, "headache": set(range(2, 22))}


def test_a_valid_window_that_was_not_explained_is_shed(tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]) -> None:
    interpreter = Interpreter("room", tiny_bundle.contract, "vanilla", 0.2)
    windows = due(InputStream(tiny_bundle.contract.input, 0.2, None, live=True), noisy(20, 60))
    result = interpreter.conclude(windows[0], None, 400.0).result
    assert (result.valid, result.reason, result.latency_ms) == (False, "shed", 400.0)
    assert (interpreter.counts.due, interpreter.counts.shed) == (1, 1)


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
    interpreter = Interpreter("room", contract, "vanilla", 2.0)
    logits = np.array([-99, 99, -99, -99, -99], np.float32)  # falling, and surely so
    windows = due(InputStream(contract.input, 2.0, None, live=False), np.repeat(noisy(1, 190), 60, axis=0))
    rising = Explanation(logits, np.linspace(0, 10, 20, dtype=np.float32), np.zeros((20, 2, 2), np.float32), "gradcam")
    cheap = interpreter.conclude(windows[0], rising)
    assert cheap.result.method == "gradcam"
    assert [frame.score for frame in cheap.result.frames] == pytest.approx(np.linspace(0, 1, 20))
    flags = [frame.important for frame in cheap.result.frames]
    assert flags == [score >= 0.4 for score in np.linspace(0, 1, 20)]
    # the timeline, with the threshold of the stream's own method, agrees on what is important
    thresholds = methods["vanilla"].thresholds  # type: ignore[attr-defined]
    assert [frame.is_important(thresholds) for frame in cheap.final] == flags
    labelled = interpreter.conclude(windows[1], Prediction(logits))
    assert (cheap.explanation, labelled.explanation) == (rising, None)
    assert (labelled.result.label, labelled.result.method, labelled.result.explained_class) == ("falling", None, None)
    assert {(frame.score, frame.important) for frame in labelled.result.frames} == {(None, False)}
    assert {(frame.label, frame.importance) for frame in labelled.final} == {(None, None)}
    own = interpreter.conclude(windows[2], replace(rising, frame_scores=rising.frame_scores / 10, method="vanilla"))
    assert own.result.method == "vanilla"
    assert [frame.important for frame in own.result.frames] == [score >= 0.8 for score in np.linspace(0, 1, 20)]
    assert (interpreter.counts.done, interpreter.counts.unexplained) == (3, 1)

"""What the model said of windows in; records, timeline and events out. The state of one camera behind the model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stan_edge.model.contract import Contract, Method
from stan_edge.pipeline.attribution import gate, importance, rescale
from stan_edge.pipeline.events import EventDetector
from stan_edge.pipeline.predictor import Explanation, Prediction, softmax
from stan_edge.pipeline.timeline import Timeline, TimelineFrame
from stan_edge.pipeline.windows import Window
from stan_edge.records import Event, FrameScore, WindowCounts, WindowResult
from stan_edge.types import Square


@dataclass(frozen=True, eq=False)
class WindowOutcome:
    """What one window brought about."""

    result: WindowResult
    final: list[TimelineFrame]
    """Frames whose importance no later window can change."""
    events: list[Event]
    explanation: Explanation | None
    """Raw, with the map of each frame; None where the window was not explained."""
    square: Square | None
    """What the network saw of the frames; None where it saw nothing."""


class Interpreter:
    """Reads the predictions of one stream's windows.

    Args:
        method: the one whose scale the timeline and events are on; windows may be explained by another.
        target_class: the class that every window's explanation is of; None: its own label.

    Raises:
        ConfigError: the hop does not fit the model.
    """

    def __init__(
        self, camera: str, contract: Contract, method: Method, hop_s: float, target_class: str | None = None
    ) -> None:
        self._camera = camera
        self._contract = contract
        self._method = method
        self._thresholds = contract.methods[method].thresholds
        self._target_class = target_class
        self._timeline = Timeline(contract.background, contract.input.hop_ticks(hop_s))
        self._events = EventDetector(camera, contract, self._thresholds, hop_s)
        self.counts = WindowCounts()

    def conclude(
        self, window: Window, prediction: Prediction | None, latency_ms: float = 0.0, square: Square | None = None
    ) -> WindowOutcome:
        """Take the next window: in order, each one that was due.

        Args:
            prediction: None for a window that is not valid, or that was shed to stay on time; one that is no
                explanation gives no frame a score.
            square: what the network saw of the frames; goes with the outcome.
        """
        result = self._result(window, prediction, latency_ms)
        self._count(result)
        final = self._timeline.add(self._for_timeline(result))
        if window.breaks:
            final += self._timeline.finish()
            events = self._events.finish(final)
        else:
            events = self._events.add(result, final, self._timeline.provisional)
        return WindowOutcome(result, final, events, prediction if isinstance(prediction, Explanation) else None, square)

    def tick(self, now_s: float) -> list[Event]:
        """It is now `now_s`, in seconds since the first frame, and nothing has come for a while: an event does not stay
        open until the camera is back."""
        return self._events.tick(now_s)

    def finish(self) -> tuple[list[TimelineFrame], list[Event]]:
        """The rest of the timeline, and the end of events still going on."""
        final = self._timeline.finish()
        return final, self._events.finish(final)

    def _result(self, window: Window, prediction: Prediction | None, latency_ms: float) -> WindowResult:
        invalid = WindowResult(
            camera=self._camera,
            window=window.number,
            t_start_s=window.t_start_s,
            t_end_s=window.t_end_s,
            valid=False,
            reason=window.reason or "shed",
            label=None,
            probability=None,
            probabilities=None,
            frames=tuple(FrameScore(s.frame.t_capture_s, s.frame.index, None, False) for s in window.samples),
            person=window.samples[-1].region.state if window.samples else "none",
            latency_ms=latency_ms,
            target_class=self._target_class,
        )
        if prediction is None:
            return invalid
        probabilities = softmax(prediction.logits, self._contract.temperature)
        label = self._contract.classes[int(probabilities.argmax())]
        by_class = dict(zip(self._contract.classes, probabilities.tolist(), strict=True))
        labelled = replace(
            invalid, valid=True, reason=None, label=label, probability=by_class[label], probabilities=by_class
        )
        if not isinstance(prediction, Explanation):
            return labelled
        spec = self._contract.methods[prediction.method]
        background = 0.0 if self._contract.background is None else by_class[self._contract.background]
        scores = gate(importance(prediction.frame_scores, spec), background)
        # the background has no threshold: its frames are never important
        important = scores >= spec.thresholds.get(self._target_class or label, np.inf)
        frames = tuple(
            replace(frame, score=score, important=flag)
            for frame, score, flag in zip(invalid.frames, scores.tolist(), important.tolist(), strict=True)
        )
        return replace(labelled, method=prediction.method, frames=frames)

    def _for_timeline(self, result: WindowResult) -> WindowResult:
        """The timeline has one threshold a class, that of the stream's method: importance by another method is moved so
        that what lies at that method's threshold lies at this one."""
        if result.method in (None, self._method) or result.explained_class not in self._thresholds:
            return result
        threshold, timeline_threshold = (
            self._contract.methods[name].thresholds[result.explained_class] for name in (result.method, self._method)
        )
        frames = tuple(
            frame if frame.score is None else replace(frame, score=rescale(frame.score, threshold, timeline_threshold))
            for frame in result.frames
        )
        return replace(result, frames=frames)

    def _count(self, result: WindowResult) -> None:
        counts, shed = self.counts, result.reason == "shed"
        self.counts = WindowCounts(
            done=counts.done + result.valid,
            shed=counts.shed + shed,
            invalid=counts.invalid + (not result.valid and not shed),
            unexplained=counts.unexplained + (result.valid and result.method is None),
        )

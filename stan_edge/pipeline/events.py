"""Windows -> events, with hysteresis: one clear rise starts an event, only a lasting fall ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from stan_edge.model.contract import Contract
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.records import Event, FrameScore, Phase, WindowResult

UPDATE_EVERY_S = 1.0
KEPT_FRAMES = 20
"""An event carries its strongest important frames, so that its memory and records do not grow with its length."""


@dataclass
class _Candidate:
    """An alarm class above the enter threshold, announced or not."""

    number: int
    label: str
    first_window_s: tuple[float, float]
    last_above_s: float
    """End of the last window above the leave threshold."""
    peak: float
    announced_s: float | None = None
    scores: dict[int, FrameScore] = field(default_factory=dict)  # by frame index
    span_s: tuple[float, float] | None = None
    """Capture times of the first and last important frame, final or not."""

    def note(self, frames: list[FrameScore], threshold: float) -> None:
        # a slow camera's frame serves two ticks, and one of them may fall short
        important = {
            frame.index: replace(frame, important=True)
            for frame in frames
            if frame.score is not None and frame.score >= threshold
        }
        for frame in frames:
            if frame.index not in important:
                self.scores.pop(frame.index, None)
        self.scores |= important
        if self.scores:
            times = [*(self.span_s or ()), *(frame.t_s for frame in self.scores.values())]
            self.span_s = min(times), max(times)
        if len(self.scores) > 2 * KEPT_FRAMES:
            self.scores = {frame.index: frame for frame in self.strongest()}

    def strongest(self) -> list[FrameScore]:
        return sorted(self.scores.values(), key=lambda frame: frame.score or 0.0)[-KEPT_FRAMES:]


class EventDetector:
    """Events of one camera.

    An event of an alarm class starts when its probability has stayed above `leave` for `min_duration_s` with
    at least one window above `enter`; it ends once it was below `leave` for `merge_gap_s`. Windows that are not
    valid never start one. Each class has its own figures.

    Args:
        thresholds: by class, the importance from which on a frame is important.
    """

    def __init__(self, camera: str, contract: Contract, thresholds: Mapping[str, float], hop_s: float) -> None:
        self._camera = camera
        self._specs = contract.events
        self._thresholds = thresholds
        self._hop_s = hop_s
        self._alarms = contract.alarms
        self._active: dict[str, _Candidate] = {}
        self._announced = 0

    def add(
        self, result: WindowResult, final: list[TimelineFrame], provisional: Callable[[str], list[FrameScore]]
    ) -> list[Event]:
        """Take the next window.

        Args:
            final: frames that the timeline has just finished.
            provisional: the frames whose importance for an alarm class can still change.
        """
        events = []
        for label in self._alarms:
            probability = None if result.probabilities is None else result.probabilities.get(label, 0.0)
            candidate = self._active.get(label)
            if candidate is None:
                if probability is None or probability < self._specs[label].enter:
                    continue
                span_s = (result.t_start_s, result.t_end_s)
                candidate = self._active[label] = _Candidate(-1, label, span_s, result.t_end_s, probability)
            candidate.note(_finished(final, label) + provisional(label), self._thresholds[label])
            events += self._advance(candidate, probability, result.t_end_s)
        return events

    def tick(self, now_s: float) -> list[Event]:
        """Nothing has come for a while; ends what has not been seen for long enough."""
        return [event for candidate in list(self._active.values()) for event in self._advance(candidate, None, now_s)]

    def finish(self, final: list[TimelineFrame]) -> list[Event]:
        """End what is still going on when the stream ends or breaks; `final` is the rest of the timeline."""
        for label, candidate in self._active.items():
            candidate.note(_finished(final, label), self._thresholds[label])
        ended = [self._event(c, "end") for c in self._active.values() if c.announced_s is not None]
        self._active.clear()
        return ended

    def _advance(self, candidate: _Candidate, probability: float | None, now_s: float) -> list[Event]:
        """A window without a probability neither confirms nor contradicts."""
        spec = self._specs[candidate.label]
        announced = candidate.announced_s is not None
        if probability is not None and probability >= spec.leave:
            candidate.last_above_s = now_s
            candidate.peak = max(candidate.peak, probability)
        elif (probability is not None and not announced) or (now_s - candidate.last_above_s >= spec.merge_gap_s - 1e-9):
            del self._active[candidate.label]
            return [self._event(candidate, "end")] if announced else []
        if candidate.announced_s is None:
            # each window vouches for one hop, so that a large hop does not ask for more than a small one
            lasted_s = candidate.last_above_s - candidate.first_window_s[1] + self._hop_s
            if lasted_s < spec.min_duration_s - 1e-9:
                return []
            candidate.number = self._announced
            candidate.announced_s = now_s
            self._announced += 1
            return [self._event(candidate, "start")]
        if now_s - candidate.announced_s >= UPDATE_EVERY_S - 1e-9:
            candidate.announced_s = now_s
            return [self._event(candidate, "update")]
        return []

    def _event(self, candidate: _Candidate, phase: Phase) -> Event:
        start_s, end_s = candidate.span_s or (candidate.first_window_s[0], candidate.last_above_s)
        return Event(
            camera=self._camera,
            event=candidate.number,
            phase=phase,
            label=candidate.label,
            t_start_s=start_s,
            t_end_s=end_s,
            peak_probability=candidate.peak,
            important_frames=tuple(sorted(candidate.strongest(), key=lambda frame: frame.t_s)),
        )


def _finished(final: list[TimelineFrame], label: str) -> list[FrameScore]:
    """What the timeline says of frames for one class; None (not 0, which a threshold may be) for those of another."""
    return [
        FrameScore(frame.t_s, frame.index, frame.importance if frame.label == label else None, False) for frame in final
    ]

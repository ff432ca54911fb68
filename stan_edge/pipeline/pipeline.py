"""One camera's way from frames to records: no threads, no clock, no input or output.

The same frames give the same records, whether they come from a file or a camera.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import Contract, Method
from stan_edge.person.tracking import DETECTION_HZ, NOBODY, Region, Tracker
from stan_edge.pipeline.attribution import gate, importance, rescale
from stan_edge.pipeline.events import EventDetector
from stan_edge.pipeline.predictor import Explanation, Prediction, softmax
from stan_edge.pipeline.timeline import Timeline, TimelineFrame
from stan_edge.pipeline.views import apply_view, cut_mask, cut_square, passes, place_square
from stan_edge.pipeline.windows import Sample, Window, Windower
from stan_edge.records import Event, FrameScore, WindowCounts, WindowResult
from stan_edge.sources import Frame
from stan_edge.types import Square


@dataclass(frozen=True, eq=False)
class WindowOutcome:
    """What one window brought about."""

    result: WindowResult
    final: list[TimelineFrame]
    events: list[Event]


class Pipeline:
    """State of one camera.

    Args:
        tracker: finds the person; None takes the whole frame as the person's region.
        live: see `Windower`.
        target_class: the class that every window's explanation is of; None: its own label.
    """

    def __init__(
        self,
        camera: str,
        contract: Contract,
        method: Method,
        hop_s: float,
        tracker: Tracker | None,
        live: bool,
        target_class: str | None = None,
    ) -> None:
        self._camera = camera
        self._contract = contract
        self._method = method
        self._thresholds = contract.methods[method].thresholds
        self._tracker = tracker
        self._asked = target_class
        self._windower = Windower(contract.input, hop_s, live=live)
        self._timeline = Timeline(contract.background, self._windower.hop_ticks)
        self._events = EventDetector(camera, contract, self._thresholds, hop_s)
        self._square: Square | None = None
        self._cut: dict[Sample, NDArray[np.uint8]] = {}
        """The newest window's frames, cut to `_square`."""
        self.counts = WindowCounts()

    def feed(self, frame: Frame, detection_hz: float = DETECTION_HZ) -> tuple[Region, list[Window]]:
        """Take a frame; returns the person's region and the windows that are now due.

        Args:
            detection_hz: how often the person is looked for.
        """
        region = self._tracker.update(frame, detection_hz) if self._tracker else NOBODY
        return region, self._windower.feed(frame, region)

    def network_input(self, window: Window) -> tuple[NDArray[np.uint8], Square]:
        """Pictures `[P, T, S, S, 3]` for the network, P passes, and the square of the frames that they show."""
        spec = self._contract.input
        height, width = window.samples[-1].frame.image.shape[:2]
        square = place_square(spec.framing, width, height, [sample.region.box_px for sample in window.samples])
        # windows overlap: where the square stays, only what is new in this one is cut
        if square != self._square:
            self._square, self._cut = square, {}
        self._cut = {
            sample: self._cut[sample] if sample in self._cut else self._views(sample, square)
            for sample in window.samples
        }
        return np.stack(list(self._cut.values()), axis=1), square

    def _views(self, sample: Sample, square: Square) -> NDArray[np.uint8]:
        """A frame as the network gets it, `[P, S, S, 3]`."""
        spec, region = self._contract.input, sample.region
        picture = cut_square(sample.frame.image, square, spec.size_px)
        box = None if region.box_px is None else square.to_view(region.box_px, spec.size_px)
        mask = region.mask if spec.region == "mask" else None
        cut = None if mask is None else cut_mask(mask, square, spec.size_px)
        return np.stack([apply_view(picture, box, view, cut) for view in passes(spec.view)])

    def conclude(
        self, window: Window, verdict: Prediction | None, latency_ms: float, method: Method | None = None
    ) -> WindowOutcome:
        """Turn what the model said of a window into its record, the timeline and events.

        Args:
            verdict: None for a window that is not valid, or that was shed to stay on time; without an explanation no
                frame has a score.
            method: what an explanation is by, where it is not the stream's own.
        """
        result = self._result(window, verdict, latency_ms, method or self._method)
        self._count(window, verdict)
        final = self._timeline.add(self._on_own_scale(result))
        if window.breaks:
            final += self._timeline.finish()
            return WindowOutcome(result, final, self._events.finish(final))
        return WindowOutcome(result, final, self._events.add(result, final, self._timeline.provisional))

    def tick(self, now_s: float) -> list[Event]:
        """Tell a camera's stream that it is now `now_s` and that nothing has come for a while: an event does not stay
        open until the camera is back."""
        return self._events.tick(now_s)

    def finish_windows(self) -> list[Window]:
        """Windows still due at the end of the stream."""
        return self._windower.finish()

    def finish(self) -> tuple[list[TimelineFrame], list[Event]]:
        """The rest of the timeline, and the end of events still going on."""
        final = self._timeline.finish()
        return final, self._events.finish(final)

    def _result(self, window: Window, verdict: Prediction | None, latency_ms: float, method: Method) -> WindowResult:
        shown = WindowResult(
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
            target_class=self._asked,
        )
        if verdict is None:
            return shown
        probabilities = softmax(verdict.logits, self._contract.temperature)
        best = int(probabilities.argmax())
        label = self._contract.classes[best]
        named = {name: float(p) for name, p in zip(self._contract.classes, probabilities, strict=True)}
        labelled = replace(
            shown,
            valid=True,
            reason=None,
            label=label,
            probability=float(probabilities[best]),
            probabilities=named,
        )
        if not isinstance(verdict, Explanation):
            return labelled
        spec = self._contract.methods[method]
        background = 0.0 if self._contract.background is None else named[self._contract.background]
        scores = gate(importance(verdict.frame_scores, spec), background)
        # the background has no threshold: its frames are never important
        important = scores >= spec.thresholds.get(self._asked or label, np.inf)
        return replace(
            labelled,
            method=method,
            frames=tuple(
                replace(frame, score=float(score), important=bool(flag))
                for frame, score, flag in zip(shown.frames, scores, important, strict=True)
            ),
        )

    def _on_own_scale(self, result: WindowResult) -> WindowResult:
        """For the timeline, which has one threshold a class: what another method says, on the scale of the stream's
        own."""
        if result.method in (None, self._method) or result.explained_class not in self._thresholds:
            return result
        theirs, own = (
            self._contract.methods[name].thresholds[result.explained_class] for name in (result.method, self._method)
        )
        frames = tuple(
            frame if frame.score is None else replace(frame, score=rescale(frame.score, theirs, own))
            for frame in result.frames
        )
        return replace(result, frames=frames)

    def _count(self, window: Window, verdict: Prediction | None) -> None:
        counts = self.counts
        if verdict is not None:
            unexplained = counts.unexplained + (not isinstance(verdict, Explanation))
            self.counts = replace(counts, done=counts.done + 1, unexplained=unexplained)
        elif window.reason is not None:
            self.counts = replace(counts, invalid=counts.invalid + 1)
        else:
            self.counts = replace(counts, shed=counts.shed + 1)

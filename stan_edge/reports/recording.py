"""A whole recording explained by several methods in one pass; memory does not grow with its length."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stan_edge.model.contract import Contract, Method
from stan_edge.person.anonymize import Privacy, anonymize
from stan_edge.person.tracking import Region, Tracker
from stan_edge.pipeline.heat import SurestHeat
from stan_edge.pipeline.inputs import InputStream, windows_of
from stan_edge.pipeline.interpreter import Interpreter, WindowOutcome
from stan_edge.pipeline.predictor import Explainer, class_index_of
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.pipeline.windows import Window
from stan_edge.records import Event
from stan_edge.reports.curve import Curve
from stan_edge.reports.drawing import scale_to
from stan_edge.reports.heat_colors import add_heat
from stan_edge.reports.key_frames import KeyFrame, KeyFrames
from stan_edge.sources import Frame, Source
from stan_edge.types import Image

KEY_FRAMES, KEY_FRAMES_KEPT, KEY_FRAME_GAP_S = 12, 48, 0.5
PICTURE_PX = 320
MOST_EVENTS = 1000
"""The last ones are kept; a recording that raises more is no use to read."""
OnFinal = Callable[[Method, TimelineFrame, bool], None]


@dataclass(eq=False)
class RecordingReport:
    """What a model says of a recording."""

    curves: Mapping[Method, Curve]
    """Importance by method, final values."""
    labels: Curve = field(default_factory=Curve)
    """The windows' labels over time: at the middle of each, its label and probability."""
    events: Sequence[Event] = ()
    """Ended ones; by the first method."""
    key_frames: Sequence[KeyFrame] = ()
    """By the first method, in order of time, with the heat of where the network looked."""
    duration_s: float = 0.0
    frames: int = 0
    windows: int = 0
    invalid: int = 0


def explain_recording(
    source: Source,
    contract: Contract,
    explainers: Sequence[Explainer],
    tracker: Tracker | None,
    hop_s: float,
    *,
    target_class: str | None = None,
    privacy: Privacy = "none",
    on_frame: Callable[[Frame], None] | None = None,
    on_final: OnFinal | None = None,
) -> RecordingReport:
    """Run a recording to its end by every explainer; the first one's events and key frames are kept. The caller closes
    the source.

    Args:
        explainers: one for each method, at least one.
        tracker: finds the person; None takes the whole frame.
        target_class: the class that every window explains; None: its own label.
        privacy: what key frames show of the person; the model sees everything.
        on_frame: is called with every frame of the source.
        on_final: is called with every frame of the timeline and whether it is important, once for each method.

    Raises:
        SourceError: the recording cannot be read.
    """
    inputs = InputStream(contract.input, hop_s, tracker, live=False)
    interpreters = {
        explainer.method: Interpreter(source.name, contract, explainer.method, hop_s, target_class)
        for explainer in explainers
    }
    builder = _Builder(contract, interpreters, privacy, on_final)
    class_index = class_index_of(contract, target_class)

    def count(frame: Frame, _region: Region) -> None:
        builder.report.frames += 1
        if on_frame is not None:
            on_frame(frame)

    for window, shown in windows_of(source, inputs, count):
        outcomes = {}
        for explainer in explainers:
            explanation = explainer(shown.pictures, class_index, window.number) if shown else None
            square = shown.square if shown else None
            outcomes[explainer.method] = interpreters[explainer.method].conclude(window, explanation, square=square)
        builder.window(window, outcomes)
    return builder.finish()


class _Builder:
    """Fills the report; events and key frames are those of the first interpreter."""

    def __init__(
        self,
        contract: Contract,
        interpreters: Mapping[Method, Interpreter],
        privacy: Privacy,
        on_final: OnFinal | None,
    ) -> None:
        self.report = RecordingReport({method: Curve() for method in interpreters})
        self._contract, self._interpreters, self._privacy, self._on_final = contract, interpreters, privacy, on_final
        self._method = next(iter(interpreters))
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._key_frames = KeyFrames(KEY_FRAMES, KEY_FRAMES_KEPT, KEY_FRAME_GAP_S)
        self._heat = SurestHeat(contract)
        # by frame index, until its importance is final: a picture, and its pixels per pixel of the source frame
        self._waiting: dict[int, tuple[Image, float]] = {}

    def window(self, window: Window, outcomes: Mapping[Method, WindowOutcome]) -> None:
        first = outcomes[self._method]
        result = first.result
        self.report.windows += 1
        self.report.invalid += not result.valid
        self.report.duration_s = window.t_end_s
        middle = TimelineFrame((window.t_start_s + window.t_end_s) / 2, window.number, result.label, result.probability)
        self.report.labels.add(middle, important=result.label in self._contract.alarms)
        if first.explanation is not None and first.square is not None:
            self._heat.add(result, first.explanation.map, first.square)
            for sample in window.samples:
                index, image = sample.frame.index, sample.frame.image
                if index not in self._waiting and self._heat.get(index) is not None:
                    picture = scale_to(anonymize(image, sample.region, self._privacy), PICTURE_PX)
                    self._waiting[index] = picture, PICTURE_PX / image.shape[1]
        self._events.extend(event for event in first.events if event.phase == "end")
        for method, outcome in outcomes.items():
            self._take(method, outcome.final)

    def finish(self) -> RecordingReport:
        for method, interpreter in self._interpreters.items():
            final, events = interpreter.finish()
            self._take(method, final)
            if method == self._method:
                self._events.extend(events)
        self.report.events, self.report.key_frames = tuple(self._events), self._key_frames.chosen()
        return self.report

    def _take(self, method: Method, final: Sequence[TimelineFrame]) -> None:
        thresholds = self._contract.methods[method].thresholds
        for frame in final:
            important = frame.is_important(thresholds)
            self.report.curves[method].add(frame, important=important)
            if self._on_final is not None:
                self._on_final(method, frame, important)
            if method == self._method:
                kept, heat = self._waiting.pop(frame.index, None), self._heat.pop(frame.index)
                if important and kept is not None and heat is not None:
                    strength = min(1.0, 2 * (frame.importance or 0.0))
                    self._key_frames.add(frame, add_heat(*kept, heat.cells, heat.square, strength))

"""An exported bundle over the clips of a manifest, by the runtime's own code; what cannot be read is kept aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import Backend
from stan_edge.errors import ConfigError, SourceError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Contract, Method
from stan_edge.parity import require_parity
from stan_edge.person.tracking import NOBODY
from stan_edge.pipeline.attribution import gate, importance
from stan_edge.pipeline.pipeline import Pipeline, WindowOutcome
from stan_edge.pipeline.predictor import PREDICTED, Explainer, Explanation, softmax
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.pipeline.windows import Sample, Window, hop_ticks
from stan_edge.records import Event
from stan_edge.sources import Frame
from stan_eval.event_scores import Alarm
from stan_eval.replay import ClipWindows, replay
from stan_eval.whole_clip import Scored, SpreadOut, background_of, joined
from stan_train.manifest import Clip


@dataclass(frozen=True, eq=False)
class ClipPrediction:
    """All that a bundle says of one clip of L frames."""

    fold: int
    seen: ClipWindows
    probabilities: NDArray[np.float64]  # [W, C], NaN for windows that are not valid
    importance: dict[Method, NDArray[np.float64]]  # [W, T] each: gated, of the clip's activity where it is marked
    alarms: tuple[Alarm, ...]
    timeline: tuple[TimelineFrame, ...]
    """As the runtime shows it, by the first method."""
    dense: dict[Method, NDArray[np.float64]]  # [L] each; none without marked frames
    copied: dict[Method, NDArray[np.float64]]  # [L] each; none without marked frames

    @property
    def clip(self) -> Clip:
        return self.seen.clip


@dataclass(frozen=True)
class Refused:
    """A clip that could not be evaluated."""

    clip: Clip
    reason: str


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of one bundle on its clips."""

    done: tuple[ClipPrediction, ...]
    refused: tuple[Refused, ...]


def predict(
    bundle: Bundle,
    clips: Sequence[Clip],
    methods: Sequence[Method],
    backend: Backend,
    on_clip: Callable[[], None],
    fold: int = 0,
    *,
    copied: bool = True,
) -> Predictions:
    """Run every clip; a clip that cannot be read costs only itself.

    Events and the timeline are those of the first of `methods`.

    Args:
        on_clip: called after each clip.
        copied: also explain 20 frames of each whole clip.

    Raises:
        ParityError: the backend does not reproduce the bundle's recorded gradients.
    """
    first = _PredictedToo(bundle, backend, methods[0])
    others = [Explainer(bundle, backend, method) for method in methods[1:]]
    for explainer in (first, *others):
        require_parity(bundle, backend, explainer)
    done, refused = [], []
    for clip in clips:
        try:
            done.append(_predict(clip, first, others, bundle.contract, fold, copied=copied))
        except (SourceError, ConfigError) as error:
            refused.append(Refused(clip, str(error)))
        on_clip()
    return Predictions(tuple(done), tuple(refused))


class _PredictedToo(Explainer):
    """Keeps beside every explanation asked for the one that the runtime would have made, of the predicted class."""

    def __init__(self, bundle: Bundle, backend: Backend, method: Method) -> None:
        super().__init__(bundle, backend, method)
        self._contract = bundle.contract
        self.deployed: list[Explanation] = []

    def __call__(self, pictures: NDArray[np.uint8], class_index: int = PREDICTED, window: int = 0) -> Explanation:
        explanation = super().__call__(pictures, class_index, window)
        said = int(explanation.logits.argmax())
        # the timeline does not read frame scores of windows that say background
        same = class_index in (PREDICTED, said) or self._contract.classes[said] == self._contract.background
        if not same and self._contract.methods[self.method].class_specific:
            self.deployed.append(super().__call__(pictures, PREDICTED, window))
        else:
            self.deployed.append(explanation)
        return explanation


def _predict(
    clip: Clip, first: _PredictedToo, others: Sequence[Explainer], contract: Contract, fold: int, *, copied: bool
) -> ClipPrediction:
    first.deployed.clear()
    marked = clip.label in contract.classes and bool(clip.important)
    spread = SpreadOut(clip, contract) if marked and copied else None
    explainers = (first, *others)
    seen = replay(clip, explainers, contract, on_frame=spread)
    probabilities = softmax(seen.logits, contract.temperature)
    background = background_of(probabilities, contract)
    scores = {
        method: gate(importance(raw, contract.methods[method]), background) for method, raw in seen.frame_scores.items()
    }
    steps, timeline, last = _as_deployed(seen, first.deployed, contract, first.method)
    dense = {}
    if marked:
        hop = hop_ticks(contract.input, contract.hop_s)
        for method, own in scores.items():
            windows = [Scored(step.result, values) for step, values in zip(steps, own, strict=True)]
            dense[method] = joined(windows, clip.label, contract.background, hop, clip.frames)
    return ClipPrediction(
        fold=fold,
        seen=seen,
        probabilities=probabilities,
        importance=scores,
        alarms=_alarms(steps, last),
        timeline=tuple(timeline),
        dense=dense,
        copied=spread.explained(explainers) if spread else {},
    )


def _as_deployed(
    seen: ClipWindows, explanations: Sequence[Explanation], contract: Contract, method: Method
) -> tuple[list[WindowOutcome], list[TimelineFrame], list[Event]]:
    """What the runtime concludes from the windows: a step each, the timeline, and the events that end with the clip."""
    stream = Pipeline(seen.clip.name, contract, method, contract.hop_s, None, live=False)
    left = iter(explanations)
    steps = []
    for number, valid in enumerate(seen.valid):
        frames = zip(seen.frame_index[number], seen.frame_t_s[number], strict=True)
        samples = tuple(
            Sample(tick, Frame(int(index), float(t_s), _NO_PICTURE), NOBODY, 0.0)
            for tick, (index, t_s) in enumerate(frames)
        )
        span_s = float(seen.t_start_s[number]), float(seen.t_end_s[number])
        window = Window(number, *span_s, samples, None if valid else "gap")
        steps.append(stream.conclude(window, next(left) if valid else None, 0.0))
    rest, last = stream.finish()
    return steps, [frame for step in steps for frame in step.final] + rest, last


_NO_PICTURE = np.zeros((1, 1, 3), np.uint8)  # conclusions are drawn from scores alone


def _alarms(steps: Sequence[WindowOutcome], last: Sequence[Event]) -> tuple[Alarm, ...]:
    announced_s: dict[int, float] = {}
    ended: list[Event] = []
    for step in steps:
        for event in step.events:
            if event.phase == "start":
                announced_s[event.event] = step.result.t_end_s
        ended += [event for event in step.events if event.phase == "end"]
    return tuple(
        Alarm(event.label, event.t_start_s, event.t_end_s, announced_s[event.event], event.peak_probability)
        for event in sorted([*ended, *last], key=lambda event: event.event)
    )

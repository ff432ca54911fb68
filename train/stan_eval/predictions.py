"""An exported bundle over the clips of a manifest, by the runtime's own code; what cannot be read is kept aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import Backend
from stan_edge.errors import ConfigError, SourceError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Contract, Method
from stan_edge.parity import require_parity
from stan_edge.pipeline.attribution import gate, importance
from stan_edge.pipeline.interpreter import Interpreter, WindowOutcome
from stan_edge.pipeline.predictor import PREDICTED, Explainer, Explanation, softmax
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.pipeline.windows import Window
from stan_edge.records import Event
from stan_eval.event_scores import Alarm
from stan_eval.replay import ClipWindows, class_to_explain, replay
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
    explainers = [Explainer(bundle, backend, method) for method in methods]
    for explainer in explainers:
        require_parity(bundle, backend, explainer)
    done, refused = [], []
    for clip in clips:
        try:
            done.append(_predict(clip, explainers, bundle.contract, fold, copied=copied))
        except (SourceError, ConfigError) as error:
            refused.append(Refused(clip, str(error)))
        on_clip()
    return Predictions(tuple(done), tuple(refused))


class _Deployed:
    """What the runtime, which explains the class that it predicts, concludes from the windows of one clip."""

    def __init__(self, clip: Clip, explainer: Explainer, contract: Contract, class_index: int) -> None:
        self._contract, self._explainer, self._class_index = contract, explainer, class_index
        self._interpreter = Interpreter(clip.name, contract, explainer.method, contract.hop_s)
        self.outcomes: list[WindowOutcome] = []

    def __call__(self, window: Window, pictures: NDArray[np.uint8] | None, explanation: Explanation | None) -> None:
        """Take the next window, as `replay` gives it."""
        if pictures is not None and explanation is not None and self._is_other_class(explanation):
            explanation = self._explainer(pictures, PREDICTED, window.number)
        outcome = self._interpreter.conclude(window, explanation)
        self.outcomes.append(replace(outcome, explanation=None))  # its maps are large

    def finish(self) -> tuple[tuple[TimelineFrame, ...], tuple[Alarm, ...]]:
        """The timeline of the whole clip, and the alarms in it."""
        rest, last = self._interpreter.finish()
        timeline = (*(frame for outcome in self.outcomes for frame in outcome.final), *rest)
        return timeline, _alarms(self.outcomes, last)

    def _is_other_class(self, explanation: Explanation) -> bool:
        """Whether the scores, of the class that was asked for, are not those of the predicted one, and count."""
        predicted = int(explanation.logits.argmax())
        # the timeline does not read frame scores of windows that say background
        same = self._class_index in (PREDICTED, predicted)
        background = self._contract.classes[predicted] == self._contract.background
        return not same and not background and self._contract.methods[explanation.method].class_specific


def _predict(
    clip: Clip, explainers: Sequence[Explainer], contract: Contract, fold: int, *, copied: bool
) -> ClipPrediction:
    marked = clip.label in contract.classes and bool(clip.important)
    spread = SpreadOut(clip, contract) if marked and copied else None
    deployed = _Deployed(clip, explainers[0], contract, class_to_explain(clip, contract))
    seen = replay(clip, explainers, contract, on_frame=spread, on_window=deployed)
    probabilities = softmax(seen.logits, contract.temperature)
    background = background_of(probabilities, contract)
    scores = {
        method: gate(importance(raw, contract.methods[method]), background) for method, raw in seen.frame_scores.items()
    }
    timeline, alarms = deployed.finish()
    dense = {}
    if marked:
        hop = contract.input.hop_ticks(contract.hop_s)
        for method, own in scores.items():
            windows = [Scored(one.result, values) for one, values in zip(deployed.outcomes, own, strict=True)]
            dense[method] = joined(windows, clip.label, contract.background, hop, clip.frames)
    return ClipPrediction(
        fold=fold,
        seen=seen,
        probabilities=probabilities,
        importance=scores,
        alarms=alarms,
        timeline=timeline,
        dense=dense,
        copied=spread.explained(explainers) if spread else {},
    )


def _alarms(outcomes: Sequence[WindowOutcome], last: Sequence[Event]) -> tuple[Alarm, ...]:
    announced_s: dict[int, float] = {}
    ended: list[Event] = []
    for outcome in outcomes:
        for event in outcome.events:
            if event.phase == "start":
                announced_s[event.event] = outcome.result.t_end_s
        ended += [event for event in outcome.events if event.phase == "end"]
    return tuple(
        Alarm(event.label, event.t_start_s, event.t_end_s, announced_s[event.event], event.peak_probability)
        for event in sorted([*ended, *last], key=lambda event: event.event)
    )

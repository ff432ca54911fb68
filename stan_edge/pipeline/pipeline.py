"""One camera's way from frames to records: no threads, no clock, no input or output.

The same frames give the same records, whether they come from a file or a camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import ConfigError
from stan_edge.model.contract import Contract
from stan_edge.person.tracking import Tracker
from stan_edge.pipeline.inputs import InputStream
from stan_edge.pipeline.interpreter import Interpreter, WindowOutcome
from stan_edge.pipeline.predictor import Explainer, Prediction, class_index_of
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.pipeline.windows import Window
from stan_edge.records import Event, WindowCounts
from stan_edge.sources import Frame
from stan_edge.sources.frame import Segment
from stan_edge.sources.pictures import checked_picture
from stan_edge.types import Image

Predict: TypeAlias = Callable[[NDArray[np.uint8]], Prediction]
"""Takes the network's pictures `[P, T, S, S, 3]` of a window."""


@dataclass(frozen=True, eq=False)
class PipelineEnd:
    """What the end of a stream brings about."""

    outcomes: list[WindowOutcome]
    """Of windows that were still due."""
    final: list[TimelineFrame]
    """The rest of the timeline."""
    events: list[Event]
    """The ends of events that were going on."""


class Pipeline:
    """Explains one stream of pictures as they come.

        for t_s, image in pictures:
            for outcome in pipeline.feed(image, t_s):
                print(outcome.result.label, [event.label for event in outcome.events])
        end = pipeline.finish()

    For programs that show a frame before its windows, or leave windows out: `inputs` gives the windows, `process`
    brings each to its end, `interpreter` has the rest.

    Args:
        camera: what records call the stream.
        explainer: explains the windows, one thread at a time.
        tracker: finds the person; None takes the whole frame as the person's region.
        live: see `Windower`.
        target_class: the class that every window's explanation is of; None: its own label.
        on_close: is called by `close`, once.

    Raises:
        ConfigError: the hop does not fit the model.
    """

    def __init__(
        self,
        camera: str,
        contract: Contract,
        explainer: Explainer,
        hop_s: float,
        tracker: Tracker | None = None,
        *,
        live: bool = False,
        target_class: str | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._explainer = explainer
        self._on_close = on_close
        self._new_inputs = partial(InputStream, contract.input, hop_s, tracker, live=live)
        self._new_interpreter = partial(Interpreter, camera, contract, explainer.method, hop_s, target_class)
        self.class_index = class_index_of(contract, target_class)
        """Of the class that is explained, as predictors take it."""
        self._begin(Segment())

    def _begin(self, segment: Segment) -> None:
        self._segment = segment  # by which the tracker knows that a new stream begins
        self.inputs = self._new_inputs()
        self.interpreter = self._new_interpreter()
        self._fed = 0
        self._first_s = self._last_s = 0.0
        self._ended = False

    @property
    def counts(self) -> WindowCounts:
        """What became of the windows so far."""
        return self.interpreter.counts

    def feed(self, image: Image, t_s: float) -> list[WindowOutcome]:
        """Take the next picture; returns the outcomes of the windows that it completes, mostly none.

        Args:
            image: RGB, uint8 `[H, W, 3]`; copied, as windows hold it for some seconds.
            t_s: when it was taken, in seconds, by any clock that never goes back. Records count from the first picture.

        Raises:
            ConfigError: the picture or its time is none, or lies before the last one; nothing has changed then. Or the
                stream has ended, by `finish` or because the engine failed in a window.
        """
        self._refuse_if_ended()
        picture = checked_picture(image, self._fed)
        if not math.isfinite(t_s) or (self._fed and t_s < self._last_s):
            raise ConfigError(
                f"Picture {self._fed} was taken at {t_s:g} s, the one before at {self._last_s:g} s; "
                "give finite times that never go back."
            )
        if not self._fed:
            self._first_s = t_s
        frame = Frame(self._fed, t_s - self._first_s, picture, segment=self._segment)
        self._fed += 1
        self._last_s = t_s
        self._ended = True  # unless all windows are done: one that is missing would shift what follows
        outcomes = [self._explained(window) for window in self.inputs.take(frame)[1]]
        self._ended = False
        return outcomes

    def finish(self) -> PipelineEnd:
        """No more pictures come: what is still due. A stream shorter than one window gives one that repeats its last
        picture.

        Raises:
            ConfigError: the stream has ended before.
        """
        self._refuse_if_ended()
        self._ended = True
        outcomes = [self._explained(window) for window in self.inputs.finish()]
        return PipelineEnd(outcomes, *self.interpreter.finish())

    def reset(self) -> None:
        """Forget everything; the next picture is the first of another stream."""
        self._begin(Segment(self._segment.number + 1))

    def process(
        self, window: Window, predict: Predict | None, latency_ms: Callable[[], float] = lambda: 0.0
    ) -> WindowOutcome:
        """Bring the next window to its end; one that is not valid is never predicted.

        Args:
            predict: what the model says of the window's pictures; None sheds it.
            latency_ms: how late the window is once it has been predicted.
        """
        prediction = square = None
        if window.reason is None and predict is not None:
            shown = self.inputs.network_input(window)
            prediction, square = predict(shown.pictures), shown.square
        return self.interpreter.conclude(window, prediction, latency_ms(), square)

    def close(self) -> None:
        """Let go of what finds the person. Safe to repeat."""
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise ConfigError("This stream has ended; call reset() to begin another.")

    def _explained(self, window: Window) -> WindowOutcome:
        return self.process(window, lambda pictures: self._explainer(pictures, self.class_index, window.number))

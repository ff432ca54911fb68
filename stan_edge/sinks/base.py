"""Sinks: where records and pictures go. Each one overrides what it wants to see."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from stan_edge.errors import StanEdgeError
from stan_edge.person.tracking import Region
from stan_edge.pipeline.predictor import Explanation
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.pipeline.windows import Window
from stan_edge.records import End, Record, WindowResult
from stan_edge.sources import Frame
from stan_edge.types import Square

_logger = logging.getLogger(__name__)


class Sink:
    """Receives what happens to one camera, in order: `frame` for every frame, then what it brought about."""

    def turn(self, dropped: Mapping[str, int]) -> None:
        """The loop has turned: before every frame, and several times a second while a camera gives none.

        Args:
            dropped: frames lost so far, by cause.
        """

    def record(self, record: Record) -> None:
        """A record: start, status of a camera, window, event, end."""

    def frame(self, frame: Frame, region: Region) -> None:
        """A frame has arrived and the person's region in it is known. Its picture is what the run's privacy leaves of
        it; there is no other way to the picture."""

    def window(self, window: Window, result: WindowResult, square: Square, explanation: Explanation) -> None:
        """A valid window was explained; `square` maps its map back to the frames. It holds no pictures."""

    def timeline(self, frames: list[TimelineFrame]) -> None:
        """Frames whose importance is final."""

    def close(self) -> None:
        """The stream has ended; finish what is being written."""

    def discard(self) -> None:
        """The run broke off; leave nothing half-written."""


class Guarded(Sink):
    """A sink that the run can do without: what it raises unexpectedly is logged once, it is left out from then on, and
    at the end it lets go of what it has begun. A `StanEdgeError` says that the run makes no sense without it, and
    ends it as before."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._failed = False
        for step in ("turn", "record", "frame", "window", "timeline"):
            setattr(self, step, partial(self._call, getattr(sink, step)))

    def close(self) -> None:
        self._call(self._sink.close)
        if self._failed:
            self.discard()

    def discard(self) -> None:
        self._failed = False
        self._call(self._sink.discard)

    def _call(self, step: Callable[..., None], *arguments: Any) -> None:
        if self._failed:
            return
        try:
            step(*arguments)
        except StanEdgeError:
            raise
        except Exception as error:
            self._failed = True
            name, why = type(self._sink).__name__, f"{type(error).__name__}: {error}"
            _logger.error("%s has failed (%s) and is left out; the run goes on.", name, why, exc_info=True)


class Failures(Sink):
    """Logs why a camera has failed for good, at once: others may run for weeks."""

    def record(self, record: Record) -> None:
        if isinstance(record, End) and record.failed:
            _logger.error("%s", record.reason)

"""Sinks: where records and pictures go. Each one overrides what it wants to see."""

from __future__ import annotations

from collections.abc import Mapping

from stan_edge.person.tracking import Region
from stan_edge.pipeline.predictor import Explanation
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.pipeline.windows import Window
from stan_edge.records import Record, WindowResult
from stan_edge.sources import Frame
from stan_edge.types import Square


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

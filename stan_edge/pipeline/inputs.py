"""Frames in; windows, and what the network sees of them, out. The state of one camera in front of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import InputSpec
from stan_edge.person.detection_rate import DETECTION_HZ
from stan_edge.person.tracking import NOBODY, Region, Tracker
from stan_edge.pipeline.views import apply_view, cut_mask, cut_square, passes, place_square
from stan_edge.pipeline.windows import Sample, Window, Windower
from stan_edge.sources import Frame, Source
from stan_edge.types import Square


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What the network sees of a window."""

    pictures: NDArray[np.uint8]
    """`[P, T, S, S, 3]`, P passes."""
    square: Square
    """The square of the frames that the pictures show."""


class InputStream:
    """Finds the person in each frame, gathers frames into windows, and cuts them for the network.

    Args:
        tracker: finds the person; None takes the whole frame as the person's region.
        live: see `Windower`.

    Raises:
        ConfigError: the hop does not fit the model.
    """

    def __init__(self, spec: InputSpec, hop_s: float, tracker: Tracker | None, *, live: bool) -> None:
        self._spec = spec
        self._tracker = tracker
        self._windower = Windower(spec, hop_s, live=live)
        self._square: Square | None = None
        self._cut: dict[Sample, NDArray[np.uint8]] = {}
        """The newest window's frames, cut to `_square`."""

    def take(self, frame: Frame, detection_hz: float = DETECTION_HZ) -> tuple[Region, list[Window]]:
        """Take a frame, the person looked for so often; returns the person's region and the windows now due."""
        region = self._tracker.update(frame, detection_hz) if self._tracker else NOBODY
        return region, self._windower.feed(frame, region)

    def finish(self) -> list[Window]:
        """Windows still due at the end of the stream."""
        return self._windower.finish()

    def network_input(self, window: Window) -> NetworkInput:
        """Cut the frames of a valid window. Windows are asked for in order; any of them may be left out."""
        height, width = window.samples[-1].frame.image.shape[:2]
        square = place_square(self._spec.framing, width, height, [sample.region.box_px for sample in window.samples])
        # windows overlap: where the square stays, only what is new in this one is cut
        if square != self._square:
            self._square, self._cut = square, {}
        self._cut = {
            sample: self._cut[sample] if sample in self._cut else self._views(sample, square)
            for sample in window.samples
        }
        return NetworkInput(np.stack(list(self._cut.values()), axis=1), square)

    def _views(self, sample: Sample, square: Square) -> NDArray[np.uint8]:
        """A frame as the network gets it, `[P, S, S, 3]`."""
        spec, region = self._spec, sample.region
        picture = cut_square(sample.frame.image, square, spec.size_px)
        box = None if region.box_px is None else square.to_view(region.box_px, spec.size_px)
        mask = region.mask if spec.region == "mask" else None
        cut = None if mask is None else cut_mask(mask, square, spec.size_px)
        return np.stack([apply_view(picture, box, view, cut) for view in passes(spec.view)])


def windows_of(
    source: Source, inputs: InputStream, on_frame: Callable[[Frame, Region], None] | None = None
) -> Iterator[tuple[Window, NetworkInput | None]]:
    """All windows of a recording in order, with what the network sees; None for one that is not valid. The caller
    closes the source.

    Args:
        on_frame: is called with every frame and the person's region in it, before the windows that it completes.

    Raises:
        SourceError: the recording cannot be read.
    """

    def due() -> Iterator[Window]:
        while (frame := source.read()) is not None:
            region, windows = inputs.take(frame)
            if on_frame is not None:
                on_frame(frame, region)
            yield from windows
        yield from inputs.finish()

    for window in due():
        yield window, inputs.network_input(window) if window.reason is None else None

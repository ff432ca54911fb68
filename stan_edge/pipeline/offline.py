"""The one loop over a recording: every frame is waited for, and every window is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stan_edge.person.tracking import Region
from stan_edge.pipeline.inputs import InputStream, NetworkInput
from stan_edge.pipeline.windows import Window
from stan_edge.sources import Source
from stan_edge.sources.frame import Frame


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
    while (frame := source.read()) is not None:
        region, windows = inputs.take(frame)
        if on_frame is not None:
            on_frame(frame, region)
        yield from _with_input(windows, inputs)
    yield from _with_input(inputs.finish(), inputs)


def _with_input(windows: list[Window], inputs: InputStream) -> Iterator[tuple[Window, NetworkInput | None]]:
    for window in windows:
        yield window, inputs.network_input(window) if window.reason is None else None

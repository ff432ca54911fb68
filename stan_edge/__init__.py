"""What happens in a room, and which frames say so. `explain` is the way in for programs; `stan-edge` for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stan_edge.reports.recording import RecordingReport
    from stan_edge.types import Image

__all__ = ["explain"]


def explain(
    frames: Iterable[Image],
    *,
    fps: float,
    methods: Sequence[str] | None = None,
    model: Path | None = None,
    explain_class: str | None = None,
    person: bool = True,
    backend: str = "auto",
) -> RecordingReport:
    """Explain pictures that a program holds or makes, as `stan-edge explain` does a file.

    Args:
        frames: RGB, uint8 `[H, W, 3]` each, all of one size, in order; read one by one.
        fps: their rate.
        methods: of the bundle; the first one's events and key frames are given. None: those that beat chance.
        model: bundle; the one that ships inside by default.
        explain_class: the class that every window explains; None: the one that it shows.
        person: find the person; False takes the whole picture.

    Raises:
        ConfigError: a method or class that the model has not, a rate that is none, pictures that are none.
        BundleError: the model cannot be used. BackendError: nor can the engine.
    """
    from stan_edge.reports.pictures import explain_pictures  # loading numerical libraries is for those who ask

    return explain_pictures(frames, fps, methods, model, explain_class, backend, person=person)

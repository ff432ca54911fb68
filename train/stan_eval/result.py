"""What was measured of one model."""

from __future__ import annotations

from dataclasses import dataclass, field

from stan_eval.event_scores import EventReport
from stan_eval.scores import Classification, FrameReport


@dataclass(frozen=True, eq=False)
class Result:
    """What was measured of one model; frame figures by method."""

    model: str
    view: str
    classification: Classification | None
    short: dict[str, FrameReport]
    """Windows that show the activity."""
    long: dict[str, FrameReport] = field(default_factory=dict)
    """Whole clips, every frame explained."""
    copied: dict[str, FrameReport] = field(default_factory=dict)
    """Whole clips, 20 frames explained and copied to their neighbours."""
    events: EventReport | None = None

    @property
    def name(self) -> str:
        return f"{self.model}, {self.view}"

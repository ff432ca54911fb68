"""How long what is on disk is kept, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Retention:
    """What is older, or does not fit, may go."""

    days: float = 30.0
    megabytes: float = 2000.0
    """About nine days of one camera's windows in a journal, or the evidence of a thousand alarms."""


LONGEST_AROUND_S = 60.0
"""Of evidence: the most that may be shown before an event, and after it."""

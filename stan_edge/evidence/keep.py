"""How long packs are kept."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_AROUND_S = 60.0
"""That may be shown before an event, and after it."""


@dataclass(frozen=True)
class Keep:
    """How much is kept."""

    days: float = 30.0
    megabytes: float = 2000.0
    """About a thousand alarms."""

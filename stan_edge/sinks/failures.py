"""Cameras that have failed for good, said when they do: others may run for weeks."""

from __future__ import annotations

from stan_edge.log import Say, say
from stan_edge.records import End, Record
from stan_edge.sinks.base import Sink


class Failures(Sink):
    """Says why a camera has ended, where it should not have."""

    def __init__(self, say: Say = say) -> None:
        self._say = say

    def record(self, record: Record) -> None:
        if isinstance(record, End) and record.failed:
            self._say(record.reason)

"""Records as JSON lines."""

from __future__ import annotations

import threading
from typing import TextIO

from stan_edge.records import Record, Start, time_of_day, to_line
from stan_edge.sinks.base import Sink

_writing = threading.Lock()
"""Cameras share stdout, and each has a thread."""


class JsonLines(Sink):
    """One line per record, flushed at once.

    Args:
        live: add the wall-clock time `at`; recordings have none.
    """

    def __init__(self, out: TextIO, *, live: bool) -> None:
        self._out = out
        self._live = live
        self._fallback = False

    def record(self, record: Record) -> None:
        at = time_of_day() if self._live else None
        if isinstance(record, Start):
            self._fallback = record.fallback
        line = to_line(record, at, fallback=self._fallback)
        with _writing:
            print(line, file=self._out, flush=True)

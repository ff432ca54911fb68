"""Cameras that have failed for good, logged when they do: others may run for weeks."""

from __future__ import annotations

import logging

from stan_edge.records import End, Record
from stan_edge.sinks.base import Sink

_logger = logging.getLogger(__name__)


class Failures(Sink):
    """Logs why a camera has ended, where it should not have."""

    def record(self, record: Record) -> None:
        if isinstance(record, End) and record.failed:
            _logger.error("%s", record.reason)

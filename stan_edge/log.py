"""What people see on stderr: `stan-edge: <message>`, one line for each message of the package's loggers.

Modules log by `logging.getLogger(__name__)`. A program that imports the package gets Python's own behaviour (warnings
on stderr) unless it sets up logging or calls `configure`.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from typing import Literal

from stan_edge.errors import one_line

LogLevel = Literal["debug", "info", "warning", "error"]
REPEAT_S = 60.0
"""The same warning is repeated at most this often."""


def configure(level: LogLevel = "info") -> None:
    """Print messages of at least this level on stderr; at `debug` with the traceback of unexpected errors. Safe to
    repeat."""
    logger = logging.getLogger("stan_edge")
    for handler in [known for known in logger.handlers if isinstance(known, _Stderr)]:
        logger.removeHandler(handler)
    logger.addHandler(_Stderr(tracebacks=level == "debug"))
    logger.setLevel(level.upper())


class RateLimit:
    """Lets each text through once in `REPEAT_S`."""

    def __init__(self) -> None:
        self._last_s: dict[str, float] = {}

    def allows(self, text: str) -> bool:
        """Whether it may be logged now."""
        now_s = time.monotonic()
        self._last_s = {known: at_s for known, at_s in self._last_s.items() if now_s - at_s < REPEAT_S}
        allowed = text not in self._last_s
        self._last_s.setdefault(text, now_s)
        return allowed


class _Stderr(logging.Handler):
    """Writes to whatever `sys.stderr` is at the moment; a full or closed one must not end the run."""

    def __init__(self, *, tracebacks: bool) -> None:
        super().__init__()
        self._tracebacks = tracebacks

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is None:  # closed when the process began
            return
        text = f"stan-edge: {one_line(record.getMessage())}"
        if self._tracebacks and record.exc_info:
            text += f"\n{logging.Formatter().formatException(record.exc_info)}"
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)

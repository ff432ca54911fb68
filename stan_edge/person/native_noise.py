"""MediaPipe's native code, kept from writing to the terminal."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO

_NOISE = re.compile(
    rb"INFO: Created TensorFlow Lite|WARNING: All log messages before absl|[IW]\d{4} [\d:. ]+ \w+\.cc:\d+\]"
)
_lock = threading.Lock()
_inside = 0
_kept: int
_caught: IO[bytes]


@contextmanager
def native_noise_removed() -> Iterator[None]:
    """Take the lines that MediaPipe's C++ writes to stderr out of it, and pass everything else on.

    They come on construction and until the first person is found, and there is no switch: absl logs to stderr
    until it is initialised, which the wheel never does. Hence the file descriptor. It belongs to the whole
    process, so what other threads write meanwhile is kept and written afterwards, not lost. Several threads may be
    inside at once; the last one out gives the descriptor back.
    """
    global _inside, _kept, _caught  # noqa: PLW0603 - there is one stderr
    with _lock:
        if _inside == 0:
            sys.stderr.flush()
            _caught = TemporaryFile()  # noqa: SIM115 - closed by the last one out
            _kept = os.dup(2)
            os.dup2(_caught.fileno(), 2)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _give_back()


def _give_back() -> None:
    try:
        sys.stderr.flush()
        os.dup2(_kept, 2)
        _caught.seek(0)
        for line in _caught:
            if not _NOISE.match(line):
                os.write(2, line)
    finally:
        _caught.close()
        os.close(_kept)

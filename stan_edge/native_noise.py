"""MediaPipe's native code, kept from writing to the terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

_NOISE = re.compile(
    rb"INFO: Created TensorFlow Lite|WARNING: All log messages before absl|[IW]\d{4} [\d:. ]+ \w+\.cc:\d+\]"
)


@contextmanager
def native_noise_removed() -> Iterator[None]:
    """Take the lines that MediaPipe's C++ writes to stderr out of it, and pass everything else on.

    They come on construction and until the first person is found, and there is no switch: absl logs to stderr
    until it is initialised, which the wheel never does. Hence the file descriptor. It belongs to the whole
    process, so what other threads write meanwhile is kept and written afterwards, not lost.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with TemporaryFile() as caught:
            os.dup2(caught.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(kept, 2)
                caught.seek(0)
                for line in caught:
                    if not _NOISE.match(line):
                        os.write(2, line)
    finally:
        os.close(kept)

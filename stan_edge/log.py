"""What whoever runs the command is told while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

Say = Callable[[str], None]


def say(sentence: str) -> None:
    """Tell them on stderr."""
    with suppress(OSError, ValueError):  # stderr is gone: nobody to tell
        print(f"stan-edge: {sentence}", file=sys.stderr, flush=True)

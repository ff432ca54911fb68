"""Hostile input: what `bench/faults/fuzz.py` and the tests feed to everything that reads what others wrote.

A target reads one kind of input. Its cases are numbered: the same number is the same input, on any machine with the
same versions of OpenCV and FFmpeg.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

Case = Callable[[random.Random], str]
"""One case; says in a word what became of it. `StanEdgeError` is a refusal, and as good; any other error is a bug."""


class BrokenPromiseError(Exception):
    """The input did what it must not, though nothing was raised."""


@dataclass(frozen=True)
class Target:
    """One kind of input."""

    name: str
    what: str
    cases: int
    """By default; enough for all targets together to take about a quarter of an hour on two cores."""
    limit_s: float
    """A case that takes longer hangs."""
    prepare: Callable[[Path], AbstractContextManager[Case]]
    """Opens the target; every case writes into this folder only."""
    memory_mib: int | None = 2048
    """Address space that a case may take beyond what is taken already; None: not limited."""


def rng_of(target: str, number: int) -> random.Random:
    """The randomness of a case."""
    return random.Random(f"{target} {number}")

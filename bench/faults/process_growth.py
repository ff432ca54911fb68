"""Does a process grow? Its memory, threads and file handles, sampled while it runs, and the slope of each.

The slope is that of a line through the samples after the first quarter; its error is that of 20 means, because samples
beside each other are not independent.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.error import URLError

import numpy as np
import psutil

from bench.faults.mosquitto import Listener

SAMPLE_S = 1.0
BLOCKS = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment of the camera's time."""

    t_s: float
    rss_mib: float
    threads: int
    handles: int


class Sampler:
    """Looks at the process once a second of real time, scrapes the metrics, and takes what the broker has delivered,
    so that this does not grow instead."""

    def __init__(self, now_s: Callable[[], float], http: int, listener: Listener) -> None:
        self.samples: list[Sample] = []
        self.arrived: set[tuple[str, int]] = set()
        self._now_s, self._http, self._listener = now_s, http, listener
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._take()

    def _run(self) -> None:
        process = psutil.Process()
        while not self._ended.wait(SAMPLE_S):
            with suppress(URLError):  # the run has just ended
                urllib.request.urlopen(f"http://127.0.0.1:{self._http}/metrics", timeout=10).read()
            self._take()
            memory = process.memory_info().rss / 2**20
            self.samples.append(Sample(self._now_s(), memory, process.num_threads(), process.num_fds()))

    def _take(self) -> None:
        messages = self._listener.messages
        count = len(messages)
        for _, payload, _ in messages[:count]:
            event = json.loads(payload)
            self.arrived.add((event["id"], event["sequence"]))
        del messages[:count]


def slope(samples: Sequence[Sample], what: str) -> tuple[float, float]:
    """Growth an hour and its standard error, after the first quarter."""
    late = [one for one in samples if one.t_s > samples[-1].t_s / 4]
    blocks = [part for part in np.array_split(np.arange(len(late)), BLOCKS) if len(part)]
    hours = np.array([np.mean([late[k].t_s for k in part]) for part in blocks]) / 3600
    values = np.array([np.mean([getattr(late[k], what) for k in part]) for part in blocks])
    apart = hours - hours.mean()
    rising = float((apart @ values) / (apart @ apart))
    left = values - values.mean() - rising * apart
    return rising, float(np.sqrt(left @ left / (len(blocks) - 2) / (apart @ apart)))

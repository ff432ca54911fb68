"""A folder for every alarm; written in a thread of its own, so that the camera never waits for the disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from stan_edge.evidence.case import Case, CaseCollector, ExplainedWindow
from stan_edge.evidence.folder import EvidenceFolder
from stan_edge.evidence.pack import write_pack
from stan_edge.evidence.ring import CompressedFrame
from stan_edge.model.bundle import CONTRACT, Bundle
from stan_edge.person.anonymize import Privacy
from stan_edge.person.tracking import Region
from stan_edge.pipeline.predictor import Explanation
from stan_edge.pipeline.windows import Window
from stan_edge.records import Event, Record, Start, WindowResult, time_of_day, to_line
from stan_edge.retention import Retention
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame
from stan_edge.types import Square
from stan_edge.worker import Worker

WAITING_CASES = 4
"""Events whose pictures wait for the disk; a recording waits when there are more, a camera loses them."""
FLUSH_S = 30.0
"""What is not written when the run ends gets this long."""
TRIM_EVERY_S = 3600.0
SILENT_S = 2.0

_logger = logging.getLogger(__name__)


class Evidence(Sink):
    """Writes a pack for each event, a few seconds after it.

    Whatever the disk does, the run goes on: what cannot be written is counted, and logged once.

    Args:
        around_s: time shown before the event and after it.
        privacy: that of the run, for the record.

    Raises:
        ConfigError: the folder cannot be used.
    """

    def __init__(self, folder: Path, bundle: Bundle, privacy: Privacy, around_s: float, keep: Retention) -> None:
        self.written = self.lost = self._already_there = 0
        self._packs = EvidenceFolder(folder, keep)
        self._folder, self._contract, self._privacy = folder, bundle.contract, privacy
        self._contract_file = (bundle.folder / CONTRACT).read_bytes()
        self._around_s = around_s
        self._writable, self._trim_failed = True, False
        self._live = self._started = False
        self._collector = CaseCollector(bundle.contract, around_s)
        self._newest_s, self._newest_at_s = 0.0, time.monotonic()
        self._worker = Worker("evidence", self._trim, take=self._write, capacity=WAITING_CASES)

    def turn(self, dropped: Mapping[str, int]) -> None:
        if self._live and time.monotonic() - self._newest_at_s > self._around_s + SILENT_S:
            self._hand_over(self._collector.silent())

    def record(self, record: Record) -> None:
        at = time_of_day() if self._live else None
        if isinstance(record, Start):
            self._live, self._started = record.live, True
            self._collector.start_line = to_line(record)
            self._worker.start()
        elif isinstance(record, WindowResult):
            self._collector.window(record, at)
        elif isinstance(record, Event):
            ago_s = self._newest_s - record.t_start_s + time.monotonic() - self._newest_at_s
            began_at = (datetime.now(timezone.utc) - timedelta(seconds=ago_s)).astimezone()
            self._collector.event(record, at, began_at if self._live else None)

    def frame(self, frame: Frame, region: Region) -> None:
        self._newest_s, self._newest_at_s = frame.t_capture_s, time.monotonic()
        self._hand_over(self._collector.frame(CompressedFrame.of(frame)))

    def window(self, window: Window, result: WindowResult, square: Square, explanation: Explanation) -> None:
        self._collector.explained(ExplainedWindow(result, explanation.map, square))

    def close(self) -> None:
        """Write what is left, within half a minute."""
        if not self._started:
            return
        until_s = time.monotonic() + FLUSH_S
        self._hand_over(self._collector.finish(), FLUSH_S)
        if not self._worker.close(max(until_s - time.monotonic(), 0.01)):
            self._warn("is stuck and was left behind; the last events are missing.")
        if self._already_there:
            self._warn(f"{self._already_there} of the events were there already and stay as they are.")

    def discard(self) -> None:
        self.close()  # what happened did happen

    def _hand_over(self, cases: list[Case], camera_waits_s: float = 0.0) -> None:
        for case in cases:
            if not self._worker.put(case, timeout_s=camera_waits_s if self._live else FLUSH_S):
                self._lose("the disk is too slow")

    def _warn(self, sentence: str) -> None:
        _logger.warning("evidence %s: %s", self._folder, sentence)

    def _lose(self, why: str) -> None:
        self.lost += 1
        if self._writable:
            self._warn(f"an event cannot be written ({why}); the run goes on, make room.")
        self._writable = False

    def _write(self, case: Case) -> None:  # in the worker's thread, as is `_trim`
        about = case, self._contract, self._contract_file, self._privacy
        try:
            new = self._packs.add(case.name, lambda part: write_pack(part, *about))
        except Exception as error:  # whatever it is, this event is lost and the next one is tried
            self._lose(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")
            return
        self.written += new
        self._already_there += not new
        if not self._writable:
            _logger.info("evidence %s: can be written again; %d events are missing.", self._folder, self.lost)
        self._writable = True

    def _trim(self) -> float:
        try:
            self._packs.trim()
        except OSError as error:
            if not self._trim_failed:
                self._warn(f"what is too old cannot be deleted ({error}); look at the folder.")
            self._trim_failed = True
        return TRIM_EVERY_S

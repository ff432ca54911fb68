"""A folder for every alarm; written in a thread of its own, so that the camera never waits for the disk."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from stan_edge.evidence.case import Case, CaseCollector, Heatmap
from stan_edge.evidence.folder import EvidenceFolder
from stan_edge.evidence.pack import write_pack
from stan_edge.evidence.ring import CompressedFrame
from stan_edge.log import Say, say
from stan_edge.model.bundle import CONTRACT, Bundle
from stan_edge.model.contract import Method
from stan_edge.person.anonymize import Privacy
from stan_edge.person.tracking import Region
from stan_edge.pipeline.predictor import Explanation
from stan_edge.pipeline.windows import Window
from stan_edge.records import Event, Record, Start, WindowResult, time_of_day
from stan_edge.retention import Retention
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame
from stan_edge.types import Square

WAITING_CASES = 4
"""Events whose pictures wait for the disk; a recording waits when there are more, a camera loses them."""
LEAVE_S = 30.0
"""What is not written when the run ends gets this long."""
TRIM_EVERY_S = 3600.0
SILENT_S = 2.0


class Evidence(Sink):
    """Writes a pack for each event, a few seconds after it.

    Whatever the disk does, the run goes on: what cannot be written is counted, and said once.

    Args:
        around_s: time shown before the event and after it.
        privacy: that of the run, for the record.

    Raises:
        ConfigError: the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Bundle,
        method: Method,
        privacy: Privacy,
        *,
        around_s: float = 5.0,
        keep: Retention | None = None,
        say: Say = say,
    ) -> None:
        self.written = self.lost = self._known = 0
        self._packs = EvidenceFolder(folder, keep or Retention())
        self._folder = folder
        self._contract, self._method, self._privacy = bundle.contract, method, privacy
        self._contract_file = (bundle.folder / CONTRACT).read_bytes()
        self._around_s = around_s
        self._say = say
        self._writable, self._trim_failed = True, False
        self._live = False
        self._gatherer: CaseCollector | None = None
        self._newest_s = 0.0
        self._newest_at_s = time.monotonic()
        self._cases: queue.Queue[Case | None] = queue.Queue(WAITING_CASES)
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)

    def turn(self, dropped: Mapping[str, int]) -> None:
        if self._gatherer and self._live and time.monotonic() - self._newest_at_s > self._around_s + SILENT_S:
            self._hand_over(self._gatherer.silent())

    def record(self, record: Record) -> None:
        if isinstance(record, Start):
            self._live = record.live
            self._gatherer = CaseCollector(record, self._contract, self._around_s)
            self._thread.start()
        if self._gatherer is None:
            return
        at = time_of_day() if self._live else None
        if isinstance(record, WindowResult):
            self._gatherer.window(record, at)
        elif isinstance(record, Event):
            self._gatherer.event(record, at, self._local_time(record.t_start_s) if self._live else None)

    def frame(self, frame: Frame, region: Region) -> None:
        self._newest_s, self._newest_at_s = frame.t_capture_s, time.monotonic()
        if self._gatherer is not None:
            self._hand_over(self._gatherer.frame(CompressedFrame.of(frame)))

    def window(self, window: Window, result: WindowResult, square: Square, explanation: Explanation) -> None:
        if self._gatherer is not None:
            self._gatherer.look(Heatmap(explanation.map, square))

    def close(self) -> None:
        """Write what is left, within half a minute."""
        if self._gatherer is None:
            return
        until_s = time.monotonic() + LEAVE_S
        self._hand_over(self._gatherer.finish(), LEAVE_S)
        with suppress(queue.Full):
            self._cases.put(None, timeout=max(until_s - time.monotonic(), 0.01))
        self._thread.join(max(until_s - time.monotonic(), 0.01))
        if self._thread.is_alive():
            self._say(f"--evidence {self._folder}: is stuck and was left behind; the last events are missing.")
        if self._known:
            self._say(
                f"--evidence {self._folder}: {self._known} of the events were there already and stay as they are."
            )

    def discard(self) -> None:
        self.close()  # what happened did happen

    def _local_time(self, t_s: float) -> datetime:
        ago_s = self._newest_s - t_s + time.monotonic() - self._newest_at_s
        return (datetime.now(timezone.utc) - timedelta(seconds=ago_s)).astimezone()

    def _hand_over(self, cases: list[Case], camera_waits_s: float = 0.0) -> None:
        for case in cases:
            try:
                self._cases.put(case, timeout=camera_waits_s if self._live else LEAVE_S)
            except queue.Full:
                self._lose("the disk is too slow")

    def _run(self) -> None:
        case: Case | None = None
        while True:
            self._trim()
            try:
                case = self._cases.get(timeout=TRIM_EVERY_S)
            except queue.Empty:
                continue
            if case is None:
                return
            self._write(case)

    def _write(self, case: Case) -> None:
        def write(part: Path) -> None:
            write_pack(part, case, self._contract, self._contract_file, self._privacy)

        try:
            new = self._packs.add(case.name, write)
        except Exception as error:  # the thread must live to write the next one
            self._lose(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")
            return
        self.written += new
        self._known += not new
        if not self._writable:
            self._say(f"--evidence {self._folder}: can be written again; {self.lost} events are missing.")
        self._writable = True

    def _lose(self, why: str) -> None:
        self.lost += 1
        if self._writable:
            self._say(f"--evidence {self._folder}: an event cannot be written ({why}); the run goes on, make room.")
        self._writable = False

    def _trim(self) -> None:
        try:
            self._packs.trim()
        except OSError as error:
            if not self._trim_failed:
                self._say(
                    f"--evidence {self._folder}: what is too old cannot be deleted ({error}); look at the folder."
                )
            self._trim_failed = True

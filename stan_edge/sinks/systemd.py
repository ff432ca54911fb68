"""systemd's notification protocol: ready, alive, stopping, and a line of status (see sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from stan_edge.records import End, Event, Record, Start, Status, WindowResult
from stan_edge.sinks import Sink

STATUS_EVERY_S = 10.0


class Systemd(Sink):
    """Tells the service manager. The watchdog is fed by the camera's own loop, so that it starves when that hangs.

    Args:
        address: of the manager's datagram socket; `@` begins an abstract one.
        watchdog_s: the manager restarts the service after this long without a sign of life; None: never.
    """

    def __init__(self, address: str, watchdog_s: float | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._feed_every_s = None if watchdog_s is None else watchdog_s / 3  # the manual advises less than half
        self._fed_s = self._told_s = -float("inf")
        self._ready = False
        self._camera = ""
        self._seen = "waiting for the first frame"
        self._windows = self._events = 0

    @classmethod
    def from_environment(cls) -> Systemd | None:
        """As a service that is to report; None outside of one, or where the variables are not understood."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = ours and microseconds.isdecimal() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if watched else None)

    def turn(self, dropped: Mapping[str, int]) -> None:
        now_s = time.monotonic()
        feed = self._feed_every_s is not None and now_s - self._fed_s >= self._feed_every_s
        status = now_s - self._told_s >= STATUS_EVERY_S
        lines = [] if self._ready else ["READY=1"]
        if feed:
            lines.append("WATCHDOG=1")
        if status:
            lines.append(f"STATUS={self._status()}")
        if self._notify(*lines):  # or else the same on the next turn
            self._ready = True
            self._fed_s = now_s if feed else self._fed_s
            self._told_s = now_s if status else self._told_s

    def record(self, record: Record) -> None:
        match record:
            case Start():
                self._camera = record.camera
                self._told_s = -float("inf")
            case Status():
                self._seen = f"camera {record.state}" + (f": {record.reason}" if record.reason else "")
                self._told_s = -float("inf")
            case WindowResult():
                self._windows += 1
                self._seen = record.label or f"no verdict: {record.reason}"
            case Event():
                self._events += record.phase == "start"
            case End():
                self._notify("STOPPING=1", f"STATUS={self._camera}: {record.reason}")

    def close(self) -> None:
        self._socket.close()

    def discard(self) -> None:
        self._notify("STOPPING=1")
        self._socket.close()

    def _status(self) -> str:
        return f"{self._camera or 'camera'}: {self._seen}; {self._windows} windows, {self._events} events"

    def _notify(self, *lines: str) -> bool:
        """Whether the manager has it."""
        if not lines:
            return True
        # a newline in a camera's name would be a line of its own
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            self._socket.sendto(text.encode("utf-8", "replace"), self._address)
        except OSError:  # nobody listens, or not fast enough; the camera is watched all the same
            return False
        return True

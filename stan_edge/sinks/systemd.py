"""systemd's notification protocol: ready, alive, stopping, and a line of status (see sd_notify(3))."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Mapping

from stan_edge.records import End, Event, Load, Record, Start, Status, WindowResult
from stan_edge.sinks.base import Sink

STATUS_EVERY_S = 10.0


class Systemd(Sink):
    """Reports one camera to the service manager. The watchdog is fed by the cameras' own loops, so that it starves when
    one of them hangs.

    Args:
        service: that of the run.
    """

    def __init__(self, service: Service, camera: str = "camera") -> None:
        self._service = service
        self.camera = camera
        self.seen = "waiting for the first frame"
        self.windows = self.events = 0
        self.load = ""
        self.turned_s = time.monotonic()
        service.cameras.append(self)

    def turn(self, dropped: Mapping[str, int]) -> None:
        self.turned_s = time.monotonic()
        self._service.turn()

    def record(self, record: Record) -> None:
        match record:
            case Start():
                self.camera = record.camera
                self._service.report_soon()
            case Status():
                self.seen = f"camera {record.state}" + (f": {record.reason}" if record.reason else "")
                self._service.report_soon()
            case WindowResult():
                self.windows += 1
                self.seen = record.label or f"no verdict: {record.reason}"
            case Load():
                self.load = "" if record.level == "full" else f", load: {record.level}"
                self._service.report_soon()
            case Event():
                self.events += record.phase == "start"
            case End():
                self._service.leave(self, f"{self.camera}: {record.reason}")

    def close(self) -> None:
        self._service.leave(self)

    discard = close

    def __str__(self) -> str:
        return f"{self.camera}: {self.seen}; {self.windows} windows, {self.events} events{self.load}"


class Service:
    """All cameras of a run, as the service manager knows them.

    Args:
        address: of the manager's datagram socket; `@` begins an abstract one.
        watchdog_s: the manager restarts the service after this long without a sign of life; may be infinite.
    """

    def __init__(self, address: str, watchdog_s: float) -> None:
        self.cameras: list[Systemd] = []
        """Those that run; without any the service stops."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._feed_every_s = watchdog_s / 3  # the manual advises less than half
        self._fed_s = self._status_s = -math.inf
        self._ready = False
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls) -> Service | None:
        """As a service that is to report; None outside of one, or where the variables are not understood."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = ours and microseconds.isdecimal() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if watched else math.inf)

    def turn(self) -> None:
        """A camera's loop has turned; say what is due."""
        with self._lock:
            now_s = time.monotonic()
            every_s = self._feed_every_s
            feed = now_s - self._fed_s > every_s and all(now_s - one.turned_s < every_s for one in self.cameras)
            status = now_s - self._status_s >= STATUS_EVERY_S
            lines = [] if self._ready else ["READY=1"]
            if feed:
                lines.append("WATCHDOG=1")
            if status:
                lines.append(f"STATUS={' | '.join(map(str, self.cameras))}")
            if self.notify(*lines):  # or else the same on the next turn
                self._ready = True
                self._fed_s = now_s if feed else self._fed_s
                self._status_s = now_s if status else self._status_s

    def report_soon(self) -> None:
        """The status has changed."""
        self._status_s = -math.inf

    def leave(self, camera: Systemd, status: str | None = None) -> None:
        """A camera has ended; with the last one, the service."""
        with self._lock:
            if camera not in self.cameras:
                return
            if len(self.cameras) == 1:
                self.notify("STOPPING=1", *([] if status is None else [f"STATUS={status}"]))
                self._socket.close()
            self.cameras.remove(camera)

    def notify(self, *lines: str) -> bool:
        """Whether the manager has it."""
        if not lines:
            return True
        # a newline in a camera's name would be a line of its own
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            self._socket.sendto(text.encode("utf-8", "replace"), self._address)
        except OSError:  # nobody listens, or not fast enough; the cameras are watched all the same
            return False
        return True

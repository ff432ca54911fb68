"""Real cameras that are unplugged or hang: when it is said, when they are watched again, what is left behind.

    python -m bench.faults.cameras [--off 5 --off 60] [--reconnects 500] [--out bench/results/cameras.md]

Two servers on this machine: HTTP MJPEG in this process, and RTSP (H.264 by GStreamer, with a password) in another,
where that is installed. No model runs: what is measured is the source, the reader and the reconnecting between them.
"""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Annotated, Protocol

import psutil
import typer

from stan_edge.records import Status
from stan_edge.sources import Frame, Reader, Reconnecting, Source, camera_name, open_source
from tests.e2e.mjpeg import MjpegCamera

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
PATIENCE_S = 120.0


class Switchable(Protocol):
    """A camera with a plug."""

    @property
    def url(self) -> str: ...
    def plug_in(self) -> None: ...
    def unplug(self) -> None: ...
    def hang(self) -> None: ...
    def go_on(self) -> None: ...
    def close(self) -> None: ...


class Mjpeg(MjpegCamera):
    def hang(self) -> None:
        self.hangs.set()

    def go_on(self) -> None:
        self.hangs.clear()


class Rtsp:
    """The server in a process of its own, which can be killed and stopped."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"rtsp://eve:secret@127.0.0.1:{self._port}/live"
        self.plug_in()

    def plug_in(self) -> None:
        self.process = subprocess.Popen([SYSTEM_PYTHON, str(SERVER), str(self._port), "eve", "secret"])

    def unplug(self) -> None:
        self.process.kill()
        self.process.wait()

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.unplug()


def rtsp_missing() -> str | None:
    """Why there is no RTSP server here."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if not Path(SYSTEM_PYTHON).exists():
        return f"there is no {SYSTEM_PYTHON}"
    ran = subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, text=True, check=False)
    return None if ran.returncode == 0 else "GStreamer's RTSP server is not installed (see rtsp_server.py)"


class Watch:
    """Reads a camera in the runtime's way and notes when what arrived."""

    def __init__(self, url: str) -> None:
        self.tries_s: list[float] = []

        def connect() -> Source:
            self.tries_s.append(time.monotonic())
            return open_source(url)

        self._reader = Reader(Reconnecting(camera_name(url), connect, wait=True), 120)
        self.frame_s = 0.0
        self.close = self._reader.close

    def items(self) -> Iterator[Status | Frame]:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            item = self._reader.get(0.2)
            if isinstance(item, Frame):
                self.frame_s = time.monotonic()
            if item is not None:
                yield item
        raise TimeoutError("The camera did not do what was waited for.")

    def until(self, *states: str) -> tuple[float, Status]:
        for item in self.items():
            if isinstance(item, Status) and item.state in states:
                return time.monotonic(), item
        raise AssertionError

    def steady(self, seconds: float) -> None:
        """Watch frames for so long."""
        until_s = time.monotonic() + seconds
        for item in self.items():
            if isinstance(item, Frame) and time.monotonic() > until_s:
                return


def faults(name: str, camera: Switchable, off: list[float]) -> Iterator[str]:
    with closing(Watch(camera.url)) as watch:
        watch.until("online")
        for off_s in off:
            watch.steady(11.0)  # long enough for the back-off to start anew
            camera.unplug()
            at_s = time.monotonic()
            lost_s, status = watch.until("lost", "stalled")
            time.sleep(max(0.0, off_s - (time.monotonic() - at_s)))
            camera.plug_in()
            back_s = time.monotonic()
            online_s, _ = watch.until("online")
            tries = [try_s for try_s in watch.tries_s if try_s > at_s]
            interval_s = max(b - a for a, b in zip([at_s, *tries], tries, strict=False))
            yield (
                f"| {name} | off for {off_s:g} s | {status.state}, {lost_s - at_s:.2f} | {online_s - back_s:.2f} "
                f"| {interval_s:.2f} | {len(tries)} |"
            )
        for hang_s in (3.0, 20.0):
            watch.steady(11.0)
            camera.hang()
            at_s = watch.frame_s
            said_s, status = watch.until("lost", "stalled")
            threading.Timer(max(0.1, hang_s - (said_s - at_s)), camera.go_on).start()
            back_s = at_s + hang_s
            online_s, _ = watch.until("online")
            tries = [try_s for try_s in watch.tries_s if try_s > at_s]
            interval = f"{max(b - a for a, b in zip([at_s, *tries], tries, strict=False)):.2f}" if tries else "-"
            yield (
                f"| {name} | hangs for {hang_s:g} s | {status.state}, {said_s - at_s:.2f} | {online_s - back_s:.2f} "
                f"| {interval} | {len(tries)} |"
            )


def soak(name: str, url: str, count: int) -> Iterator[str]:
    """Connect, take three frames, drop the connection, `count` times."""
    process, seen = psutil.Process(), []

    def footprint() -> tuple[int, int, float]:
        return threading.active_count(), process.num_fds(), process.memory_info().rss / 2**20

    for number in range(count):
        with closing(open_source(url)) as source:
            for _ in range(3):
                source.read()
        if number + 1 in (50, count // 2, count):
            seen.append((number + 1, footprint()))
    for number, (threads, handles, rss_mib) in seen:
        yield f"| {name} | {number} | {threads} | {handles} | {rss_mib:.0f} |"


def main(
    off: Annotated[list[float], typer.Option(help="Seconds without the camera.")] = [5.0, 60.0],  # noqa: B006
    reconnects: Annotated[int, typer.Option(help="Connections of the soak.")] = 500,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    lines = [
        "# Cameras that fail",
        "",
        f"{date.today().isoformat()}, {psutil.cpu_count()} processors shared with other work. Command: "
        f"`{shlex.join(['python', '-m', 'bench.faults.cameras', *sys.argv[1:]])}`.",
        "",
        "| camera | fault | said, s after | frames again, s after it is back | longest retry interval, s | tries |",
        "|---|---|---|---|---|---|",
    ]
    missing = rtsp_missing()
    cameras = [("HTTP MJPEG", Mjpeg)] + ([] if missing else [("RTSP H.264", Rtsp)])
    for name, kind in cameras:
        with closing(kind()) as camera:
            time.sleep(1.0)
            lines += faults(name, camera, off)
    lines += ["", "| camera | connections | threads | file handles | resident MiB |", "|---|---|---|---|---|"]
    for name, kind in cameras:
        with closing(kind()) as camera:
            time.sleep(1.0)
            lines += soak(name, camera.url, reconnects)
    if missing:
        lines += ["", f"RTSP left out: {missing}."]
    print("\n".join(lines))
    if out:
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

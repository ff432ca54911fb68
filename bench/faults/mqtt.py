"""The broker is away while there are alarms: does each one arrive, in order, and does the camera notice anything?

    python bench/faults/mqtt.py [--outage-s 600] [--out bench/results/faults-mqtt.md]

The demo clip is watched again and again at its own pace, by the shipped model, as a camera would be; Mosquitto is
stopped and started again. The listener has a session that the broker keeps, as whoever must not miss an alarm needs.
"""

from __future__ import annotations

import shlex
import sys
import threading
import time
from datetime import date
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import psutil
import typer
from messages import kept_messages
from mosquitto import PROGRAM, Listener, Mosquitto

from stan_edge.backends.registry import open_backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import open_bundle, shipped_bundle
from stan_edge.person.detection import watching
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import Event, Record, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sinks.delivery.broker import Broker
from stan_edge.sinks.delivery.mqtt import Mqtt
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sources import Frame, VideoFile, demo_clip

METHOD = "gradcam"
ARRIVAL_S = 60.0
"""What has not arrived this long after the broker came back counts as missing."""


class AgainAndAgain:
    """The demo clip as a camera that never ends before its time."""

    name, live = "room", True

    def __init__(self, duration_s: float) -> None:
        self._duration_s = duration_s
        self._started_s: float | None = None
        self._clip = VideoFile(demo_clip())
        self._index = 0
        self._offset_s = self._last_s = 0.0

    def read(self) -> Frame | None:
        frame = self._clip.read()
        if frame is None:
            self._clip.close()
            self._clip = VideoFile(demo_clip())
            self._offset_s = self._last_s + 0.04
            frame = self._clip.read()
        assert frame is not None
        self._last_s = self._offset_s + frame.t_capture_s
        if self._last_s > self._duration_s:
            return None
        self._started_s = self._started_s or time.monotonic()
        time.sleep(max(0.0, self._started_s + self._last_s - time.monotonic()))
        self._index += 1
        return Frame(self._index - 1, self._last_s, frame.image)

    def close(self) -> None:
        self._clip.close()


class Noted(Sink):
    """When which record came."""

    def __init__(self) -> None:
        self.windows: list[tuple[float, float]] = []
        """Time and latency in milliseconds."""
        self.events: list[tuple[float, Event]] = []
        self.shed = 0

    def record(self, record: Record) -> None:
        now_s = time.monotonic()
        if isinstance(record, WindowResult):
            self.shed += record.reason == "shed"
            self.windows.append((now_s, record.latency_ms))
        if isinstance(record, Event):
            self.events.append((now_s, record))


def main(
    outage_s: Annotated[float, typer.Option(help="How long the broker is away.")] = 60.0,
    around_s: Annotated[float, typer.Option(help="How long it is there before and after.")] = 30.0,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    if PROGRAM is None:
        raise SystemExit("mosquitto is not installed; on Debian: apt install mosquitto")
    bundle, backend = open_bundle(shipped_bundle()), open_backend()
    process = psutil.Process()
    with (
        TemporaryDirectory() as folder,
        watching(masks=bundle.contract.input.region == "mask") as tracker,
        kept_messages() as messages,
    ):
        broker = Mosquitto(Path(folder) / "mosquitto")
        broker.start()
        listener = Listener(broker.port)
        outbox = Outbox(Path(folder) / "mqtt.sqlite")
        mqtt = Mqtt(Broker.parse(f"mqtt://127.0.0.1:{broker.port}/ward"), "room", bundle.contract.alarms, outbox)
        noted, times_s, most_waiting = Noted(), list[float](), list[int]()
        memory_mib: list[float] = []

        def disturb() -> None:
            time.sleep(around_s)
            memory_mib.append(process.memory_info().rss / 2**20)
            times_s.append(time.monotonic())
            broker.stop()
            time.sleep(outage_s)
            most_waiting.append(mqtt.waiting)
            memory_mib.append(process.memory_info().rss / 2**20)
            times_s.append(time.monotonic())
            broker.start()
            while mqtt.waiting:
                time.sleep(0.05)
            times_s.append(time.monotonic())

        disturber = threading.Thread(target=disturb, daemon=True)
        disturber.start()
        source = AgainAndAgain(2 * around_s + outage_s)
        Runtime(bundle, backend, Explainer(bundle, backend, METHOD)).watch([CameraSpec(source, tracker, [noted, mqtt])])
        disturber.join(ARRIVAL_S)
        until_s = time.monotonic() + ARRIVAL_S
        sent = len(noted.events)
        while len(set(_ids(listener))) < sent and time.monotonic() < until_s:
            time.sleep(0.05)
        arrived = _ids(listener)
        listener.close()
        broker.stop()
    down_s, up_s = times_s[:2]
    delivered = f"{times_s[2] - up_s:.1f} s after it" if len(times_s) > 2 else "never"
    during = [event.phase for at_s, event in noted.events if down_s <= at_s < up_s]
    rows = [
        ("broker away", f"{up_s - down_s:.0f} s"),
        ("alarms that began meanwhile", str(during.count("start"))),
        ("messages, in all / made meanwhile", f"{sent} / {len(during)}"),
        ("waiting when it came back", str(most_waiting[0])),
        ("missing", str(sent - len(set(arrived)))),
        ("in order, repetitions left out", "yes" if list(dict.fromkeys(arrived)) == _made(noted) else "NO"),
        ("repetitions, which have the id of the first", str(len(arrived) - len(set(arrived)))),
        ("the last one delivered", delivered),
        ("memory at the outage's begin / end", f"{memory_mib[0]:.0f} / {memory_mib[1]:.0f} MiB"),
        ("windows shed", f"{noted.shed} of {len(noted.windows)}"),
        *(
            (f"window latency {when}, p50 / p99 / max", _latency(noted, begin_s, end_s))
            for when, begin_s, end_s in (
                ("before", 0.0, down_s),
                ("during", down_s, up_s),
                ("after", up_s, float("inf")),
            )
        ),
    ]
    text = "\n".join(
        [
            "# An outage of the MQTT broker",
            "",
            f"{bundle.contract.name}, {backend.name} {backend.precision}, {METHOD}, demo clip in real time, "
            f"{date.today()}. Command: `python {shlex.join(sys.argv)}`.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {what} | {figure} |" for what, figure in rows),
            "",
            "What was logged:",
            "",
            *(f"- {sentence.replace(str(broker.port), 'PORT')}" for sentence in messages),
            "",
        ]
    )
    print(text)
    if out:
        out.write_text(text)


def _ids(listener: Listener) -> list[tuple[str, int]]:
    return [(event["id"], event["sequence"]) for event in listener.of("/event")]


def _made(noted: Noted) -> list[tuple[str, int]]:
    numbers: dict[int, count[int]] = {}
    return [(str(e.id), next(numbers.setdefault(e.event, count()))) for _, e in noted.events]


def _latency(noted: Noted, begin_s: float, end_s: float) -> str:
    found = [latency_ms for at_s, latency_ms in noted.windows if begin_s <= at_s < end_s]
    p50, p99 = np.percentile(found, (50, 99))
    return f"{p50:.0f} / {p99:.0f} / {max(found):.0f} ms"


if __name__ == "__main__":
    typer.run(main)

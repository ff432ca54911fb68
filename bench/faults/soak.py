"""Hours in front of a camera that is lost 500 times, with every sink on: does anything grow?

    python -m bench.faults.soak [--reconnects 500] [--out bench/results/faults-soak.md]
    python -m bench.faults.soak --save-video --reconnects 100      # also writes the annotated video meanwhile

A scripted camera shows the demo clip, is unplugged, falls silent or sends what cannot be decoded, in turns, and comes
back; its clock jumps over what nobody waits for, so that hours pass in minutes. Real are the model (`falling` alarms
whatever is shown), the disk, Mosquitto, an HTTP receiver, and the metrics, which are scraped while it runs.
"""

from __future__ import annotations

import random
import shlex
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bench.faults.mosquitto import PROGRAM, Listener, Mosquitto, free_port
from bench.faults.process_growth import Sampler, slope
from stan_edge.backends.registry import open_backend
from stan_edge.clock import SimulatedClock
from stan_edge.config import RunConfig
from stan_edge.errors import SourceConnectError, SourceDecodeError
from stan_edge.journal.reader import read_rows
from stan_edge.journal.writer import Journal
from stan_edge.live.deliveries import Deliveries
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle, open_bundle, shipped_bundle
from stan_edge.model.contract import EventSpec
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import Record, Status, WindowResult
from stan_edge.retention import Retention
from stan_edge.sinks.base import Sink
from stan_edge.sinks.evidence import Evidence
from stan_edge.sinks.overlay import OverlayVideo
from stan_edge.sources import Reconnecting, VideoFile, demo_clip
from stan_edge.sources.scripted import Fail, Gap, Off, Show, Step
from stan_edge.sources.scripted_camera import ScriptedCamera
from stan_edge.types import Image

METHOD = "gradcam"
FPS, HOP_S = 6.0, 2.0
SEEN_S = 11.0
"""Long enough for the back-off to start anew."""
UNREACHABLE = SourceConnectError("room cannot be reached; check the cable.")
UNDECODABLE = SourceDecodeError("room: the stream ended; check the camera and its cable.")


class Seen(Sink):
    """What happened, counted."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self.now_s, self.online, self.windows, self.wrong = 0.0, 0, 0, 0

    def record(self, record: Record) -> None:
        self.now_s = self._clock.now_s()
        if isinstance(record, Status):
            self.online += record.state == "online"
        if isinstance(record, WindowResult):
            self.windows += 1
            self.wrong += not record.valid and record.label is not None


class Receiver(ThreadingHTTPServer):
    """Takes every POST and keeps its id."""

    daemon_threads = True

    def __init__(self) -> None:
        self.ids: list[str] = []
        super().__init__(("127.0.0.1", 0), _Taker)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Taker(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.ids.append(self.headers["webhook-id"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def script(reconnects: int) -> list[Step]:
    clip = VideoFile(demo_clip())
    pictures: list[Image] = []
    while (frame := clip.read()) is not None:
        if frame.index % 4 == 0:
            pictures.append(frame.image)
    seen = Show(pictures, FPS, SEEN_S)
    faults: Sequence[Step] = (Off(1.0, UNREACHABLE), Gap(6.0), Fail(UNDECODABLE))
    return [step for k in range(reconnects) for step in (seen, faults[k % len(faults)])] + [seen]


def alarming(bundle: Bundle) -> Bundle:
    """The shipped model, to which everything is `falling`: an event between any two outages."""
    never, always = EventSpec(enter=1, leave=1, min_duration_s=0, merge_gap_s=0), 1e-6
    events = {
        name: EventSpec(enter=always, leave=always, min_duration_s=0, merge_gap_s=0) if name == "falling" else never
        for name in bundle.contract.events
    }
    return replace(bundle, contract=bundle.contract.model_copy(update={"events": events}))


def main(
    reconnects: Annotated[int, typer.Option(help="How often the camera is lost.")] = 500,
    save_video: Annotated[bool, typer.Option(help="Write the annotated video meanwhile.")] = False,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    if PROGRAM is None:
        raise SystemExit("mosquitto is not installed; on Debian: apt install mosquitto")
    bundle, backend = alarming(open_bundle(shipped_bundle())), open_backend(threads=1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        broker = Mosquitto(folder / "mosquitto")
        broker.start()
        stack.callback(broker.stop)
        listener = stack.enter_context(closing(Listener(broker.port, "+/+/event")))
        receiver = Receiver()
        stack.callback(receiver.shutdown)
        clock, http = SimulatedClock(threads=2), free_port()
        config = RunConfig(
            cameras=({"source": "room"},),
            mqtt={"url": f"mqtt://127.0.0.1:{broker.port}/ward", "window_every_s": 1.0, "home_assistant": True},
            webhook={"url": f"http://127.0.0.1:{receiver.server_port}/"},
            outbox={"folder": folder / "outbox"},
            http={"listen": str(http)},
        )
        deliveries = Deliveries(config)
        seen = Seen(clock)
        sinks: list[Sink] = [seen, *deliveries.open(["room"], bundle.contract, HOP_S, stack)[0]]
        sinks.append(Evidence(folder / "evidence", bundle, "blur", 5.0, Retention(megabytes=20)))
        if save_video:
            sinks.append(OverlayVideo(folder / "seen.mp4", bundle.contract, METHOD))
        journal = stack.enter_context(closing(Journal(folder / "journal")))
        camera = ScriptedCamera(script(reconnects), clock, name="room")
        source = Reconnecting("room", camera.open, clock=clock, rng=random.Random(0))
        sampler = Sampler(lambda: seen.now_s, http, listener)
        began_s = time.monotonic()
        runtime = Runtime(
            bundle,
            backend,
            Explainer(bundle, backend, METHOD),
            hop_s=HOP_S,
            journal=journal,
            privacy="blur",
            clock=clock,
        )
        (end,) = runtime.watch([CameraSpec(source, None, sinks)])
        took_s = time.monotonic() - began_s
        sampler.close()
        samples, arrived = sampler.samples, sampler.arrived
        journal.close()
        stored = [row for row in read_rows(folder / "journal", "records").rows if row.event]
        packs = len(list((folder / "evidence").iterdir()))
        video_mb = (folder / "seen.mp4").stat().st_size / 1e6 if save_video else 0.0
    hours = seen.now_s / 3600
    rows = [
        ("camera time, and how much faster than real", f"{hours:.2f} h, {seen.now_s / took_s:.0f} times"),
        ("connections", str(seen.online)),
        ("windows: due, done, not valid", f"{end.windows.due}, {end.windows.done}, {end.windows.invalid}"),
        ("labels of windows that are not valid", str(seen.wrong)),
        ("event messages in the journal", str(len(stored))),
        ("of these at the broker / at the webhook", f"{len(arrived)} / {len(set(receiver.ids))}"),
        ("evidence packs that are kept, of at most 20 MB", str(packs)),
        *([("annotated video", f"{video_mb:.0f} MB")] if save_video else []),
    ]
    for what, name in (("rss_mib", "resident MiB"), ("threads", "threads"), ("handles", "file handles")):
        first, last = (getattr(samples[int(share * (len(samples) - 1))], what) for share in (0.25, 1.0))
        rising, error = slope(samples, what)
        most = max(getattr(one, what) for one in samples)
        rows.append((name, f"{first:.0f} after a quarter, {last:.0f} at the end, at most {most:.0f}"))
        rows.append((f"{name} an hour of camera time", f"{rising:+.2f} ± {1.96 * error:.2f} (95 %)"))
    text = "\n".join(
        [
            f"# {reconnects} reconnects with every sink on" + (", and a video" if save_video else ""),
            "",
            f"{bundle.contract.name}, {backend.name} {backend.precision}, {METHOD}, a window every {HOP_S:g} s, "
            f"{FPS:g} frames/s, {date.today()}. Command: "
            f"`{shlex.join(['python', '-m', 'bench.faults.soak', *sys.argv[1:]])}`.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {what} | {figure} |" for what, figure in rows),
            "",
        ]
    )
    print(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    typer.run(main)

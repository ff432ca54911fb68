"""`stan-edge run`: watch cameras or videos."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stan_edge.cli.cameras import Asked
from stan_edge.cli.check_config import Given, Plan, take_defaults_from
from stan_edge.cli.options import (
    AllowFallback,
    BackendName,
    CropText,
    HopS,
    MethodName,
    Model,
    Person,
    Precision,
    Threads,
)
from stan_edge.cli.outlets import PARAMETERS as OUTLETS
from stan_edge.cli.outlets import (
    HomeAssistant,
    HttpAt,
    MqttCa,
    MqttPasswordFile,
    MqttUrl,
    MqttWindows,
    OutboxFolder,
    Outlets,
    WebhookSecretFile,
    WebhookUrl,
)
from stan_edge.cli.pictures import (
    DisplayHere,
    EvidenceDays,
    EvidenceFolder,
    EvidenceMb,
    EvidenceS,
    Pictures,
    PrivacyLevel,
    SaveTimeline,
    SaveVideo,
)
from stan_edge.retention import Retention

if TYPE_CHECKING:
    from stan_edge.backends.base import Backend
    from stan_edge.model.bundle import Bundle
    from stan_edge.model.contract import Contract, Method
    from stan_edge.pipeline.predictor import Explainer
    from stan_edge.sinks.base import Sink
    from stan_edge.sources import Feed

FAILED = 1


def command(
    source: Annotated[
        str | None,
        typer.Argument(help="Video file, folder of pictures, camera number, device path, URL or gst:PIPELINE."),
    ] = None,
    camera: Annotated[
        list[str] | None, typer.Option("--camera", help="The same as an option: --camera 0; repeat it for more.")
    ] = None,
    camera_file: Annotated[
        list[Path] | None,
        typer.Option("--camera-file", help="File that holds a camera's address, because it holds a password."),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="What a camera is called in records; one for each, in order.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="The clip that ships inside (drawn, not filmed).")] = False,
    model: Model = None,
    backend: BackendName = "auto",
    precision: Precision = "f32",
    threads: Threads = 0,
    allow_fallback: AllowFallback = False,
    method: MethodName = None,
    explain_class: Annotated[
        str | None,
        typer.Option("--explain-class", help="Explain this class in every window, not the one that it shows."),
    ] = None,
    hop_s: HopS = None,
    crop: CropText = None,
    person: Person = True,
    fps: Annotated[
        float | None, typer.Option("--fps", min=0.1, max=1000, help="Pictures a second of a folder of pictures.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a camera that is not there yet, instead of giving up at the start.")
    ] = False,
    realtime: Annotated[bool, typer.Option("--realtime", help="Play a file at its own pace, as a camera.")] = False,
    json_lines: Annotated[bool, typer.Option("--json", help="Records as JSON lines on stdout.")] = False,
    save_video: SaveVideo = None,
    save_timeline: SaveTimeline = None,
    display: DisplayHere = False,
    evidence: EvidenceFolder = None,
    evidence_s: EvidenceS = 5.0,
    evidence_days: EvidenceDays = Retention.days,
    evidence_mb: EvidenceMb = Retention.megabytes,
    privacy: PrivacyLevel = None,
    journal: Annotated[
        Path | None,
        typer.Option("--journal", help="Folder in which every record is kept on disk; see `stan-edge events`."),
    ] = None,
    journal_days: Annotated[
        float, typer.Option("--journal-days", min=0.0, help="Days that records are kept.")
    ] = Retention.days,
    journal_mb: Annotated[
        float, typer.Option("--journal-mb", min=1.0, help="Megabytes; alarms not yet exported are always kept.")
    ] = Retention.megabytes,
    mqtt: MqttUrl = None,
    mqtt_password_file: MqttPasswordFile = None,
    mqtt_ca: MqttCa = None,
    mqtt_windows: MqttWindows = None,
    home_assistant: HomeAssistant = False,
    webhook: WebhookUrl = None,
    webhook_secret_file: WebhookSecretFile = None,
    outbox: OutboxFolder = None,
    http: HttpAt = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            is_eager=True,
            callback=take_defaults_from,
            help="Configuration file (TOML); options given here and environment variables win over it.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check everything and say what would run; no camera is opened.")
    ] = False,
    context: typer.Context = None,  # type: ignore[assignment]  # a program calls without one
) -> None:
    """Watch a camera or a video, or several: what is happening, and which frames say so."""
    given = Given(context)
    asked_for = Asked(source, camera or (), camera_file or (), name or (), crop, wait, person, demo)
    cameras = asked_for.seen(given)
    pictures = Pictures.parse(
        save_video, save_timeline, display=display, evidence=evidence, evidence_s=evidence_s, privacy=privacy
    )
    pictures.check([(camera.name, camera.spec) for camera in cameras])
    with given.blamed_for(*OUTLETS):
        outlets = Outlets.parse(
            mqtt=mqtt,
            mqtt_password_file=mqtt_password_file,
            mqtt_ca=mqtt_ca,
            mqtt_windows=mqtt_windows,
            home_assistant=home_assistant,
            webhook=webhook,
            webhook_secret_file=webhook_secret_file,
            outbox=outbox,
            http=http,
        )

    from stan_edge.journal.writer import Journal
    from stan_edge.live.load_shedding import service_levels
    from stan_edge.live.runtime import CameraSpec, Runtime
    from stan_edge.model.bundle import open_bundle, shipped_bundle
    from stan_edge.person.detection import watching
    from stan_edge.sinks.base import Guarded
    from stan_edge.sinks.failures import Failures

    with given.blamed_for("model"):
        bundle = open_bundle(model or shipped_bundle())
    contract = bundle.contract
    chosen, target_class, hop_s = _meant(given, bundle, method, explain_class, hop_s)
    retention = Retention(journal_days, journal_mb)
    masks = contract.input.region == "mask" or pictures.privacy == "silhouette"

    def started() -> tuple[Backend, Explainer]:
        with given.blamed_for("backend", "precision"):
            return _start(bundle, chosen, backend, precision, threads=threads, allow_fallback=allow_fallback)

    if check:
        plan = Plan(cameras, bundle, hop_s, journal, retention, outlets)
        for number, its in enumerate(cameras):
            with _blamed_for_source(given, number):
                plan.check_camera(its)
        with given.blamed_for("journal", "outbox"):
            plan.check_places()
        with watching(masks=masks) if any(its.person for its in cameras) else nullcontext():
            print(plan.told(*started()))
        return
    stop = threading.Event()
    keep = Retention(evidence_days, evidence_mb)
    with ExitStack() as stack:
        sinks = [pictures.open(its.name, bundle, chosen, keep, stop, several=len(cameras) > 1) for its in cameras]
        # a wrong name is said before anything starts; a camera comes last, because unread it piles up old frames
        feeds = [stack.enter_context(closing(its.open(realtime=realtime, fps=fps))) for its in cameras]
        with given.blamed_for("journal"):
            kept = stack.enter_context(closing(Journal(journal, retention))) if journal else None
        _stop_on_signals(stop)
        engine, explainer = started()
        live = any(feed.live for feed in feeds)
        rungs = service_levels(bundle, engine, explainer) if live else ()
        trackers = [stack.enter_context(watching(masks=masks)) if its.person else None for its in cameras]
        texts = _text_sinks(contract, chosen, feeds, json_lines=json_lines)
        with given.blamed_for(*OUTLETS):
            others = outlets.open([feed.name for feed in feeds], contract, hop_s, stack)
        runtime = Runtime(
            bundle,
            engine,
            explainer,
            hop_s=hop_s,
            target_class=target_class,
            journal=kept,
            privacy=pictures.privacy,
            stop=stop,
            rungs=rungs,
        )
        ends = runtime.watch(
            [
                CameraSpec(feed, tracker, [*map(Guarded, its), text, Failures(), *map(Guarded, telling)])
                for feed, tracker, its, text, telling in zip(feeds, trackers, sinks, texts, others, strict=True)
            ]
        )
    _leave(FAILED if any(end.failed for end in ends) else 0)


def _leave(code: int) -> None:
    """A thread that hangs in a native call, such as one that opens a camera, must not hold up the end: that call may
    take ten seconds, and the interpreter may crash when it comes back to what has been taken down."""
    from stan_edge.sources.reader import THREAD_PREFIX

    if any(thread.name.startswith(THREAD_PREFIX) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if code:
        raise typer.Exit(code)


def _stop_on_signals(stop: threading.Event) -> None:
    """The first signal ends the run: what is in flight is finished and written, and the exit code is 0.
    A second one kills, as usual, should a native call hang."""

    def handle(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


def _blamed_for_source(given: Given, number: int) -> AbstractContextManager[None]:
    if given.cameras:
        return given.blamed_for_camera(number, "source")
    return given.blamed_for("camera", "camera_file")


def _meant(
    given: Given, bundle: Bundle, method: str | None, explain_class: str | None, hop_s: float | None
) -> tuple[Method, str | None, float]:
    from stan_edge.model.bundle import method_named
    from stan_edge.model.contract import shown_class
    from stan_edge.pipeline.windows import hop_ticks

    contract = bundle.contract
    with given.blamed_for("method"):
        chosen = method_named(bundle, method)
    with given.blamed_for("explain_class"):
        target_class = None if explain_class is None else shown_class(contract, explain_class)
    hop_s = contract.hop_s if hop_s is None else hop_s
    with given.blamed_for("hop_s"):
        hop_ticks(contract.input, hop_s)
    return chosen, target_class, hop_s


def _start(
    bundle: Bundle, method: Method, backend: str, precision: str, *, threads: int, allow_fallback: bool
) -> tuple[Backend, Explainer]:
    from stan_edge.parity import open_proven

    engine, (explainer,) = open_proven(
        bundle, (method,), backend, precision, threads=threads, allow_fallback=allow_fallback
    )
    return engine, explainer


def _text_sinks(contract: Contract, method: Method, feeds: Sequence[Feed], *, json_lines: bool) -> list[Sink]:
    if json_lines:
        from stan_edge.sinks.json_lines import JsonLines

        return [JsonLines(sys.stdout, live=feed.live) for feed in feeds]
    from rich.console import Console

    from stan_edge.sinks.console import ConsoleView, Screen

    screen = Screen(Console(), several=len(feeds) > 1)
    return [ConsoleView(screen, contract, method) for _ in feeds]

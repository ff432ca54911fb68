"""`stan-edge run`: watch a camera or a video."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    secret_in,
)
from stan_edge.cli.outlets import (
    PARAMETERS as OUTLETS,
)
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
from stan_edge.errors import ConfigError
from stan_edge.evidence.keep import Keep
from stan_edge.journal.retention import Retention

if TYPE_CHECKING:
    from stan_edge.backends import Backend
    from stan_edge.bundle import Bundle
    from stan_edge.contract import Contract, Method
    from stan_edge.explainer import Explainer
    from stan_edge.sinks import Sink
    from stan_edge.sources import Feed, Source

FAILED = 1


def command(
    source: Annotated[
        str | None,
        typer.Argument(help="Video file, folder of pictures, camera number, device path, URL or gst:PIPELINE."),
    ] = None,
    camera: Annotated[str | None, typer.Option("--camera", help="The same as an option: --camera 0.")] = None,
    camera_file: Annotated[
        Path | None,
        typer.Option("--camera-file", help="File that holds the camera's address, because it holds a password."),
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
    evidence_days: EvidenceDays = Keep.days,
    evidence_mb: EvidenceMb = Keep.megabytes,
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
    """Watch a camera or a video: what is happening, and which frames say so."""
    given = Given(context)
    with given.blamed_for("camera", "camera_file"):
        spec = _one_source(given, source, camera, camera_file, demo=demo)
    if save_video and save_video.exists() and Path(spec).exists() and save_video.samefile(spec):
        raise ConfigError(f"--save-video {save_video}: is the recording itself; give another name.")
    pictures = Pictures.parse(
        save_video, save_timeline, display=display, evidence=evidence, evidence_s=evidence_s, privacy=privacy
    )
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

    from stan_edge.bundle import open_bundle, shipped_bundle
    from stan_edge.journal.writer import Journal
    from stan_edge.pose import watching
    from stan_edge.runtime import Runtime
    from stan_edge.sources import Crop, Reconnecting, camera_name, is_camera, open_source

    with given.blamed_for("model"):
        bundle = open_bundle(model or shipped_bundle())
    contract = bundle.contract
    chosen, asked, hop_s = _meant(given, bundle, method, explain_class, hop_s)
    with given.blamed_for("crop"):
        cropped = Crop.parse(crop) if crop else None
    retention = Retention(journal_days, journal_mb)

    def started() -> tuple[Backend, Explainer]:
        with given.blamed_for("backend", "precision"):
            return _start(bundle, chosen, backend, precision, threads=threads, allow_fallback=allow_fallback)

    if check:
        plan = Plan(spec, cropped, wait, person, bundle, hop_s, journal, retention, outlets)
        with given.blamed_for("camera", "camera_file", "journal", "outbox"):
            plan.check_places()
        with watching(masks=contract.input.region == "mask") if person else nullcontext():
            print(plan.told(*started()))
        return
    stop = threading.Event()
    sinks = pictures.open(bundle, chosen, Keep(evidence_days, evidence_mb), stop)
    with ExitStack() as stack:

        def opened() -> Source:
            return open_source(spec, crop=cropped, realtime=realtime, fps=fps)

        # a wrong name is said before anything starts; a camera comes last, because unread it piles up old frames
        live = is_camera(spec)
        seen: Feed = Reconnecting(camera_name(spec), opened, wait=wait, crop=cropped) if live else opened()
        stack.enter_context(closing(seen))
        with given.blamed_for("journal"):
            kept = stack.enter_context(closing(Journal(journal, retention))) if journal else None
        _stop_on_signals(stop)
        engine, explainer = started()
        masks = contract.input.region == "mask" or pictures.privacy == "silhouette"
        tracker = stack.enter_context(watching(masks=masks)) if person else None
        sinks.append(_text_sink(contract, chosen, json_lines=json_lines, live=seen.live))
        with given.blamed_for(*OUTLETS):
            sinks += outlets.open(seen.name, contract, hop_s)
        runtime = Runtime(
            bundle,
            engine,
            explainer,
            sinks,
            hop_s=hop_s,
            asked=asked,
            journal=kept,
            privacy=pictures.privacy,
            stop=stop,
        )
        end = runtime.run(seen, tracker)
    if end.failed:
        print(f"stan-edge: {end.reason}", file=sys.stderr)
    _leave(FAILED if end.failed else 0)


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


def _one_source(given: Given, source: str | None, camera: str | None, camera_file: Path | None, *, demo: bool) -> str:
    from stan_edge.sources import demo_clip
    from stan_edge.sources.address import is_pipeline, parse_address

    named = {"source": source, "camera": camera, "camera_file": camera_file, "demo": demo_clip() if demo else None}
    everywhere = {name: where for name, where in named.items() if where is not None}
    said = {name: where for name, where in everywhere.items() if not given.in_file(name)} or everywhere
    if len(said) != 1:
        raise ConfigError(
            "Give one of: a video file, --camera NUMBER|DEVICE|URL, --camera-file FILE, --demo, "
            "or a configuration with one of camera.source and camera.source_file."
        )
    ((name, where),) = said.items()
    spec = secret_in("--camera-file", Path(where)) if name == "camera_file" else str(where)
    if "://" in spec and not is_pipeline(spec):
        parse_address(spec)
    return spec


def _meant(
    given: Given, bundle: Bundle, method: str | None, explain_class: str | None, hop_s: float | None
) -> tuple[Method, str | None, float]:
    from stan_edge.bundle import method_named
    from stan_edge.contract import shown_class
    from stan_edge.windows import hop_ticks

    contract = bundle.contract
    with given.blamed_for("method"):
        chosen = method_named(bundle, method)
    with given.blamed_for("explain_class"):
        asked = None if explain_class is None else shown_class(contract, explain_class)
    hop_s = contract.hop_s if hop_s is None else hop_s
    with given.blamed_for("hop_s"):
        hop_ticks(contract.input, hop_s)
    return chosen, asked, hop_s


def _start(
    bundle: Bundle, method: Method, backend: str, precision: str, *, threads: int, allow_fallback: bool
) -> tuple[Backend, Explainer]:
    from stan_edge.parity import open_proven

    engine, (explainer,) = open_proven(
        bundle, (method,), backend, precision, threads=threads, allow_fallback=allow_fallback
    )
    return engine, explainer


def _text_sink(contract: Contract, method: Method, *, json_lines: bool, live: bool) -> Sink:
    if json_lines:
        from stan_edge.sinks.json_lines import JsonLines

        return JsonLines(sys.stdout, live=live)
    from rich.console import Console

    from stan_edge.sinks.console import ConsoleView

    return ConsoleView(Console(), contract, method)

"""Everything that can be set of a run, each value once: its type, default, bounds, help and command-line flag."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from stan_edge.backends.base import BackendName, Precision
from stan_edge.config.fields import File, Option, Section, Source, Text, setting
from stan_edge.log import LogLevel
from stan_edge.model.contract import Method
from stan_edge.person.anonymize import Privacy
from stan_edge.retention import LONGEST_AROUND_S, Retention

MQTT_PASSWORD, WEBHOOK_SECRET = "STAN_EDGE_MQTT_PASSWORD", "STAN_EDGE_WEBHOOK_SECRET"
"""Environment variables that hold a secret where no file does."""
NO_CAMERA = (
    "Give one of: a video file, --camera NUMBER|DEVICE|URL, --camera-file FILE, --demo, "
    "or a configuration with one of camera.source and camera.source_file"
)


class CameraConfig(Section):
    """Where the pictures come from, and how they are looked at."""

    source: Source | None = setting(
        None, "--camera", "Camera number, device path, URL, gst:PIPELINE, or a recording; repeat it for more."
    )
    source_file: File | None = setting(
        None, "--camera-file", "File that holds a camera's address, because it holds a password."
    )
    name: Text | None = setting(None, "--name", "What a camera is called in records; one for each, in order.")
    crop: Text | None = setting(None, "--crop", "Part of the picture to use: X,Y,WIDTH,HEIGHT.")
    wait: bool = setting(False, "--wait", "Wait for a camera that is not there yet, instead of giving up at the start.")
    person: bool = setting(True, "--person/--no-person", "Find the person, or take the whole frame.")
    fps: float | None = setting(None, "--fps", "Pictures a second of a folder of pictures.", ge=0.1, le=1000)
    realtime: bool = setting(False, "--realtime", "Play a file at its own pace, as a camera.")

    @model_validator(mode="after")
    def _one_source(self) -> CameraConfig:
        if (self.source is None) == (self.source_file is None):
            raise ValueError("A camera has one of source and source_file; give one of them")
        return self


class ModelConfig(Section):
    """What judges them, and on which engine."""

    bundle: File | None = setting(None, "--model", "Model bundle; default: the one that ships inside.")
    method: Method | None = setting(
        None,
        "--method",
        "gradcam, staa-grad, or (experimental) vanilla, smoothgrad, streaming, staa; default: the model's first.",
    )
    target_class: Text | None = setting(
        None, "--target-class", "Explain this class in every window, not the one that it shows."
    )
    hop_s: float | None = setting(None, "--hop", "Seconds between windows; default: the model's.", gt=0)
    backend: BackendName = setting(
        "auto",
        "--backend",
        "auto, openvino, onnxruntime; on a GPU tensorrt, tensorrt-rtx, onnxruntime-cuda.",
    )
    precision: Precision = setting("f32", "--precision", "f32, bf16 or f16.")
    threads: int = setting(0, "--threads", "Threads of the engine; 0: it chooses.", ge=0, le=1024)
    allow_fallback: bool = setting(
        False, "--allow-fallback", "Take another backend when the one asked for is not there."
    )


class JournalConfig(Section):
    """What is kept on disk."""

    folder: File | None = setting(
        None, "--journal", "Folder in which every record is kept on disk; see `stan-edge events`."
    )
    days: float = setting(Retention.days, "--journal-days", "Days that records are kept.", ge=0)
    megabytes: float = setting(
        Retention.megabytes, "--journal-mb", "Megabytes; alarms not yet exported are always kept.", ge=1
    )


class EvidenceConfig(Section):
    """What is shown of an event."""

    panel = "Pictures (none leaves memory otherwise)"
    folder: File | None = setting(
        None, "--evidence", "Folder that gets a folder for every event: clip, pictures, records."
    )
    around_s: float = setting(
        5.0, "--evidence-s", "Seconds shown before an event, and after it.", ge=0, le=LONGEST_AROUND_S
    )
    days: float = setting(Retention.days, "--evidence-days", "Days that evidence is kept.", ge=0)
    megabytes: float = setting(
        Retention.megabytes, "--evidence-mb", "Megabytes of evidence; the oldest goes first.", ge=1
    )


class PicturesConfig(Section):
    """Other pictures, and what any picture shows of people."""

    panel = EvidenceConfig.panel
    video: File | None = setting(None, "--save-video", "Annotated video (.mp4); of several cameras NAME-CAMERA.mp4.")
    timeline: File | None = setting(None, "--save-timeline", "Timeline picture (.png); likewise.")
    display: bool = setting(False, "--display", "Show it on this machine's screen; q quits.")
    privacy: Privacy | None = setting(
        None,
        "--privacy",
        "How people are hidden in pictures: none, blur or silhouette; default: blur with --evidence, else none.",
    )


class MqttConfig(Section):
    """The MQTT broker that receives events and state."""

    panel = "Telling other systems"
    url: Text | None = setting(
        None, "--mqtt", "Broker: mqtt://user:password@host:1883/prefix; mqtts:// with TLS.", variable="STAN_EDGE_MQTT"
    )
    password_file: File | None = setting(
        None, "--mqtt-password-file", f"The password, where it is not in the address; or in {MQTT_PASSWORD}."
    )
    ca: File | None = setting(None, "--mqtt-ca", "Authorities to trust for mqtts (PEM); default: the system's.")
    window_every_s: float | None = setting(
        None, "--mqtt-windows", "Publish windows, too, at most one in so many seconds.", ge=0
    )
    home_assistant: bool = setting(False, "--home-assistant", "Announce the alarms to Home Assistant (MQTT).")


class WebhookConfig(Section):
    """The address that every event is posted to."""

    panel = MqttConfig.panel
    url: Text | None = setting(None, "--webhook", "POST every event there.", variable="STAN_EDGE_WEBHOOK")
    secret_file: File | None = setting(None, "--webhook-secret-file", f"Signs the requests; or in {WEBHOOK_SECRET}.")


class OutboxConfig(Section):
    """Where undelivered messages outlast a restart."""

    panel = MqttConfig.panel
    folder: File | None = setting(None, "--outbox", "Folder where undelivered events outlast a restart.")


class HttpConfig(Section):
    """Metrics and health."""

    panel = MqttConfig.panel
    listen: Text | None = setting(
        None, "--http", "Serve /metrics, /health/live and /health/ready.", metavar="HOST:PORT"
    )


class LogConfig(Section):
    """What is printed."""

    level: LogLevel = setting("info", "--log-level", "Least that is said on stderr: debug, info, warning or error.")
    json_lines: bool = setting(False, "--json", "Records as JSON lines on stdout.")


class RunConfig(Section):
    """A whole run. A TOML file says `[camera]`, or `[[camera]]` for each of several, for `cameras`."""

    cameras: Annotated[tuple[CameraConfig, ...], Field(strict=False)] = ()
    model: ModelConfig = Field(default_factory=ModelConfig)
    journal: JournalConfig = Field(default_factory=JournalConfig)
    evidence: EvidenceConfig = Field(default_factory=EvidenceConfig)
    pictures: PicturesConfig = Field(default_factory=PicturesConfig)
    mqtt: MqttConfig = Field(default_factory=MqttConfig)
    webhook: WebhookConfig = Field(default_factory=WebhookConfig)
    outbox: OutboxConfig = Field(default_factory=OutboxConfig)
    http: HttpConfig = Field(default_factory=HttpConfig)
    log: LogConfig = Field(default_factory=LogConfig)

    @model_validator(mode="after")
    def _fit_together(self) -> RunConfig:
        mqtt, webhook = self.mqtt, self.webhook
        if not self.cameras:
            raise _refused("cameras", NO_CAMERA)
        given = [name for name, value in mqtt if value not in (None, False)]
        if mqtt.url is None and given:
            raise _refused(f"mqtt.{given[0]}", "there is no broker; give --mqtt mqtt://host/prefix, or mqtt.url")
        if webhook.url is None and webhook.secret_file:
            raise _refused("webhook.secret_file", "there is nothing to sign; give --webhook URL, or webhook.url")
        if self.outbox.folder and mqtt.url is None and webhook.url is None:
            raise _refused("outbox.folder", "there is nothing to keep; give --mqtt or --webhook, or their sections")
        return self

    @property
    def privacy(self) -> Privacy:
        """What pictures show of people: evidence lies on a disk for weeks, so that it is blurred by default."""
        return self.pictures.privacy or ("blur" if self.evidence.folder else "none")


def _refused(field: str, reason: str) -> PydanticCustomError:
    return PydanticCustomError("together", "{reason}", {"reason": reason, "field": field})


SECTIONS: dict[str, type[Section]] = {"cameras": CameraConfig} | {
    name: field.annotation
    for name, field in RunConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
OPTIONS: dict[str, tuple[FieldInfo, Option]] = {
    f"{section}.{name}": (field, next(mark for mark in field.metadata if isinstance(mark, Option)))
    for section, fields in SECTIONS.items()
    for name, field in fields.model_fields.items()
}
"""Every field by its dotted name (`model.hop_s`; of cameras `cameras.crop`)."""

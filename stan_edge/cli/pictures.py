"""Options of `run` by which pictures leave memory, and the sinks they open."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from stan_edge.cli.options import choice
from stan_edge.errors import ConfigError
from stan_edge.person.anonymize import LEVELS, Privacy
from stan_edge.retention import LONGEST_AROUND_S, Retention

if TYPE_CHECKING:
    from stan_edge.model.bundle import Bundle
    from stan_edge.model.contract import Method
    from stan_edge.sinks.base import Sink

PANEL = "Pictures (none leaves memory otherwise)"

SaveVideo = Annotated[
    Path | None,
    typer.Option(
        "--save-video", rich_help_panel=PANEL, help="Annotated video (.mp4); of several cameras NAME-CAMERA.mp4."
    ),
]
SaveTimeline = Annotated[
    Path | None, typer.Option("--save-timeline", rich_help_panel=PANEL, help="Timeline picture (.png); likewise.")
]
DisplayHere = Annotated[
    bool, typer.Option("--display", rich_help_panel=PANEL, help="Show it on this machine's screen; q quits.")
]
EvidenceFolder = Annotated[
    Path | None,
    typer.Option(
        "--evidence", rich_help_panel=PANEL, help="Folder that gets a folder for every event: clip, pictures, records."
    ),
]
EvidenceS = Annotated[
    float,
    typer.Option(
        "--evidence-s",
        min=0.0,
        max=LONGEST_AROUND_S,
        rich_help_panel=PANEL,
        help="Seconds shown before an event, and after it.",
    ),
]
EvidenceDays = Annotated[
    float, typer.Option("--evidence-days", min=0.0, rich_help_panel=PANEL, help="Days that evidence is kept.")
]
EvidenceMb = Annotated[
    float,
    typer.Option("--evidence-mb", min=1.0, rich_help_panel=PANEL, help="Megabytes of evidence; the oldest goes first."),
]
PrivacyLevel = Annotated[
    str | None,
    typer.Option(
        "--privacy",
        rich_help_panel=PANEL,
        help="How people are hidden in pictures: none, blur or silhouette; default: blur with --evidence, else none.",
    ),
]


@dataclass(frozen=True)
class Pictures:
    """Where pictures go, and what they show of people: in one run, the same everywhere."""

    save_video: Path | None
    save_timeline: Path | None
    display: bool
    evidence: Path | None
    evidence_s: float
    privacy: Privacy

    @classmethod
    def parse(
        cls,
        save_video: Path | None,
        save_timeline: Path | None,
        *,
        display: bool,
        evidence: Path | None,
        evidence_s: float,
        privacy: str | None,
    ) -> Pictures:
        """Read the options.

        Raises:
            ConfigError: there is no such privacy.
        """
        default = "blur" if evidence else "none"
        level = cast(Privacy, choice("--privacy", default if privacy is None else privacy, *LEVELS))
        return cls(save_video, save_timeline, display, evidence, evidence_s, level)

    def check(self, cameras: Sequence[tuple[str, str]]) -> None:
        """Look whether they go together with these cameras.

        Args:
            cameras: name and source of each.

        Raises:
            ConfigError: a recording would be overwritten, or there is more to show than a display window can.
        """
        several = len(cameras) > 1
        if self.display and several:
            raise ConfigError(
                f"--display: shows one camera, and these are {len(cameras)}; use --save-video, or run each."
            )
        for name, spec in cameras:
            video = self.save_video and _of(self.save_video, name, several=several)
            if video and video.exists() and Path(spec).exists() and video.samefile(spec):
                raise ConfigError(f"--save-video {video}: is the recording itself; give another name.")

    def open(
        self, camera: str, bundle: Bundle, method: Method, keep: Retention, stop: threading.Event, *, several: bool
    ) -> list[Sink]:
        """Open everything for one camera.

        Args:
            several: there are others, so that its name is in those of its files.

        Raises:
            ConfigError: a file or folder cannot be written, or there is no screen.
        """
        contract = bundle.contract
        sinks: list[Sink] = []
        if self.save_video:
            from stan_edge.sinks.overlay import OverlayVideo

            sinks.append(OverlayVideo(_of(self.save_video, camera, several=several), contract, method))
        if self.save_timeline:
            from stan_edge.sinks.timeline_picture import TimelinePicture

            sinks.append(TimelinePicture(_of(self.save_timeline, camera, several=several), contract, method))
        if self.display:
            from stan_edge.sinks.display import Display

            sinks.append(Display(contract, method, stop))
        if self.evidence:
            from stan_edge.sinks.evidence import Evidence

            around_s = self.evidence_s
            sinks.append(Evidence(self.evidence, bundle, method, self.privacy, around_s=around_s, keep=keep))
        return sinks


def _of(path: Path, camera: str, *, several: bool) -> Path:
    """The file of one camera."""
    from stan_edge.files import plain_name

    return path.with_name(f"{path.stem}-{plain_name(camera)}{path.suffix}") if several else path

"""Sinks by which pictures leave memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from stan_edge.config.run_config import RunConfig
from stan_edge.errors import ConfigError, concerning
from stan_edge.files import plain_name
from stan_edge.live.cameras import PlannedCamera
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Method
from stan_edge.retention import Retention
from stan_edge.sinks.base import Sink


def check_pictures(config: RunConfig, cameras: Sequence[PlannedCamera]) -> None:
    """Look whether the pictures that are asked for go together with the cameras.

    Raises:
        ConfigError: a recording would be overwritten, or there is more to show than a display window can.
    """
    several = len(cameras) > 1
    if config.pictures.display and several:
        raise ConfigError(
            f"A screen shows one camera, and these are {len(cameras)}; use --save-video, or run each.",
            field="pictures.display",
        )
    for camera in cameras:
        video = config.pictures.video and _of_camera(config.pictures.video, camera.name, several=several)
        if video and video.exists() and Path(camera.spec).exists() and video.samefile(camera.spec):
            raise ConfigError(f"{video} is the recording itself; give another name.", field="pictures.video")


def open_picture_sinks(
    config: RunConfig, camera: str, bundle: Bundle, method: Method, stop: threading.Event
) -> list[Sink]:
    """Open everything for one camera.

    Args:
        camera: its name; in those of its files, where it is one of several.
        stop: is set when the user closes the display.

    Raises:
        ConfigError: a file or folder cannot be written, or there is no screen.
    """
    pictures, evidence, contract = config.pictures, config.evidence, bundle.contract
    several = len(config.cameras) > 1
    sinks: list[Sink] = []
    if pictures.video:
        from stan_edge.sinks.overlay import OverlayVideo

        with concerning("pictures.video"):
            sinks.append(OverlayVideo(_of_camera(pictures.video, camera, several=several), contract, method))
    if pictures.timeline:
        from stan_edge.sinks.timeline_picture import TimelinePicture

        with concerning("pictures.timeline"):
            sinks.append(TimelinePicture(_of_camera(pictures.timeline, camera, several=several), contract, method))
    if pictures.display:
        from stan_edge.sinks.display import Display

        with concerning("pictures.display"):
            sinks.append(Display(contract, method, stop))
    if evidence.folder:
        from stan_edge.sinks.evidence import Evidence

        keep = Retention(evidence.days, evidence.megabytes)
        with concerning("evidence.folder"):
            sinks.append(Evidence(evidence.folder, bundle, config.privacy, evidence.around_s, keep))
    return sinks


def _of_camera(path: Path, camera: str, *, several: bool) -> Path:
    """The file of one camera."""
    return path.with_name(f"{path.stem}-{plain_name(camera)}{path.suffix}") if several else path

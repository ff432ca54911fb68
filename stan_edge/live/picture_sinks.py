"""Sinks by which pictures leave memory."""

from __future__ import annotations

import threading
from pathlib import Path

from stan_edge.config.run_config import RunConfig
from stan_edge.errors import concerning
from stan_edge.files import plain_name
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Method
from stan_edge.retention import Retention
from stan_edge.sinks.base import Sink


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
    sinks: list[Sink] = []
    if pictures.video:
        from stan_edge.sinks.overlay import OverlayVideo

        sinks.append(OverlayVideo(file_of_camera(config, pictures.video, camera), contract, method))
    if pictures.timeline:
        from stan_edge.sinks.timeline_picture import TimelinePicture

        sinks.append(TimelinePicture(file_of_camera(config, pictures.timeline, camera), contract, method))
    if pictures.display:
        from stan_edge.sinks.display import Display

        sinks.append(Display(contract, method, stop))
    if evidence.folder:
        from stan_edge.sinks.evidence import Evidence

        keep = Retention(evidence.days, evidence.megabytes)
        with concerning("evidence.folder"):
            sinks.append(Evidence(evidence.folder, bundle, config.privacy, evidence.around_s, keep))
    return sinks


def file_of_camera(config: RunConfig, path: Path, camera: str) -> Path:
    """The file of one camera: with its name where it is one of several."""
    return path.with_name(f"{path.stem}-{plain_name(camera)}{path.suffix}") if len(config.cameras) > 1 else path

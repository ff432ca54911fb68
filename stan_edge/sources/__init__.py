"""Sources: whatever delivers frames, behind one interface."""

from __future__ import annotations

from pathlib import Path

from stan_edge.sources.camera import Camera
from stan_edge.sources.crop import Crop, CroppedSource
from stan_edge.sources.demo import demo_clip
from stan_edge.sources.frame import Frame, Image, Source
from stan_edge.sources.paced import PacedSource
from stan_edge.sources.reader import Reader
from stan_edge.sources.scripted import Black, Fail, Freeze, Gap, ScriptedSource, Show
from stan_edge.sources.video import VideoFile

__all__ = [
    "Black",
    "Camera",
    "Crop",
    "CroppedSource",
    "Fail",
    "Frame",
    "Freeze",
    "Gap",
    "Image",
    "PacedSource",
    "Reader",
    "ScriptedSource",
    "Show",
    "Source",
    "VideoFile",
    "demo_clip",
    "is_camera",
    "open_source",
]


def is_camera(spec: str) -> bool:
    """Whether a source is read live: an index, a device file, or an address, also that of a video that ends."""
    device = spec.startswith("/dev/") and not Path(spec).is_file()  # /dev/shm holds recordings
    return spec.isdecimal() or "://" in spec or device


def open_source(spec: str, *, crop: Crop | None = None, realtime: bool = False) -> Source:
    """Open a camera or a file.

    Args:
        spec: a camera index ("0"), a device ("/dev/video0"), an address ("rtsp://..."), or a video file.
        crop: the part of the picture to look at.
        realtime: play a file at its own pace, as a camera would; no effect on cameras.

    Raises:
        SourceError: it cannot be opened.
        ConfigError: the address cannot be parsed; from `read`, the crop does not fit into the picture.
    """
    source: Source
    if is_camera(spec):
        source = Camera(spec)
    else:
        source = VideoFile(Path(spec))
        if realtime:
            source = PacedSource(source)
    return source if crop is None else CroppedSource(source, crop)

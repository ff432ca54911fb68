"""Sources: cameras and recordings that deliver frames, behind one interface (`frame.Source`)."""

from __future__ import annotations

from pathlib import Path

from stan_edge.errors import ConfigError
from stan_edge.sources.address import camera_name, is_pipeline
from stan_edge.sources.camera import Camera
from stan_edge.sources.crop import Crop, CroppedSource
from stan_edge.sources.demo import demo_clip
from stan_edge.sources.frame import Feed, Frame, Segment, Source
from stan_edge.sources.image_folder import ImageFolder
from stan_edge.sources.paced import PacedSource
from stan_edge.sources.reader import Reader
from stan_edge.sources.reconnecting import Reconnecting
from stan_edge.sources.scripted import Black, Damage, Duplicate, Fail, Freeze, Gap, Jump, Off, ScriptedSource, Show
from stan_edge.sources.scripted_camera import ScriptedCamera
from stan_edge.sources.video import VideoFile

__all__ = [
    "Black",
    "Camera",
    "Crop",
    "CroppedSource",
    "Damage",
    "Duplicate",
    "Fail",
    "Feed",
    "Frame",
    "Freeze",
    "Gap",
    "ImageFolder",
    "Jump",
    "Off",
    "PacedSource",
    "Reader",
    "Reconnecting",
    "ScriptedCamera",
    "ScriptedSource",
    "Segment",
    "Show",
    "Source",
    "VideoFile",
    "camera_name",
    "demo_clip",
    "is_camera",
    "open_source",
]


def is_camera(spec: str) -> bool:
    """Whether a source is read live: an index, a device file, a pipeline, or an address, also that of a video that
    ends."""
    device = spec.startswith("/dev/") and not Path(spec).is_file()  # /dev/shm holds recordings
    return spec.isdecimal() or "://" in spec or is_pipeline(spec) or device


def open_source(
    spec: str,
    *,
    name: str | None = None,
    crop: Crop | None = None,
    realtime: bool = False,
    fps: float | None = None,
) -> Source:
    """Open a camera, once, or a recording.

    Args:
        spec: a camera index ("0"), a device ("/dev/video0"), an address ("rtsp://..."), a pipeline ("gst:..."), a video
            file, or a folder of pictures.
        name: what it calls itself; by default as `camera_name` says.
        crop: the part of the picture to look at.
        realtime: play a recording at its own pace, as a camera would; no effect on cameras.
        fps: the rate of a folder of pictures, which needs it.

    Raises:
        SourceError: it cannot be opened.
        ConfigError: the address cannot be parsed, or `fps` is missing or not asked for; from `read`, the crop does not
            fit into the picture.
    """
    folder = not is_camera(spec) and Path(spec).is_dir()
    if fps is not None and not folder:
        raise ConfigError(
            f"A rate is for a folder of pictures, and {camera_name(spec)} is none; leave it out.", field="cameras.fps"
        )
    opened = Camera(spec) if is_camera(spec) else ImageFolder(Path(spec), fps) if folder else VideoFile(Path(spec))
    opened.name = opened.name if name is None else name
    source: Source = PacedSource(opened) if realtime and not is_camera(spec) else opened
    return source if crop is None else CroppedSource(source, crop)

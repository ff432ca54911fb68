"""Which cameras a run watches: options of the command line, or one or more sections of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stan_edge.cli.options import secret_in
from stan_edge.errors import ConfigError

if TYPE_CHECKING:
    from stan_edge.cli.check_config import Given
    from stan_edge.sources import Crop, Feed

NO_CAMERA = (
    "Give one of: a video file, --camera NUMBER|DEVICE|URL, --camera-file FILE, --demo, "
    "or a configuration with one of camera.source and camera.source_file."
)


@dataclass(frozen=True)
class Seen:
    """One camera as it was asked for; it is not open yet."""

    spec: str
    """Holds its password."""
    name: str
    crop: Crop | None
    wait: bool
    person: bool

    def open(self, *, realtime: bool, fps: float | None) -> Feed:
        """What delivers its frames. A recording that is not there is said at once, a camera is opened by a read.

        Raises:
            SourceError: it is no recording that can be read.
            ConfigError: see `open_source`.
        """
        from functools import partial

        from stan_edge.sources import Reconnecting, is_camera, open_source

        opened = partial(open_source, self.spec, name=self.name, crop=self.crop, realtime=realtime, fps=fps)
        if is_camera(self.spec):
            return Reconnecting(self.name, opened, wait=self.wait, crop=self.crop)
        return opened()


@dataclass(frozen=True)
class Asked:
    """The options as they were given."""

    source: str | None
    cameras: Sequence[str]
    camera_files: Sequence[Path]
    names: Sequence[str]
    crop: str | None
    wait: bool
    person: bool
    demo: bool

    def seen(self, given: Given) -> list[Seen]:
        """The cameras to watch.

        Raises:
            ConfigError: there is none, an option cannot be meant, or two of them have the same name.
        """
        from stan_edge.live.runtime import refuse_same_names

        cameras = self._of_tables(given) or self._of_options(given)
        refuse_same_names([camera.name for camera in cameras])
        return cameras

    def _of_options(self, given: Given) -> list[Seen]:
        specs = self._specs(given)
        # a name in a file is that of the camera in it
        names = [] if given.in_file("name") and not given.in_file("camera", "camera_file") else self.names
        if names and len(names) != len(specs):
            raise ConfigError(
                f"--name: {len(names)} names for {len(specs)} cameras; give one for each, in the order of --camera, "
                "then --camera-file."
            )
        with given.blamed_for("crop"):
            crop = _crop(self.crop)
        return [
            _seen(spec, names[number] if names else None, crop, wait=self.wait, person=self.person)
            for number, spec in enumerate(specs)
        ]

    def _specs(self, given: Given) -> list[str]:
        from stan_edge.sources import demo_clip

        named: dict[str, Sequence[str | Path]] = {
            "source": [self.source] if self.source is not None else [],
            "camera": self.cameras,
            "camera_file": self.camera_files,
            "demo": [demo_clip()] if self.demo else [],
        }
        everywhere = {name: where for name, where in named.items() if where}
        said = {name: where for name, where in everywhere.items() if not given.in_file(name)} or everywhere
        of_cameras = set(said) == {"camera", "camera_file"} and not given.in_file("camera")
        with given.blamed_for("camera", "camera_file"):
            if len(said) != 1 and not of_cameras:
                raise ConfigError(NO_CAMERA)
            return [_spec(where, secret=name == "camera_file") for name, its in said.items() for where in its]

    def _of_tables(self, given: Given) -> list[Seen]:
        """Every [[camera]] of the file, unless the command line names cameras; its crop, waiting and person search are
        those of the command line where it says so."""
        if self.source is not None or self.cameras or self.camera_files or self.demo:
            return []
        found = []
        for number, table in enumerate(given.cameras):
            both = [where for where in (table.source, table.source_file) if where is not None]
            with given.blamed_for_camera(number, "source_file" if table.source_file else "source"):
                if len(both) != 1:
                    raise ConfigError("A camera has one of source and source_file; give one of them.")
                spec = _spec(both[0], secret=table.source is None)
            with given.blamed_for_camera(number, "crop"):
                crop = _crop(self.crop or table.crop)
            wait = self.wait or table.wait
            found.append(_seen(spec, table.name, crop, wait=wait, person=self.person and table.person))
        return found


def _seen(spec: str, name: str | None, crop: Crop | None, *, wait: bool, person: bool) -> Seen:
    from stan_edge.sources import camera_name

    return Seen(spec, camera_name(spec) if name is None else name, crop, wait, person)


def _crop(text: str | None) -> Crop | None:
    from stan_edge.sources import Crop

    return Crop.parse(text) if text else None


def _spec(where: str | Path, *, secret: bool) -> str:
    from stan_edge.sources.address import is_pipeline, parse_address

    spec = secret_in("--camera-file", Path(where)) if secret else str(where)
    if "://" in spec and not is_pipeline(spec):
        parse_address(spec)
    return spec

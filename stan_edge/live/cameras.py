"""The cameras of a configuration, not open yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stan_edge.config.run_config import CameraConfig
from stan_edge.errors import ConfigError, SourceNotFoundError, StanEdgeError
from stan_edge.sources import Crop, Feed, Reconnecting, camera_name, is_camera, open_source
from stan_edge.sources.address import is_pipeline, parse_address


@dataclass(frozen=True)
class PlannedCamera:
    """A camera whose address and crop can be used."""

    number: int
    config: CameraConfig
    spec: str
    """Holds its password."""
    name: str
    crop: Crop | None

    @classmethod
    def plan(cls, number: int, config: CameraConfig) -> PlannedCamera:
        """Read its address and crop.

        Raises:
            ConfigError: one cannot be used, or the file that holds the address cannot be read.
        """
        with _concerning_camera(number, "source" if config.source_file is None else "source_file"):
            spec = str(config.source) if config.source_file is None else read_secret(config.source_file)
            if "://" in spec and not is_pipeline(spec):
                parse_address(spec)
        with _concerning_camera(number, "crop"):
            crop = Crop.parse(config.crop) if config.crop else None
        return cls(number, config, spec, camera_name(spec) if config.name is None else config.name, crop)

    def check(self) -> None:
        """Look whether its recording is there; a camera may come later. Raises SourceNotFoundError."""
        if not is_camera(self.spec) and not Path(self.spec).exists():
            with _concerning_camera(self.number, "source"):
                raise SourceNotFoundError(f"There is no {self.spec}; give a camera, a video or a folder of pictures.")

    def open(self) -> Feed:
        """What delivers its frames. A recording that is not there is an error now, a camera is opened by a read.

        Raises:
            SourceError: it is no recording that can be read.
            ConfigError: see `open_source`.
        """
        config = self.config
        opened = partial(
            open_source, self.spec, name=self.name, crop=self.crop, realtime=config.realtime, fps=config.fps
        )
        if is_camera(self.spec):
            return Reconnecting(self.name, opened, wait=config.wait, crop=self.crop)
        with _concerning_camera(self.number, "source"):
            return opened()

    def describe(self) -> Iterator[tuple[str, str]]:
        """It in lines for people, without its password."""
        address = camera_name(self.spec)
        named = address if self.name == address else f"{self.name}: {address}"
        missing = " (not there now)" if self.spec.startswith("/dev/") and not Path(self.spec).exists() else ""
        part = f", part {self.crop}" if self.crop else ""
        waiting = "waited for" if self.config.wait else "must be there at the start"
        yield "camera", f"{named}{missing}{part}; {waiting}"
        yield "person", "found by MediaPipe" if self.config.person else "not looked for, the whole picture is taken"


@contextmanager
def _concerning_camera(number: int, field: str) -> Iterator[None]:
    """Errors are about this camera; those of a source say which field, but not which camera."""
    try:
        yield
    except StanEdgeError as error:
        section, _, name = (error.field or "").partition(".")
        error.field = f"cameras.{number}.{name if section == 'cameras' else field}"
        raise


def read_secret(file: Path) -> str:
    """The text of a file, without the end of its line; raises ConfigError, which does not repeat it."""
    try:
        secret = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{file} cannot be read ({reason}); give a text file.") from None
    if not secret:
        raise ConfigError(f"{file} is empty; put the secret into it.")
    return secret

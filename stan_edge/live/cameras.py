"""The cameras of a configuration, not open yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from stan_edge.config.run_config import CameraConfig
from stan_edge.errors import ConfigError, SourceNotFoundError, StanEdgeError
from stan_edge.sources import Crop, Feed, Reconnecting, camera_name, is_camera, open_source
from stan_edge.sources.address import is_pipeline, parse_address


class PlannedCamera:
    """A camera whose address and crop can be used.

    Args:
        number: its place among those of the configuration.

    Raises:
        ConfigError: one of them cannot be used, or the file that holds the address cannot be read.
    """

    def __init__(self, number: int, config: CameraConfig) -> None:
        self._number = number
        self.config = config
        with self._concerning():
            file = config.source_file
            self.spec = str(config.source) if file is None else read_secret(file, "cameras.source_file")
            """Holds its password."""
            if "://" in self.spec and not is_pipeline(self.spec):
                parse_address(self.spec)
            self._crop = Crop.parse(config.crop) if config.crop else None
        self.name = config.name or camera_name(self.spec)

    def open(self) -> Feed:
        """What delivers its frames. A recording that is not there is an error now, a camera is opened by a read.

        Raises:
            SourceError: it is no recording that can be read.
            ConfigError: see `open_source`.
        """
        config, crop = self.config, self._crop
        opened = partial(open_source, self.spec, name=self.name, crop=crop, realtime=config.realtime, fps=config.fps)
        if is_camera(self.spec):
            return Reconnecting(self.name, opened, wait=config.wait, crop=crop)
        with self._concerning():
            return opened()

    def describe(self) -> Iterator[tuple[str, str]]:
        """It in lines for people, without its password. A camera may come later; raises SourceNotFoundError where a
        recording is not there."""
        if not is_camera(self.spec) and not Path(self.spec).exists():
            with self._concerning():
                raise SourceNotFoundError(f"There is no {self.spec}; give a camera, a video or a folder of pictures.")
        address = camera_name(self.spec)
        named = address if self.name == address else f"{self.name}: {address}"
        missing = " (not there now)" if self.spec.startswith("/dev/") and not Path(self.spec).exists() else ""
        part = f", part {self._crop}" if self._crop else ""
        waiting = "waited for" if self.config.wait else "must be there at the start"
        yield "camera", f"{named}{missing}{part}; {waiting}"
        yield "person", "found by MediaPipe" if self.config.person else "not looked for, the whole picture is taken"

    @contextmanager
    def _concerning(self) -> Iterator[None]:
        """Errors are about this camera; those of a source may say which field, but not which camera."""
        try:
            yield
        except StanEdgeError as error:
            default = "source" if self.config.source_file is None else "source_file"
            error.field = f"cameras.{self._number}.{(error.field or default).removeprefix('cameras.')}"
            raise


def read_secret(file: Path, field: str) -> str:
    """The text of a file, without the end of its line; raises ConfigError, which does not repeat it."""
    try:
        secret = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{file} cannot be read ({reason}); give a text file.", field=field) from None
    if not secret:
        raise ConfigError(f"{file} is empty; put the secret into it.", field=field)
    return secret

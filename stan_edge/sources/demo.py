"""The short clip that comes with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from stan_edge.errors import ConfigError


def demo_clip() -> Path:
    """Path of the packaged clip.

    Raises:
        ConfigError: this installation does not hold it.
    """
    path = Path(str(files("stan_edge"))) / "shipped" / "demo.mp4"
    if not path.is_file():
        raise ConfigError(f"the demo clip {path} is missing; install stan-edge again or give a video of your own.")
    return path

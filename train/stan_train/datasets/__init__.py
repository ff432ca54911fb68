"""Collections of clips as they are published, read into manifest rows. One module a format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stan_edge.errors import ConfigError
from stan_train.datasets import folders, gmdcsa24, ntu, rehab, urfd
from stan_train.datasets.files import Refusal, is_video, videos, walk
from stan_train.manifest import REGION_SIDECAR, Clip

__all__ = ["FORMATS", "Refusal", "Scan", "detect", "scan"]


class Format(Protocol):
    """What a module here offers."""

    @property
    def READ_TOO(self) -> tuple[str, ...]:  # noqa: N802  (a constant of the module)
        """Name patterns of the files that are read beside videos."""
        ...

    def looks_like(self, folder: Path) -> bool:
        """Whether a folder seems to be laid out like this."""
        ...

    def read(self, folder: Path) -> Iterator[Clip | Refusal]:
        """Clips, and what cannot become one."""
        ...


FORMATS: dict[str, Format] = {
    "ntu": ntu,
    "gmdcsa24": gmdcsa24,
    "urfd": urfd,
    "rehab": rehab,
    "folders": folders,
}
"""By name; the most particular first, because the first that fits is taken."""
NO_DATA = ("README*", "LICEN[CS]E*", "*.md", f"*{REGION_SIDECAR}")
"""Files that nobody expects to become clips."""


@dataclass(frozen=True)
class Scan:
    """What was found in a folder."""

    format: str
    clips: tuple[Clip, ...]
    refusals: tuple[Refusal, ...]


def detect(folder: Path) -> str:
    """The name of the first format that a folder looks like.

    Raises:
        ConfigError: none fits.
    """
    for name, known in FORMATS.items():
        if known.looks_like(folder):
            return name
    raise ConfigError(
        f"{folder} looks like none of {', '.join(FORMATS)}; the simplest is a folder a class with its clips inside."
    )


def scan(folder: Path, name: str, on_video: Callable[[int, int], None]) -> Scan:
    """Read everything below a folder; what does not become a clip is named.

    Args:
        name: a format, or `auto`.
        on_video: called with (videos done, videos in all).

    Raises:
        ConfigError: the folder is not there, or the format is unknown.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; give the one that holds the clips.")
    if name != "auto" and name not in FORMATS:
        raise ConfigError(f"--format {name} is unknown; choose auto, {', '.join(FORMATS)}.")
    name = detect(folder) if name == "auto" else name
    total = len(videos(folder))
    clips: list[Clip] = []
    refusals: list[Refusal] = []
    done: set[Path] = set()
    on_video(0, total)
    for found in FORMATS[name].read(folder):
        if isinstance(found, Clip):
            clips.append(found)
        else:
            refusals.append(found)
        if is_video(found.path):
            done.add(found.path)
            on_video(min(len(done), total), total)
    mentioned = {clip.path for clip in clips} | {refusal.path for refusal in refusals}
    refusals += _left_over(folder, name, mentioned)
    on_video(total, total)
    return Scan(name, tuple(clips), tuple(refusals))


def _left_over(folder: Path, name: str, mentioned: set[Path]) -> Iterator[Refusal]:
    """Files that nobody has spoken of; one refusal for all of a kind in a folder: it may be 10,000 pictures."""
    kinds: Counter[tuple[Path, str]] = Counter()
    for path in walk(folder):
        if path in mentioned or any(path.match(pattern) for pattern in (*NO_DATA, *FORMATS[name].READ_TOO)):
            continue
        if is_video(path):
            yield Refusal(path, f"is not where {name} has its clips")
        else:
            kinds[path.parent, path.suffix] += 1
    for (parent, suffix), count in kinds.items():
        yield Refusal(parent / f"*{suffix}", f"{count} file{'s' * (count > 1)} that {name} does not read")

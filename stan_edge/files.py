"""Files that are there as a whole or not at all, their digests, and names that are safe to give them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stan_edge.errors import ConfigError

LONGEST_NAME = 80


def check_output(path: Path, field: str, suffix: str) -> None:
    """Refuse a file that cannot be written before anything runs.

    Raises:
        ConfigError: about this field: another suffix, a folder that is not there or may not be written to, or a folder
            of that name.
    """
    if path.suffix.lower() != suffix:
        raise ConfigError(f"{path}: only {suffix} can be written; give a name that ends in {suffix}.", field=field)
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist; make it first.", field=field)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path} cannot be written; choose another name or folder.", field=field)


def part_of(path: Path) -> Path:
    """The name that a file has while it is written."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name to write to: what lies there takes the place of `path` when the block ends well, and goes when not."""
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, field: str) -> Iterator[None]:
    """Raise a `ConfigError` for an `OSError` in the block, in which `path` is written.

    Args:
        field: that asks for the file, as `StanEdgeError.field`.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror or error}); make room or choose another folder.", field=field
        ) from error


def write_whole(path: Path, content: bytes, field: str) -> None:
    """Put a file in place at once.

    Raises:
        ConfigError: about this field: it cannot be written; nothing is left behind.
    """
    with writing(path, field), replacing(path) as part:
        part.write_bytes(content)


def sync(path: Path) -> None:
    """Make a file's content, or a folder's names, outlast a power cut.

    Raises:
        OSError: the disk does not let us.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def plain_name(text: str) -> str:
    """A name of ASCII letters, digits, `_` and `-`.

    Where letters are lost by that, or the end, it ends in six digits of its hash, so that no two fall together.
    """
    name = re.sub(r"[^A-Za-z0-9-]+", "_", text).strip("_")
    if not name or not text.isascii() or len(name) > LONGEST_NAME:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{name[:LONGEST_NAME]}_{digest[:6]}".strip("_")
    return name


def cache_folder() -> Path | None:
    """Where this machine keeps what can be made again; None without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stan-edge"
    except RuntimeError:
        return None

"""The folder in which packs lie: whole ones only, for so many days, and no more than so much."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from stan_edge.errors import ConfigError
from stan_edge.evidence.pack import ABOUT
from stan_edge.files import sync
from stan_edge.model.bundle import DIGESTS
from stan_edge.retention import Retention

PART = ".evidence-"
DAY_S = 86_400


class EvidenceFolder:
    """Adds packs to a folder that several runs may share. They can be read by their owner only.

    Raises:
        ConfigError: it cannot be such a folder.
    """

    def __init__(self, folder: Path, keep: Retention) -> None:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            why = error.strerror
            raise ConfigError(f"{folder} cannot be a folder ({why}); give one that you may write to.") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"{folder} may not be written to; give another folder.")
        self._folder, self._keep = folder, keep

    def add(self, name: str, write: Callable[[Path], None]) -> bool:
        """Have a pack written; it is there as a whole or not at all. False: it was there already, and stays.

        Raises:
            OSError: the disk does not let us.
        """
        if (self._folder / name).exists():
            return False
        part = self._folder / f"{PART}{os.getpid()}-{name}"
        with ExitStack() as stack:
            with _locked(self._folder):
                part.mkdir(mode=0o700)
                stack.enter_context(_locked(part))
            stack.callback(shutil.rmtree, part, ignore_errors=True)
            write(part)
            for path in (*part.iterdir(), part):
                sync(path)
            try:
                part.rename(self._folder / name)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return False
                raise
            sync(self._folder)
        return True

    def trim(self) -> None:
        """Delete what a killed run has left half-written, packs that are too old, and the oldest that do not fit. The
        newest stays.

        Raises:
            OSError: the disk does not let us.
        """
        with _locked(self._folder):
            packs = []
            for path in list(self._folder.iterdir()):
                if path.name.startswith(PART) and path.is_dir():
                    with suppress(BlockingIOError), _locked(path, fcntl.LOCK_NB):  # another run is writing it
                        shutil.rmtree(path)
                elif (path / ABOUT).is_file() and (path / DIGESTS).is_file():  # nothing else is ever touched
                    packs.append(((path / ABOUT).stat().st_mtime_ns, path))
            packs.sort()
            sizes = [sum(file.stat().st_size for file in path.iterdir()) for _, path in packs]
            too_large = sum(sizes) - self._keep.megabytes * 1e6
            older_than_ns = (time.time() - self._keep.days * DAY_S) * 1e9
            for (written_ns, path), size in zip(packs[:-1], sizes, strict=False):
                if written_ns >= older_than_ns and too_large <= 0:
                    break
                too_large -= size
                gone = path.rename(path.with_name(f"{PART}{path.name}"))  # killed now, the next trim goes on
                shutil.rmtree(gone)


@contextmanager
def _locked(folder: Path, flags: int = 0) -> Iterator[None]:
    """The whole folder, so that no part is taken for a leftover between its making and its lock; or a part."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(handle)

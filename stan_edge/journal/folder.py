"""The folder of a journal: that it can be one, and that only one run writes into it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from stan_edge.errors import ConfigError, JournalBusyError, JournalDamagedError
from stan_edge.journal.schema import FILE, check_file

LOCK = "journal.lock"
_DISK = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.ESTALE, errno.ENODEV}
"""What a disk does by itself; everything else is the fault of the folder that was chosen."""


def claim(folder: Path) -> int:
    """Make the folder if need be and lock it, until the handle that is returned is closed or the process ends.

    Raises:
        ConfigError: it cannot be a folder of ours.
        JournalError: it holds somebody else's database or a newer journal, or another run has claimed it.
        OSError: the disk does not let us.
    """
    try:
        folder.mkdir(exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno in _DISK:
            raise
        raise ConfigError(
            f"{folder} cannot be a journal's folder ({error.strerror}); give one that you may write to.",
            field="journal.folder",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (folder / FILE).exists():
            check_file(folder / FILE)
    except BlockingIOError as error:
        os.close(handle)
        raise JournalBusyError(
            f"{folder}: another run writes it; stop that one, or give another folder.", field="journal.folder"
        ) from error
    except JournalDamagedError:
        pass  # opening it repairs it
    except BaseException:
        os.close(handle)
        raise
    return handle

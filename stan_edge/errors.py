"""The exception tree. Whatever stan-edge raises on purpose ends the command with exit code 2, only a `SourceError` once
frames have flowed with 1.

Every message is one sentence that says what is wrong and what to do next. It does not say which option it is about:
that is `field`, because the same value may come from a flag, a variable or a line of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def one_line(text: str) -> str:
    """In one line that any terminal can print: names and answers that a message repeats may hold anything."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


class StanEdgeError(Exception):
    """Base of every error that stan-edge raises on purpose.

    Args:
        field: what it is about: a field of the configuration (`model.hop_s`, `cameras.1.source`), or an option that
            only one verb has (`--out`).
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field

    def __str__(self) -> str:
        return one_line(super().__str__())


@contextmanager
def concerning(field: str) -> Iterator[None]:
    """Errors that leave the block are about this field, where they do not say so themselves."""
    try:
        yield
    except StanEdgeError as error:
        error.field = error.field or field
        raise


class ConfigError(StanEdgeError):
    """An option, a configuration value or a missing extra."""


class SourceError(StanEdgeError):
    """Frames cannot be had from where they were asked for."""


class SourceConnectError(SourceError):
    """The camera, file or address cannot be opened."""


class SourceNotFoundError(SourceConnectError):
    """There is no such camera, file or path."""


class SourceAuthError(SourceError):
    """The camera refused the credentials."""


class SourceStalledError(SourceError):
    """The camera is open but delivers nothing."""


class SourceDecodeError(SourceError):
    """The stream is damaged, cut off, or no video at all."""


class CheckpointError(StanEdgeError):
    """Weights that do not fit the model."""


class BundleError(StanEdgeError):
    """A model bundle that must not be used."""


class ContractError(BundleError):
    """The contract is missing a field, has one of the wrong type, or an unknown schema."""


class DigestError(BundleError):
    """A file of the bundle is missing or is not the one that was exported."""


class ParityError(BundleError):
    """A backend does not reproduce the recorded float64 results."""


class BackendError(StanEdgeError):
    """The inference engine."""


class BackendUnavailableError(BackendError):
    """The engine, provider or precision asked for is not on this machine."""


class BackendFallbackError(BackendError):
    """The engine silently ran somewhere else than asked."""


class EngineFileError(BackendError):
    """A built engine that is damaged, or was built from or for something else."""


class JournalError(StanEdgeError):
    """A folder that holds no journal, or one that this version must not touch."""


class JournalBusyError(JournalError):
    """Another run writes this journal."""


class JournalDamagedError(JournalError):
    """The file of the journal is not what was written."""

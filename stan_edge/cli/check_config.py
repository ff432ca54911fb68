"""`stan-edge check-config`, and what `--config` of `run` does."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stan_edge.errors import ConfigError, JournalDamagedError, SourceNotFoundError, StanEdgeError

if TYPE_CHECKING:
    from stan_edge.backends.base import Backend
    from stan_edge.cli.cameras import Seen
    from stan_edge.cli.outlets import Outlets
    from stan_edge.configuration import CameraSection, Configuration
    from stan_edge.model.bundle import Bundle
    from stan_edge.pipeline.predictor import Explainer
    from stan_edge.retention import Retention


def command(
    file: Annotated[Path, typer.Argument(help="Configuration file (TOML), as `stan-edge run --config` takes it.")],
) -> None:
    """Check a configuration file and say what would run, without opening the camera."""
    from stan_edge.cli import run

    # the command itself reads it: what is checked is what runs
    alone = typer.Typer()
    alone.command()(run.command)
    typer.main.get_command(alone).main([f"--config={file}", "--check"], standalone_mode=False)


def take_defaults_from(context: typer.Context, file: Path | None) -> Path | None:
    """The callback of `--config`: its values become the defaults of the other options."""
    if file is not None:
        from stan_edge.configuration import read_configuration

        context.obj = read_configuration(file)
        several = {option.name for option in context.command.params if getattr(option, "multiple", False)}
        given = context.obj.options
        context.default_map = {name: [value] if name in several else value for name, value in given.items()}
    return file


class Given:
    """Where the options of a run were given: in a configuration file, or elsewhere.

    Args:
        context: of the command; None when a program calls it.
    """

    def __init__(self, context: typer.Context | None) -> None:
        self._context = context
        self._file: Configuration | None = context.obj if context else None

    @property
    def cameras(self) -> Sequence[CameraSection]:
        """Every [[camera]] of the file."""
        return self._file.cameras if self._file else ()

    def in_file(self, *parameters: str) -> bool:
        """Whether one's value is that of the file; what is said on the command line or in the environment wins."""
        return any(self._source(parameter) == "DEFAULT_MAP" for parameter in parameters)

    @contextmanager
    def blamed_for(self, *parameters: str) -> Iterator[None]:
        """Errors that one of these options causes name the file, the line and the field where it was given there."""
        try:
            yield
        except StanEdgeError as error:
            message = str(error)
            parameter = self._meant(message, parameters)
            if self._file is None or parameter is None:
                raise
            raise type(error)(f"{self._file.where(parameter)}: {_without_option(message)}") from error

    @contextmanager
    def blamed_for_camera(self, number: int, field: str) -> Iterator[None]:
        """Errors that a field of a [[camera]] causes name its place; what the command line says of all cameras is not
        the file's fault."""
        try:
            yield
        except StanEdgeError as error:
            if self._file is None or (field not in self.cameras[number].model_fields_set and self._given(field)):
                raise
            raise type(error)(f"{self._file.where_in_camera(number, field)}: {_without_option(str(error))}") from error

    def _meant(self, message: str, parameters: tuple[str, ...]) -> str | None:
        """The option that a message is about, where the file gives it: the first that is named, or any of them."""
        named = re.findall(r"--[a-z]+(?:-[a-z]+)*", message)
        given = [name for option in named for name in parameters if option == self._option(name) and self._given(name)]
        return next((name for name in given[:1] or parameters if self.in_file(name)), None)

    def _given(self, parameter: str) -> bool:
        return self._source(parameter) not in (None, "DEFAULT")

    def _source(self, parameter: str) -> str | None:
        source = self._context.get_parameter_source(parameter) if self._context else None
        return source and source.name

    def _option(self, parameter: str) -> str | None:
        its = (
            [known.opts[0] for known in self._context.command.params if known.name == parameter]
            if self._context
            else []
        )
        return its[0] if its else None


def _without_option(message: str) -> str:
    return re.sub(r"^--[a-z-]+:? ", "", message)


@dataclass(frozen=True)
class Plan:
    """What a run would do; nothing is open yet."""

    cameras: Sequence[Seen]
    bundle: Bundle
    hop_s: float
    journal: Path | None
    retention: Retention
    outlets: Outlets

    def check_camera(self, camera: Seen) -> None:
        """Look whether its recording is there. A camera may come later.

        Raises:
            SourceNotFoundError: it is not.
        """
        from stan_edge.sources import is_camera

        if not is_camera(camera.spec) and not Path(camera.spec).exists():
            raise SourceNotFoundError(f"There is no {camera.spec}; give a camera, a video or a folder of pictures.")

    def check_places(self) -> None:
        """Look at files and folders, changing nothing.

        Raises:
            ConfigError: the journal or the outbox cannot be written.
            JournalError: somebody else's database is where the journal would be, or a newer one.
        """
        from stan_edge.journal.schema import FILE, check_file

        # a journal makes the last part of its path, an outbox all of it
        for option, folder, made in (("--journal", self.journal, 1), ("--outbox", self.outlets.outbox, None)):
            if folder and not _can_be_written(folder, made):
                raise ConfigError(
                    f"{option} {folder}: is no folder that can be written, or made; make it, and give it to this user."
                )
        if self.journal and (self.journal / FILE).exists():
            with suppress(JournalDamagedError):  # a run repairs it
                check_file(self.journal / FILE)

    def told(self, engine: Backend, explainer: Explainer) -> str:
        """The same for people, without passwords."""
        contract, outlets = self.bundle.contract, self.outlets
        lines = {
            "model": f"{contract.name}: {', '.join(contract.classes)}",
            "method": f"{explainer.method}, every {self.hop_s:g} s",
            "engine": f"{engine.name} {engine.precision} on {engine.device}; scores are those of the model",
            "journal": f"{self.journal}, {self.retention.days:g} days, {self.retention.megabytes:g} MB"
            if self.journal
            else "none: what was seen is not kept",
        }
        if outlets.broker:
            lines["mqtt"] = f"{outlets.broker.host}:{outlets.broker.port}, {outlets.broker.prefix}/..."
        if outlets.hook:
            signed = "signed" if outlets.hook.secret else "not signed"
            lines["webhook"] = f"{outlets.hook.host}, {'TLS' if outlets.hook.tls else 'no TLS'}, {signed}"
        if outlets.outbox:
            lines["outbox"] = f"{outlets.outbox}"
        if outlets.http:
            lines["http"] = f"{outlets.http.host}:{outlets.http.port}"
        of_cameras = [line for camera in self.cameras for line in _told_of(camera)]
        return "\n".join(f"{name:8} {text}" for name, text in [*of_cameras, *lines.items()])


def _told_of(camera: Seen) -> Iterator[tuple[str, str]]:
    from stan_edge.sources import camera_name

    address = camera_name(camera.spec)
    named = address if camera.name == address else f"{camera.name}: {address}"
    missing = " (not there now)" if camera.spec.startswith("/dev/") and not Path(camera.spec).exists() else ""
    part = f", part {camera.crop}" if camera.crop else ""
    yield "camera", f"{named}{missing}{part}; {'waited for' if camera.wait else 'must be there at the start'}"
    yield "person", "found by MediaPipe" if camera.person else "not looked for, the whole picture is taken"


def _can_be_written(folder: Path, made: int | None) -> bool:
    """Whether it is a folder to write to, or can be made, with so many parts of its path (None: any number)."""
    candidates = [folder, *folder.absolute().parents[:made]]
    there = next((path for path in candidates if path.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)

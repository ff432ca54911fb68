"""Steps of a long run that are not done again after a kill."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from stan_edge.errors import ConfigError
from stan_edge.files import replacing
from stan_eval.result import Result

T = TypeVar("T")


class Steps:
    """What has been done, with its time; lasts beyond a kill."""

    def __init__(self, path: Path, console: Console) -> None:
        self._path, self._console = path, console
        self._seconds: dict[str, float] = {}
        self._rows: dict[str, Result] = {}
        if path.is_file():
            try:
                self._seconds, self._rows = pickle.loads(path.read_bytes())
            except (ImportError, AttributeError, EOFError, pickle.UnpicklingError) as error:
                raise ConfigError(
                    f"{path} was written by another version of stan-edge or is damaged ({error}); "
                    "choose another --out, or delete it to measure its rows again."
                ) from error

    @property
    def results(self) -> tuple[Result, ...]:
        return tuple(self._rows.values())

    @property
    def minutes(self) -> float:
        return sum(self._seconds.values()) / 60

    def row(self, name: str, make: Callable[[], Result]) -> None:
        """Make a row of the tables, unless it is there already."""
        if name not in self._rows:
            started_s = time.monotonic()
            self._rows[name] = make()
            self._took(name, time.monotonic() - started_s)

    def prepare(self, name: str, make: Callable[[], T]) -> T:
        """Do a step that keeps its own files."""
        started_s = time.monotonic()
        made = make()
        self._took(name, self._seconds.get(name, 0.0) + time.monotonic() - started_s)
        return made

    def _took(self, name: str, seconds: float) -> None:
        self._seconds[name] = seconds
        with replacing(self._path) as part:
            part.write_bytes(pickle.dumps((self._seconds, self._rows)))
        self._console.print(f"{name}: {seconds:.0f} s; {self.minutes:.1f} minutes in all")

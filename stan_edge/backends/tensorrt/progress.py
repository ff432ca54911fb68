"""A line on stderr while an engine is built, which takes seconds to minutes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from stan_edge.backends.tensorrt.build import OnStep


@contextmanager
def progress_line(what: str) -> Iterator[OnStep]:
    """Shows `what`, the phase of the build, its steps and the time; gone when the build is done."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def on_step(phase: str, done: int, steps: int) -> None:
            progress.update(task, description=f"{what}: {phase}", completed=done, total=steps or None)

        yield on_step

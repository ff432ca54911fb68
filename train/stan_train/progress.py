"""The one progress bar of long steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress_bar(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Gives a function that takes (done, of how many); the bar is gone at the end."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    shown = console.is_terminal and not console.quiet
    with Progress(
        TextColumn("{task.description}"), *columns, console=console, transient=True, disable=not shown
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def counting(on_done: Callable[[int, int], None], total: int) -> Callable[[], None]:
    """A function to be called once for each thing done, for those that do not count themselves."""
    done = itertools.count(1)
    return lambda: on_done(next(done), total)

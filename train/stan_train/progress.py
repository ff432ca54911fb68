"""Long steps: work shared by several processes, and the one progress bar."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stan_edge.errors import ConfigError


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


Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, on_done: Callable[[int, int], None]
) -> list[Result]:
    """The results in order of the jobs; the first exception ends the work, and so does a process that dies.

    Args:
        on_done: called with (jobs done, jobs in all), in order of the jobs.

    Raises:
        ConfigError: a process was killed.
    """
    results: list[Result] = []
    # spawn: a forked process inherits the thread pools of OpenCV and can deadlock
    with ProcessPoolExecutor(min(workers, max(len(jobs), 1)), mp_context=get_context("spawn")) as pool:
        try:
            for result in pool.map(work, jobs):
                results.append(result)
                on_done(len(results), len(jobs))
        except BrokenProcessPool as error:
            raise ConfigError(
                "A worker process was killed, most likely for want of memory; "
                "run the command again with fewer --workers: it goes on where it stopped."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # nobody waits for what is left after a failure or Ctrl-C
    return results

"""Work shared by several processes; one that dies is an error, not a wait without end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from stan_edge.errors import ConfigError

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, on_done: Callable[[int, int], None]
) -> list[Result]:
    """The results in order of the jobs; the first exception of any of them ends the work.

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

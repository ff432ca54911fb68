"""`stan-edge run`: watch cameras or videos."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stan_edge.cli.options import given_values, with_run_options
from stan_edge.config.origins import Given, load_config
from stan_edge.config.run_config import NO_CAMERA
from stan_edge.errors import ConfigError
from stan_edge.log import configure

if TYPE_CHECKING:
    from stan_edge.model.contract import Contract, Method
    from stan_edge.sinks.base import Sink
    from stan_edge.sources import Feed

FAILED = 1


@with_run_options
def command(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(help="Video file, folder of pictures, camera number, device path, URL or gst:PIPELINE."),
    ] = None,
    *,
    demo: Annotated[bool, typer.Option("--demo", help="The clip that ships inside (drawn, not filmed).")] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Configuration file (TOML); options given here and environment variables win over it.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check everything and say what would run; no camera is opened.")
    ] = False,
    **options: Any,
) -> None:
    """Watch a camera or a video, or several: what is happening, and which frames say so."""
    given = given_values(context, options)
    cameras = "cameras.source" in given or "cameras.source_file" in given
    if (source is not None) + demo + cameras > 1:
        raise ConfigError(f"{NO_CAMERA}.")
    if demo:
        from stan_edge.sources import demo_clip

        source = str(demo_clip())
    if source is not None:
        given["cameras.source"] = Given([source], None)
    run_config, origins = load_config(config, given, os.environ)
    configure(run_config.log.level)
    with origins.named():
        if check:
            from stan_edge.live.check import check as check_config

            print(check_config(run_config))
            return
        from stan_edge.live.run import run

        stop = threading.Event()
        _stop_on_signals(stop)
        ends = run(run_config, stop=stop, output=partial(_printed, run_config.log.json_lines))
    _leave(FAILED if any(end.failed for end in ends) else 0)


def _leave(code: int) -> None:
    """A thread that hangs in a native call, such as one that opens a camera, must not hold up the end: that call may
    take ten seconds, and the interpreter may crash when it comes back to what has been taken down."""
    from stan_edge.sources.reader import THREAD_PREFIX

    if any(thread.name.startswith(THREAD_PREFIX) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if code:
        raise typer.Exit(code)


def _stop_on_signals(stop: threading.Event) -> None:
    """The first signal ends the run: what is in flight is finished and written, and the exit code is 0.
    A second one kills, as usual, should a native call hang."""

    def handle(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


def _printed(json_lines: bool, feeds: Sequence[Feed], contract: Contract, method: Method) -> list[Sink]:
    """What each camera says on stdout."""
    if json_lines:
        from stan_edge.sinks.json_lines import JsonLines

        return [JsonLines(sys.stdout, live=feed.live) for feed in feeds]
    from rich.console import Console

    from stan_edge.sinks.console import ConsoleView, Screen

    screen = Screen(Console(), several=len(feeds) > 1)
    return [ConsoleView(screen, contract, method) for _ in feeds]

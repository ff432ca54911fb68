"""What people read on stderr: one printable line a message, and never at the cost of the run."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from stan_edge import log
from stan_edge.log import RateLimit, configure

LOGGER = logging.getLogger("stan_edge.somewhere")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    logger = logging.getLogger("stan_edge")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


def test_a_message_is_one_line_that_any_terminal_can_print(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    configure()  # not twice
    LOGGER.warning("camera %s: %s", "door\x1b[2J", "gone\nfor good \udcff")
    LOGGER.error("it failed", exc_info=ValueError("why"))
    LOGGER.debug("not shown")
    assert capsys.readouterr().err == (
        "stan-edge: camera door\\x1b[2J: gone\\nfor good \\udcff\nstan-edge: it failed\n"
    )


@pytest.mark.parametrize(("level", "shown"), [("error", 1), ("warning", 2), ("info", 3), ("debug", 4)])
def test_the_level_is_the_least_that_is_shown(
    capsys: pytest.CaptureFixture[str], level: log.LogLevel, shown: int
) -> None:
    configure(level)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        LOGGER.log(number, "a message")
    assert capsys.readouterr().err == "stan-edge: a message\n" * shown


def test_debug_has_the_traceback_of_what_nobody_expected(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        LOGGER.exception("it failed")
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1]) == ("stan-edge: it failed", "ZeroDivisionError: division by zero")


PROGRAM = """
import logging
from stan_edge.log import configure
{configure}
logging.getLogger("stan_edge.somewhere").warning("trouble")
logging.getLogger("stan_edge.somewhere").info("all is well")
print("done")
"""


@pytest.mark.parametrize(
    ("call", "errors"),
    [("", "trouble\n"), ("configure()", "stan-edge: trouble\nstan-edge: all is well\n")],
    ids=["a library", "the command"],
)
def test_a_program_that_does_not_set_up_logging_gets_warnings_only(call: str, errors: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(configure=call)], capture_output=True, text=True, check=True
    )
    assert (ran.stdout, ran.stderr) == ("done\n", errors)


@pytest.mark.parametrize("broken", ["closed", "full", "read by nobody"])
def test_a_stderr_that_takes_nothing_costs_no_run_and_nothing_goes_to_stdout(broken: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(configure="configure()")]
    if broken == "closed":
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    if broken == "read by nobody":
        reading, stderr = os.pipe()
        os.close(reading)
    else:
        stderr = os.open("/dev/full", os.O_WRONLY)
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
    os.close(stderr)
    assert (ran.returncode, ran.stdout) == (0, "done\n")


def test_a_text_is_repeated_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr("stan_edge.log.time.monotonic", lambda: now_s[0])
    rate = RateLimit()
    assert [rate.allows("a"), rate.allows("a"), rate.allows("b")] == [True, False, True]
    now_s[0] += log.REPEAT_S - 1
    assert not rate.allows("a")
    now_s[0] += 1
    assert [rate.allows("a"), rate.allows("a")] == [True, False]

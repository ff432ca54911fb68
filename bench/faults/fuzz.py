"""Hostile input for all that reads what others wrote: only errors of ours, in time, and nothing written elsewhere.

    python -m bench.faults.fuzz [--target video] [--share 0.1] [--out bench/results/fuzz.md]
    python -m bench.faults.fuzz --target video --number 123        # one case again, its error in full

Each target has a process of its own with its address space limited. A case that takes too long is killed and counted
as a hang, a process that dies as a crash, and the cases go on behind it. Files opened for writing outside of the case's
folder are noticed by an audit hook, those of native code by looking around afterwards.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shlex
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import psutil
import typer

from bench.faults.hostile import BrokenPromiseError, Target, rng_of
from bench.faults.hostile.targets import TARGETS
from stan_edge.errors import StanEdgeError

READY_S = 120.0
"""To import, and to make what is then damaged."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate")


@dataclass
class Tally:
    """What became of the cases of a target."""

    target: Target
    outcomes: Counter[str] = field(default_factory=Counter)
    bugs: list[tuple[int, str]] = field(default_factory=list)
    """Number of the case, and what it did."""
    slowest_s: float = 0.0
    most_mib: float = 0.0


def run_case(target: Target, case: Any, number: int) -> tuple[str, str | None]:
    """What became of a case, in a word, and its bug."""
    try:
        return case(rng_of(target.name, number)), None
    except StanEdgeError as error:
        sentence = str(error)
        if not sentence.strip() or any(ord(letter) < 32 for letter in sentence):
            return "bug", f"{type(error).__name__} says {sentence[:200]!r}"
        return type(error).__name__, None
    except BrokenPromiseError as broken:
        return "bug", str(broken)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "bug", f"{type(error).__name__}: {str(error)[:160]!r} at {Path(where.filename).name}:{where.lineno}"


def work(name: str, folder: str, numbers: list[int], results: Connection) -> None:
    """A process that runs cases."""
    target, home, written = TARGETS[name], Path(folder), list[str]()
    os.environ["XDG_CACHE_HOME"] = str(home / "cache")
    os.chdir(home)
    with target.prepare(home / "case") as case:
        watch_writing(home, written)
        if target.memory_mib is not None:
            taken = psutil.Process().memory_info().vms
            resource.setrlimit(resource.RLIMIT_AS, (taken + target.memory_mib * 2**20,) * 2)
        around = set(home.iterdir())
        # libpng and others say what they think of each case
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        results.send(("ready", "", None, 0.0, 0.0))
        for number in numbers:
            began_s = time.monotonic()
            outcome, bug = run_case(target, case, number)
            took_s = time.monotonic() - began_s
            if written:
                outcome, bug = "bug", f"wrote {written[0]}"
                written.clear()
            elif set(home.iterdir()) != around:
                outcome, bug = "bug", f"left {set(home.iterdir()) - around} outside of its folder"
                around = set(home.iterdir())
            results.send((number, outcome, bug, took_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10))
        results.send(("end", "", None, 0.0, 0.0))
    os._exit(0)  # threads in native calls that hang are no concern of the next target


def watch_writing(home: Path, written: list[str]) -> None:
    """Note what is opened for writing, made, renamed or deleted outside of a folder."""
    allowed = (str(home) + os.sep, "/dev/null", "/proc/self")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(path, str | bytes) or not flags & WRITING:
                return
        elif event in CHANGING:
            path = arguments[0]
        else:
            return
        full = os.path.realpath(os.fsdecode(path)) if isinstance(path, str | bytes) else ""
        if full and not full.startswith(allowed):
            written.append(f"{event} {full}")

    sys.addaudithook(note)


def fuzz(target: Target, numbers: list[int], folder: Path) -> Tally:
    """Run cases, whatever they do to their process."""
    tally, left, start = Tally(target), list(numbers), 0
    spawning = multiprocessing.get_context("spawn")
    while left:
        home = folder / f"{target.name}-{start}"
        (home / "case").mkdir(parents=True)
        start += 1
        ours, theirs = spawning.Pipe(duplex=False)
        process = spawning.Process(target=work, args=(target.name, str(home), left, theirs))
        process.start()
        theirs.close()
        limit_s = READY_S
        while True:
            if not ours.poll(limit_s):
                process.kill()
                tally.bugs.append((left[0], f"hangs: nothing for {limit_s:g} s"))
                break
            try:
                number, outcome, bug, took_s, mib = ours.recv()
            except EOFError:
                process.join()
                tally.bugs.append((left[0], f"crash: exit code {process.exitcode}"))
                break
            limit_s = target.limit_s
            if number == "ready":
                continue
            if number == "end":
                break
            left.pop(0)
            tally.outcomes[outcome] += 1
            tally.slowest_s, tally.most_mib = max(tally.slowest_s, took_s), max(tally.most_mib, mib)
            if bug is not None:
                tally.bugs.append((number, bug))
        process.join()
        if left:
            tally.outcomes["bug"] += 1
            left.pop(0)
    return tally


def row(tally: Tally) -> str:
    outcomes = Counter(tally.outcomes)
    bugs = outcomes.pop("bug", 0)
    taken = sum(count for outcome, count in outcomes.items() if not outcome.endswith("Error"))
    refused = ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common() if outcome.endswith("Error"))
    return (
        f"| {tally.target.name} | {tally.target.what} | {outcomes.total() + bugs} | {taken} | {refused or '-'} "
        f"| {bugs} | {tally.slowest_s:.2f} | {tally.most_mib:.0f} |"
    )


def again(target: Target, number: int, folder: Path) -> None:
    """One case in this process; its error is not caught."""
    (folder / "case").mkdir()
    with target.prepare(folder / "case") as case:
        print(case(rng_of(target.name, number)))


def main(
    target: Annotated[list[str] | None, typer.Option(help="Only this one, repeatable; default: all.")] = None,
    number: Annotated[int | None, typer.Option(help="Only this case of a target, in this process.")] = None,
    first: Annotated[int, typer.Option(help="Number of the first case.")] = 0,
    share: Annotated[float, typer.Option(help="Of the usual number of cases.")] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    chosen = [TARGETS[name] for name in target or TARGETS]
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        if number is not None:
            again(chosen[0], number, folder)
            return
        lines = [
            "# Hostile input",
            "",
            f"{date.today()}, cases {first} onwards. Command: "
            f"`{shlex.join(['python', '-m', 'bench.faults.fuzz', *sys.argv[1:]])}`. A case is made again by "
            "`--target NAME --number N`.",
            "",
            "| target | what is damaged | cases | taken | refused with | bugs | slowest, s | resident, MiB |",
            "|---|---|---|---|---|---|---|---|",
        ]
        bugs, cases = list[str](), 0
        for one in chosen:
            tally = fuzz(one, list(range(first, first + max(round(share * one.cases), 1))), folder)
            cases += tally.outcomes.total()
            lines.append(row(tally))
            print(lines[-1], flush=True)
            bugs += [f"- {one.name} {number}: {bug}" for number, bug in tally.bugs]
            print("\n".join(bugs[-20:]), flush=True)
    lines += ["", f"{cases} cases, {len(bugs)} bugs.", *([""] if bugs else []), *bugs]
    print("\n".join(lines))
    if out:
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    raise typer.Exit(1 if bugs else 0)


if __name__ == "__main__":
    typer.run(main)

"""What the journal survives: python bench/faults/journal.py --out bench/results/faults-journal.md

A process writes alarms and windows into a journal and prints each alarm once the journal has let it through. It is
killed (SIGKILL) at random moments and started again; and on a disk of its own (tmpfs; only root may mount one) another
file takes the last byte again and again. At the end every alarm that was printed is looked for in the journal.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path

import records
from small_disk import fill, small_disk

from stan_edge import log
from stan_edge.journal.reader import read_rows
from stan_edge.journal.writer import Journal
from stan_edge.records import Phase


def write(folder: Path, run: str, pause_s: float) -> None:
    """The process that is killed: an alarm after every five windows, until stdin is closed."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    log.configure()
    journal = Journal(folder)
    journal.record(records.start(run=run))
    for number in count():
        for k in range(5 * number, 5 * number + 5):
            journal.record(records.window(k))
        phases: tuple[Phase, ...] = ("start", "end")
        for phase in phases:
            began_s = time.perf_counter()
            journal.record(records.event(number, phase, run=run))
            print(f"{run}-{number}", phase, f"{(time.perf_counter() - began_s) * 1e3:.3f}", flush=True)
        if ended.wait(pause_s):
            break
    journal.record(records.end())
    journal.close()


def start(folder: Path, run: str, pause_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--write", str(folder), run, str(pause_s)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def announced(lines: str) -> list[tuple[str, str, float]]:
    """Alarms and milliseconds; the last line may be half there."""
    whole = [line.split() for line in lines.splitlines(keepends=True) if line.endswith("\n")]
    return [(event, phase, float(ms)) for event, phase, ms in whole]


def kills(folder: Path, times: int, rng: random.Random) -> dict[str, str]:
    alarms: list[tuple[str, str, float]] = []
    said: Counter[str] = Counter()
    for number in range(times):
        process = start(folder, f"kill{number}", 0.0)
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        killer = threading.Timer(rng.uniform(0, 0.3), process.send_signal, [signal.SIGKILL])
        killer.start()
        rest, errors = process.stdout.read(), process.stderr.read()  # stdin stays open: nothing but the kill ends it
        process.wait()
        alarms += announced(first + rest)
        said.update(sentence for sentence in ("cut off", "damaged", "no answer") if sentence in errors)
    return row(
        f"kill -9 while alarms are written, {times} times",
        folder,
        alarms,
        f"cut off {said['cut off']}, damaged {said['damaged']}, no answer from the disk {said['no answer']}",
    )


def fills(disk: Path, times: int, rng: random.Random) -> dict[str, str]:
    folder = disk / "journal"
    process = start(folder, "fill", 0.02)
    assert process.stdin is not None
    out: list[str] = []
    errors: list[str] = []
    readers = [
        threading.Thread(target=lambda lines=lines, kept=kept: kept.extend(lines), daemon=True)
        for lines, kept in ((process.stdout, out), (process.stderr, errors))
    ]
    for reader in readers:
        reader.start()
    while not out:
        time.sleep(0.01)
    for number in range(times):
        time.sleep(rng.uniform(0.2, 1.0))
        filling = fill(disk)
        wait_for(errors, 2 * number + 1)
        time.sleep(rng.uniform(0.0, 3.0))
        filling.unlink()
        wait_for(errors, 2 * number + 2)
    process.stdin.close()
    process.wait()
    for reader in readers:
        reader.join()
    full, room = (sum(word in sentence for sentence in errors) for word in ("cannot be written", "written again"))
    return row(
        f"a disk that is full, {times} times for up to 3 s",
        folder,
        announced("".join(out)),
        f"cannot be written {full}, can be again {room}",
    )


def row(fault: str, folder: Path, alarms: list[tuple[str, str, float]], said: str) -> dict[str, str]:
    stored = Counter((one.event, one.phase) for one in read_rows(folder, "records").rows if one.event is not None)
    waits_ms = sorted(ms for _, _, ms in alarms)
    return {
        "fault": fault,
        "alarms announced": f"{len(alarms)}",
        "of these missing": f"{sum((event, phase) not in stored for event, phase, _ in alarms)}",
        "there twice": f"{sum(times > 1 for times in stored.values())}",
        "said": said,
        "an alarm waits (ms)": f"p50 {quantile(waits_ms, 0.5)}, p99 {quantile(waits_ms, 0.99)}, max {waits_ms[-1]:.1f}",
    }


def quantile(ordered: list[float], share: float) -> str:
    return f"{ordered[int(share * (len(ordered) - 1))]:.1f}"


def wait_for(lines: list[str], number: int) -> None:
    until_s = time.monotonic() + 60
    while len(lines) < number:
        if time.monotonic() > until_s:
            raise TimeoutError(f"only {len(lines)} of {number} sentences: {lines}")
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--fills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(Path(given.write[0]), given.write[1], float(given.write[2]))
        return
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        rows = [kills(Path(scratch) / "killed", given.kills, rng)]
        if os.geteuid() == 0:
            with small_disk(Path(scratch) / "disk", 64) as disk:
                rows.append(fills(disk, given.fills, rng))
        else:
            print("the full disk was left out: only root may mount one", file=sys.stderr)
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    table = "\n".join(lines) + "\n"
    print(table, end="")
    if given.out:
        command = f"python bench/faults/journal.py --kills {given.kills} --fills {given.fills} --seed {given.seed}"
        given.out.write_text(f"`{command}`, {time.strftime('%Y-%m-%d')}\n\n{table}", encoding="utf-8")


if __name__ == "__main__":
    main()

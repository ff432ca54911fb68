"""A run without a camera, to be killed: prints `ID PHASE` of every alarm once the journal has let it through.

python announcer.py FOLDER RUN [EVENTS [PAUSE_S]]: with EVENTS it ends by itself.
"""

from __future__ import annotations

import sys
import time
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from bench.faults import records
from stan_edge import log
from stan_edge.journal.writer import Journal


def main(folder: str, run: str, events: str = "", pause_s: str = "0") -> None:
    log.configure()
    journal = Journal(Path(folder))
    journal.record(records.start(run=run))
    for number in range(int(events)) if events else count():
        for k in range(5):
            journal.record(records.window(5 * number + k))
        for phase in ("start", "update", "end"):
            record = records.event(number, phase, run=run)
            journal.record(record)
            if phase != "update":
                print(record.id, phase, flush=True)
        time.sleep(float(pause_s))
    journal.record(records.end())
    journal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What a calibration chose and how sure one can be of it, for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from stan_edge.model.contract import Contract
from stan_eval.calibration.alarm_thresholds import Hysteresis
from stan_eval.calibration.choices import Chosen


def print_report(console: Console, chosen: Chosen, contract: Contract, false_alarms_per_hour: float) -> None:
    """Print temperature, frame figures, a row for each alarm, and every limit of the data in a sentence."""

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False)

    t = chosen.temperature
    say(f"temperature {t.value:.3f}: {t.nll_before:.3f} -> {t.nll_after:.3f} nats on {chosen.windows} windows")
    if t.at_bound:
        say("  the clips ask for a temperature beyond the bounds: too few, or all as in training", "yellow")
    for method, found in chosen.methods.items():
        say(f"{method}: {found.figures}")
    for method in contract.methods:
        if method not in chosen.methods:
            say(f"{method}: kept as it was, though the temperature has changed", "yellow")
    columns = ("alarm", "enter", "leave", "lasts s", "gap s", "found", "delay s", "false alarms", "per hour")
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for name, row in chosen.events.items():
        rate = row.false_alarms_per_hour
        table.add_row(
            name.replace("_", " "),
            *(f"{value:.2f}" for value in (row.spec.enter, row.spec.leave)),
            *(f"{value:.1f}" for value in (row.spec.min_duration_s, row.spec.merge_gap_s)),
            f"{row.found} of {row.events}",
            "-" if row.delay_s is None else f"{row.delay_s:.2f}",
            f"{row.false_alarms} in {row.negative_minutes:.1f} min",
            "-" if rate is None else f"{rate:.2f}",
        )
    console.print(table)
    for name, row in chosen.events.items():
        for sentence in limits(name, row, false_alarms_per_hour):
            say(sentence, "yellow")


def limits(name: str, row: Hysteresis, target_per_hour: float) -> list[str]:
    """What the clips cannot say of an alarm."""
    found = []
    if row.resolution_per_hour is None:
        return [f"{name}: no minute without it, nothing is known about false alarms."]
    if not row.rate_reached:
        found.append(
            f"{name}: no setting keeps {target_per_hour:g} false alarms an hour on these clips; the one with the "
            f"fewest was taken, {row.false_alarms_per_hour:.2f} an hour."
        )
    if row.resolution_per_hour > target_per_hour:
        found.append(
            f"{name}: with {row.negative_minutes:.1f} minutes without it, no rate below "
            f"{row.resolution_per_hour:.1f} an hour can be told apart from zero."
        )
    if row.events == 0:
        found.append(f"{name}: no event is marked in the clips, nothing is known about what is found.")
    return found

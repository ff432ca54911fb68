"""The last steps of writing a bundle: contract, model card, digests, and the whole folder in its place at once.

The card says what a model was made of, what it reached, and what nobody knows about it (arXiv 1810.03993).
"""

from __future__ import annotations

from pathlib import Path

from stan_edge.model.bundle import CONTRACT, write_digests
from stan_edge.model.contract import CalibrationRecord, Contract, write_contract

CARD = "card.md"


def seal(folder: Path, contract: Contract) -> None:
    """Write contract and model card, and record the digest of every file."""
    write_contract(folder / CONTRACT, contract)
    write_card(folder, contract)
    write_digests(folder)


def put_in_place(part: Path, out: Path) -> None:
    """Move a finished folder to `out`; what was there before goes beside `part`, and comes back if that fails."""
    old = part.with_name("old")
    if out.exists():
        out.replace(old)
    try:
        part.replace(out)
    except OSError:
        if old.exists():
            old.replace(out)
        raise


def write_card(folder: Path, contract: Contract) -> None:
    """Write the card of a bundle from its contract; figures of an earlier one are gone, they may not hold any more."""
    (folder / CARD).write_text(_card(contract), encoding="utf-8")


def _card(contract: Contract) -> str:
    spec = contract.input
    lines = [
        f"# {contract.name}",
        "",
        "Not a medical device: nobody should rely on it to notice an emergency.",
        "",
        "## What it says",
        "",
        f"- Classes: {', '.join(contract.classes)}; alarms: {', '.join(contract.alarms)}.",
        f"- Of {spec.frames} frames over {spec.window_s:g} s, every {contract.hop_s:g} s; {spec.size_px} x "
        f"{spec.size_px} pixels around the person ({spec.framing}, view {spec.view}, region {spec.region}).",
        f"- Explained by {', '.join(contract.methods)}.",
        "",
        "## What it was made of",
        "",
        *(f"- {key.replace('_', ' ')}: {text}" for key, text in contract.provenance.items()),
        "",
        "## Calibration",
        "",
        *(_calibration(contract.calibration, contract) if contract.calibration else ["Not calibrated on clips."]),
    ]
    return "\n".join(lines) + "\n"


def _calibration(record: CalibrationRecord, contract: Contract) -> list[str]:
    lines = [
        f"- Data: {record.data}, {record.clips} clips, {record.windows} windows, {record.minutes:.1f} minutes; "
        f"sha256 {record.data_sha256}.",
        "- These clips chose the figures below: expect less on others, and less still if it was trained on them.",
        f"- Temperature {contract.temperature:.2f}. Hysteresis for at most {record.false_alarms_per_hour_target:g} "
        "false alarms an hour of each class (* not reached on these clips):",
        "",
        "| alarm | enter | leave | for s | found | false alarms in minutes |",
        "|---|---|---|---|---|---|",
    ]
    for alarm, events in contract.events.items():
        figures = record.figures.get(alarm, {})
        found = f"{_whole(figures.get('found'))} of {_whole(figures.get('events'))}"
        false = f"{_whole(figures.get('false_alarms'))} in {figures.get('negative_minutes') or 0:.1f}"
        false += "*" * ((figures.get("false_alarms_per_hour") or 0.0) > record.false_alarms_per_hour_target)
        lines.append(
            f"| {alarm} | {events.enter:.2f} | {events.leave:.2f} | {events.min_duration_s:g} | {found} | {false} |"
        )
    return lines


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"

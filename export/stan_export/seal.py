"""The last steps of writing a bundle: contract, digests, and the whole folder in its place at once."""

from __future__ import annotations

from pathlib import Path

from stan_edge.model.bundle import CONTRACT, write_digests
from stan_edge.model.contract import Contract, write_contract
from stan_export.card import write_card


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

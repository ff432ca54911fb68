"""What a configuration would run, without opening a camera and without changing anything."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from pathlib import Path

from stan_edge.config.run_config import RunConfig
from stan_edge.errors import ConfigError, JournalDamagedError, concerning
from stan_edge.journal.schema import FILE, check_file
from stan_edge.live.plan import Plan
from stan_edge.person.detection import watching


def check(config: RunConfig) -> str:
    """Look whether a configuration can run.

    Returns:
        What would run, in lines for people and without passwords.

    Raises:
        StanEdgeError: it cannot; `field` says why.
    """
    plan = Plan(config)
    lines = [line for camera in plan.cameras for line in camera.describe()]
    _check_folders(config)
    with watching(masks=plan.masks) if any(camera.person for camera in config.cameras) else nullcontext():
        engine, _ = plan.open_engine()
    contract, journal, deliveries = plan.bundle.contract, config.journal, plan.deliveries
    kept = f"{journal.folder}, {journal.days:g} days, {journal.megabytes:g} MB"
    lines += [
        ("model", f"{contract.name}: {', '.join(contract.classes)}"),
        ("method", f"{plan.method}, every {plan.hop_s:g} s"),
        ("engine", f"{engine.name} {engine.precision} on {engine.device}; scores are those of the model"),
        ("journal", kept if journal.folder else "none: what was seen is not kept"),
    ]
    if broker := deliveries.broker:
        lines.append(("mqtt", f"{broker.host}:{broker.port}, {broker.prefix}/..."))
    if hook := deliveries.webhook:
        tls, signed = "TLS" if hook.tls else "no TLS", "signed" if hook.secret else "not signed"
        lines.append(("webhook", f"{hook.host}, {tls}, {signed}"))
    if config.outbox.folder:
        lines.append(("outbox", f"{config.outbox.folder}"))
    if http := deliveries.http:
        lines.append(("http", f"{http.host}:{http.port}"))
    return "\n".join(f"{name:8} {text}" for name, text in lines)


def _check_folders(config: RunConfig) -> None:
    """Raises ConfigError where the journal or the outbox cannot be written, JournalError where a foreign or newer
    database is in the journal's place."""
    journal = config.journal.folder
    # a journal makes the last part of its path, an outbox all of it
    for field, folder, made in (("journal.folder", journal, 1), ("outbox.folder", config.outbox.folder, None)):
        if folder and not _can_be_written(folder, made):
            raise ConfigError(
                f"{folder} is no folder that can be written, or made; make it, and give it to this user.", field=field
            )
    if journal and (journal / FILE).exists():
        # a run repairs a damaged one
        with concerning("journal.folder"), suppress(JournalDamagedError):
            check_file(journal / FILE)


def _can_be_written(folder: Path, made: int | None) -> bool:
    """Whether it is a folder to write to, or can be made, with so many parts of its path (None: any number)."""
    there = next((path for path in (folder, *folder.absolute().parents[:made]) if path.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)

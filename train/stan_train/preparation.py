"""From options to decoded clips: chosen, split, rendered where there are none, and cached."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_fabric import Fabric
from rich.console import Console

from stan_edge.errors import CheckpointError, ConfigError, StanEdgeError
from stan_train.augment import AugmentConfig
from stan_train.cache import CachedClip, build_cache
from stan_train.manifest import Clip
from stan_train.options import DataOptions, FitConfig, MachineOptions, ModelOptions
from stan_train.progress import progress_bar
from stan_train.run_state import STATE
from stan_train.splits import Parts, split, synthetic_parts
from stan_train.synthetic import ACTIVITIES


@dataclass(frozen=True)
class Prepared:
    """What is learnt from."""

    classes: tuple[str, ...]
    training: list[CachedClip]
    validation: list[CachedClip]


def prepare(
    out: Path,
    data: DataOptions,
    model: ModelOptions,
    fit_config: FitConfig,
    augment: AugmentConfig,
    machine: MachineOptions,
    console: Console,
) -> Prepared:
    """Choose the clips, rendering them where there are none, and decode them."""
    _claim_folder(out, asdict(data) | asdict(model) | asdict(fit_config) | asdict(augment))
    if data.data or data.also:
        parts = split(data, fit_config.seed)
    else:
        # "drawn": where runs that may be continued have them
        parts = synthetic_parts(out / "drawn", data, fit_config.seed, machine.workers, console)
    classes = _classes(parts)
    if (out / STATE).is_file():
        parts.require_same(out)
    parts.write(out)
    folder = machine.cache or out / "cache"
    return Prepared(
        classes,
        _cached(parts.train, folder, machine.workers, "training", console),
        _cached(parts.val, folder, machine.workers, "validation", console),
    )


def prepared_by_first(fabric: Fabric, work: Callable[[], Prepared]) -> Prepared | None:
    """What the first process prepares, in every process; None in the others when it could not, which it alone says."""
    found, failure = None, None
    with fabric.rank_zero_first():  # the others wait here, however long it takes
        if fabric.global_rank == 0:
            try:
                found = work()
            except StanEdgeError as error:
                failure = error
    found = fabric.broadcast(found)
    if failure is not None:
        raise failure
    return found


def _classes(parts: Parts) -> tuple[str, ...]:
    """Background first, then the names of the synthetic activities in their order, then the rest by name."""
    order = {name: number for number, name in enumerate(ACTIVITIES)}
    classes = tuple(sorted({clip.label for clip in parts.train}, key=lambda name: (order.get(name, len(order)), name)))
    if len(classes) < 2:
        raise ConfigError(f"The clips show {', '.join(classes) or 'nothing'} only; there is nothing to tell apart.")
    unseen = sorted({clip.label for clip in parts.val} - set(classes))
    if unseen:
        raise ConfigError(
            f"The clips held out for validation show {unseen[0]!r}, which no training clip shows; "
            "add clips of it to --data, or leave it out of --val."
        )
    return classes


def _claim_folder(out: Path, options: dict[str, object]) -> None:
    """Note in the run folder what is trained there, and refuse to go on with anything else once it has begun.

    Raises:
        CheckpointError: the folder holds a run with other options.
    """
    wanted = json.dumps(options, default=str, indent=2) + "\n"
    note = out / "options.json"
    if (out / STATE).is_file() and note.is_file() and note.read_text(encoding="utf-8") != wanted:
        raise CheckpointError(f"{out} holds a run with other options (options.json); choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(wanted, encoding="utf-8")


def _cached(clips: Sequence[Clip], folder: Path, workers: int, what: str, console: Console) -> list[CachedClip]:
    with progress_bar(f"decoding {len(clips)} {what} clips", console) as on_clip:
        cached, refused = build_cache(clips, folder, workers, on_clip)
    for refusal in refused:
        console.print(f"left out: {refusal.reason}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{what}: {len(cached)} clips" + (f", {len(refused)} left out" if refused else ""))
    if not cached:
        raise ConfigError(f"None of the {what} clips can be used; the reasons are above.")
    return cached

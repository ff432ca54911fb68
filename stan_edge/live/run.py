"""A whole run of a configuration: cameras, model, journal and sinks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

from stan_edge.config.run_config import RunConfig
from stan_edge.errors import concerning
from stan_edge.journal.writer import Journal
from stan_edge.live.load_shedding import service_levels
from stan_edge.live.picture_sinks import open_picture_sinks
from stan_edge.live.plan import Plan
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.contract import Contract, Method
from stan_edge.person.detection import watching
from stan_edge.records import End
from stan_edge.retention import Retention
from stan_edge.sinks.base import Failures, Guarded, Sink
from stan_edge.sources import Feed

Output = Callable[[Sequence[Feed], Contract, Method], Sequence[Sink]]
"""Makes one more sink for each camera, in their order, as the command's text on stdout."""


def run(config: RunConfig, *, stop: threading.Event | None = None, output: Output | None = None) -> list[End]:
    """Watch the cameras of a configuration until each has ended.

    Args:
        stop: ends the run when it is set; what is in flight is finished and written.
        output: makes sinks that receive everything too.

    Returns:
        How each camera ended.

    Raises:
        StanEdgeError: something cannot be used, `field` says what; or see `Runtime.watch`.
    """
    stop = stop or threading.Event()
    plan = Plan(config)
    bundle, contract = plan.bundle, plan.bundle.contract
    with ExitStack() as stack:
        # a wrong file name is an error before anything starts; a camera comes last, because unread it piles up frames
        pictures = [open_picture_sinks(config, camera.name, bundle, plan.method, stop) for camera in plan.cameras]
        feeds = [stack.enter_context(closing(camera.open())) for camera in plan.cameras]
        journal = _open_journal(config, stack)
        engine, explainer = plan.open_engine()
        levels = service_levels(bundle, engine, explainer) if any(feed.live for feed in feeds) else ()
        trackers = [
            stack.enter_context(watching(masks=plan.masks)) if camera.config.person else None for camera in plan.cameras
        ]
        outputs = [[sink] for sink in output(feeds, contract, plan.method)] if output else [[] for _ in feeds]
        deliveries = plan.deliveries.open([feed.name for feed in feeds], contract, plan.hop_s, stack)
        runtime = Runtime(
            bundle,
            engine,
            explainer,
            hop_s=plan.hop_s,
            target_class=config.model.target_class,
            journal=journal,
            privacy=config.privacy,
            stop=stop,
            levels=levels,
        )
        parts = zip(feeds, trackers, pictures, outputs, deliveries, strict=True)
        return runtime.watch(
            [
                CameraSpec(feed, tracker, [*map(Guarded, seen), *printed, Failures(), *map(Guarded, delivering)])
                for feed, tracker, seen, printed, delivering in parts
            ]
        )


def _open_journal(config: RunConfig, stack: ExitStack) -> Journal | None:
    settings = config.journal
    if settings.folder is None:
        return None
    with concerning("journal.folder"):
        journal = Journal(settings.folder, Retention(settings.days, settings.megabytes))
    return stack.enter_context(closing(journal))

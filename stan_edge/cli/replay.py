"""`stan-edge replay`: run a recording again, and compare with its journal."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from stan_edge.cli.options import Model, Threads
from stan_edge.errors import ConfigError, concerning

DIFFERENT = 1
SHOWN = 10


def command(
    video: Annotated[Path, typer.Argument(help="The recording.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the journal that a run of it wrote.")],
    model: Model = None,
    threads: Threads = 0,
) -> None:
    """Run a recording again as its journal says it was run, and compare windows and events; 1 when they differ."""
    from itertools import islice

    from stan_edge.live.runtime import CameraSpec, Runtime
    from stan_edge.model.bundle import method_named, open_bundle, shipped_bundle
    from stan_edge.parity import open_proven
    from stan_edge.person.detection import watching
    from stan_edge.replay import Collector, FirstFrames, differences, last_run
    from stan_edge.sources import Crop, open_source

    stored = last_run(folder, video)
    start = stored.start
    with concerning("model.bundle"):
        bundle = open_bundle(model or shipped_bundle())
    if bundle.digest != start["model_digest"]:
        raise ConfigError(
            f"The journal was written with model {start['model']} {start['model_digest']}, this is "
            f"{bundle.contract.name} {bundle.digest}; give that one by --model."
        )
    crop = Crop.parse(start["crop"]) if start["crop"] else None
    fresh = Collector()
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(str(video), crop=crop)))
        methods = [method_named(bundle, start["method"])]
        engine, (explainer,) = open_proven(bundle, methods, start["backend"], start["precision"], threads=threads)
        masks = bundle.contract.input.region == "mask"
        tracker = stack.enter_context(watching(masks=masks)) if start["person"] else None
        if stored.end is not None:
            source = FirstFrames(source, int(stored.end["frames"]))
        options = {"hop_s": start["hop_s"], "target_class": start["target_class"]}
        Runtime(bundle, engine, explainer, **options).watch([CameraSpec(source, tracker, [fresh])])
    found = list(islice(differences(stored, fresh.records), SHOWN + 1))
    for line in found[:SHOWN]:
        print(line)
    if len(found) > SHOWN:
        print("and more")
    if found:
        raise typer.Exit(DIFFERENT)
    counts = {kind: sum(one["type"] == kind for one in stored.records) for kind in ("window", "event")}
    print(
        f"equal: {counts['window']} windows and {counts['event']} event records"
        f"{'' if stored.end else '; the run was cut off, only what it wrote was compared'}"
    )

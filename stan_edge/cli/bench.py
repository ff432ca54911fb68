"""`stan-edge bench`: where the time goes."""

from __future__ import annotations

from typing import Annotated

import typer

from stan_edge.cli.options import (
    AllowFallback,
    BackendName,
    CropText,
    MethodName,
    Model,
    Person,
    Precision,
    Threads,
)
from stan_edge.errors import ConfigError


def command(
    source: Annotated[str | None, typer.Argument(help="Video file; default: the clip that ships inside.")] = None,
    model: Model = None,
    backend: BackendName = "auto",
    precision: Precision = "f32",
    threads: Threads = 0,
    allow_fallback: AllowFallback = False,
    method: MethodName = None,
    crop: CropText = None,
    person: Person = True,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Times the video is run.")] = 5,
    json_out: Annotated[bool, typer.Option("--json", help="All raw values as JSON.")] = False,
) -> None:
    """Run a video from decoding to events and print the time of each stage."""
    from stan_edge.backends import open_backend
    from stan_edge.bench import measure, print_report
    from stan_edge.bundle import method_named, open_bundle, shipped_bundle
    from stan_edge.explainer import Explainer
    from stan_edge.parity import require_parity
    from stan_edge.sources import Crop, demo_clip, is_camera

    spec = source or str(demo_clip())
    if is_camera(spec):
        raise ConfigError("A camera never ends and has its own pace; give bench a video file.")
    bundle = open_bundle(model or shipped_bundle())
    chosen = method_named(bundle, method)
    engine = open_backend(backend, precision, threads=threads, allow_fallback=allow_fallback)
    explainer = Explainer(bundle, engine, chosen)
    require_parity(bundle, engine, explainer)
    cropped = Crop.parse(crop) if crop else None
    report = measure(bundle, engine, explainer, spec, cropped, repeat, person=person)
    print_report(report, as_json=json_out)

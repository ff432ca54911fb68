"""`stan-edge explain`: a recording -> a page, a picture or a table of what was seen and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from stan_edge.cli.options import BackendName, CropText, HopS, Model, Person, TargetClass, Threads, choice, option
from stan_edge.errors import ConfigError, concerning
from stan_edge.person.anonymize import LEVELS, Privacy

if TYPE_CHECKING:
    from stan_edge.sources import Frame

SUFFIXES = (".html", ".png", ".json")


def command(
    video: Annotated[Path, typer.Argument(help="Video file, of any length.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="What to write: a name that ends in .html, .png or .json.")],
    model: Model = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods", help="As gradcam,vanilla; the first gives events and frames. Default: gradcam,staa-grad."
        ),
    ] = None,
    target_class: TargetClass = None,
    hop_s: HopS = None,
    crop: CropText = None,
    person: Person = True,
    privacy: Annotated[
        str, option("pictures.privacy", help_text="How people are hidden in the pictures: none, blur or silhouette.")
    ] = "none",
    backend: BackendName = "auto",
    threads: Threads = 0,
) -> None:
    """Explain a whole recording by several methods: labels over time, importance of every frame, key frames."""
    from stan_edge.files import check_output, replacing, writing
    from stan_edge.model.bundle import methods_named, methods_to_show, open_bundle, shipped_bundle
    from stan_edge.model.contract import shown_class
    from stan_edge.parity import open_proven
    from stan_edge.person.detection import watching
    from stan_edge.reports.json import JsonReport
    from stan_edge.reports.recording import explain_recording
    from stan_edge.sources import Crop, CroppedSource, VideoFile

    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"{out}: choose a name that ends in {', '.join(SUFFIXES)}.", field="--out")
    check_output(out, "--out", suffix)
    shown = cast(Privacy, choice("pictures.privacy", privacy, *LEVELS))
    with concerning("model.bundle"):
        bundle = open_bundle(model or shipped_bundle())
    contract = bundle.contract
    chosen = methods_to_show(bundle) if methods is None else methods_named(bundle, methods.split(","))
    with concerning("model.target_class"):
        shown_class(contract, target_class)
    hop_s = contract.hop_s if hop_s is None else hop_s
    contract.input.hop_ticks(hop_s)
    with ExitStack() as stack:
        file = stack.enter_context(closing(VideoFile(video)))
        source = CroppedSource(file, Crop.parse(crop)) if crop else file
        _, explainers = open_proven(bundle, chosen, backend, threads=threads)
        masks = contract.input.region == "mask" or shown == "silhouette"
        explain = partial(
            explain_recording,
            source,
            contract,
            explainers,
            stack.enter_context(watching(masks=masks)) if person else None,
            hop_s,
            target_class=target_class,
            privacy=shown,
            on_frame=stack.enter_context(_bar(file.expected_frames)),
        )
        with writing(out, "--out"), replacing(out) as part:
            if suffix == ".json":
                with part.open("w", encoding="utf-8") as json_file:
                    table = JsonReport(json_file, bundle, str(video), target_class, chosen)
                    report = explain(on_final=table.frame)
                    table.finish(report)
            else:
                from stan_edge.reports.charts import render
                from stan_edge.reports.html import html_report
                from stan_edge.reports.recording_charts import draw_recording

                report = explain()
                if suffix == ".html":
                    page = html_report(report, contract, video.name, bundle.digest, target_class)
                    part.write_text(page, encoding="utf-8")
                else:
                    part.write_bytes(render(lambda: draw_recording(report, contract)))
    for event in report.events:
        print(f"{event.label.replace('_', ' ')}: {event.t_start_s:.1f} to {event.t_end_s:.1f} s")
    print(f"written: {out}")


@contextmanager
def _bar(frames: int) -> Iterator[Callable[[Frame], None]]:
    """Progress on stderr, where that is a terminal.

    Args:
        frames: how many will come; 0: nobody knows.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("frames", total=frames or None)
        yield lambda _frame: bar.advance(task)

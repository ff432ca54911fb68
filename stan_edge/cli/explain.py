"""`stan-edge explain`: a recording -> a page, a picture or a table of what was seen and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from stan_edge.cli.options import BackendName, CropText, HopS, Model, Person, TargetClass, Threads, choice, option
from stan_edge.errors import ConfigError, concerning
from stan_edge.person.anonymize import LEVELS, Privacy

if TYPE_CHECKING:
    from stan_edge.model.bundle import Bundle
    from stan_edge.reports.recording import RecordingReport
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
    from stan_edge.files import check_output, replacing
    from stan_edge.model.bundle import methods_named, methods_to_show, open_bundle, shipped_bundle
    from stan_edge.model.contract import shown_class
    from stan_edge.parity import open_proven
    from stan_edge.person.detection import watching
    from stan_edge.pipeline.windows import hop_ticks
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
    if target_class is not None:
        with concerning("model.target_class"):
            shown_class(contract, target_class)
    hop_s = contract.hop_s if hop_s is None else hop_s
    hop_ticks(contract.input, hop_s)
    with ExitStack() as stack:
        file = VideoFile(video)
        stack.callback(file.close)
        source = CroppedSource(file, Crop.parse(crop)) if crop else file
        _, explainers = open_proven(bundle, chosen, backend, threads=threads)
        masks = contract.input.region == "mask" or shown == "silhouette"
        tracker = stack.enter_context(watching(masks=masks)) if person else None
        on_frame = stack.enter_context(_bar(file.expected_frames))
        try:
            with replacing(out) as part:
                table = JsonReport(part, bundle, str(video), target_class, chosen) if suffix == ".json" else None
                if table is not None:
                    stack.callback(table.close)
                film = explain_recording(
                    source,
                    contract,
                    explainers,
                    tracker,
                    hop_s,
                    target_class=target_class,
                    privacy=shown,
                    on_frame=on_frame,
                    on_final=table.frame if table else None,
                )
                if table is not None:
                    table.finish(film)
                else:
                    _write(part, film, bundle, video.name, target_class)
        except OSError as error:
            raise ConfigError(
                f"{out} cannot be written ({error}); make room or choose another folder.", field="--out"
            ) from error
    for event in film.events:
        print(f"{event.label.replace('_', ' ')}: {event.t_start_s:.1f} to {event.t_end_s:.1f} s")
    print(f"written: {out}")


def _write(part: Path, film: RecordingReport, bundle: Bundle, name: str, target_class: str | None) -> None:
    """A page or a picture, as the name of `part` says."""
    from stan_edge.reports.charts import render
    from stan_edge.reports.html import html_report
    from stan_edge.reports.recording_charts import draw_recording

    if part.suffix == ".html":
        part.write_text(html_report(film, bundle.contract, name, bundle.digest, target_class), encoding="utf-8")
    else:
        part.write_bytes(render(lambda: draw_recording(film, bundle.contract)))


@contextmanager
def _bar(frames: int) -> Iterator[Callable[[Frame], None]]:
    """Progress on stderr, where that is a terminal.

    Args:
        frames: how many will come; 0: nobody knows.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("frames", total=frames or None)
        yield lambda _frame: bar.advance(task)

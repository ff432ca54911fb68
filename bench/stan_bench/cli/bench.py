"""`stan-edge bench`: how long it takes from a camera's picture to an alarm."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stan_edge.cli.options import AllowFallback, BackendName, CropText, MethodName, Model, Person, Threads, option
from stan_edge.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stan_bench.result import Mode
    from stan_bench.sections import Section

SLOWER = 1
STDOUT = Path("-")
REPEAT = {"camera": 1, "fast": 5, "pure": 20, "compare": 10}


def command(
    source: Annotated[str | None, typer.Argument(help="Video file; default: the clip that ships inside.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Throughput: the file as fast as it goes.")] = False,
    pure: Annotated[
        bool, typer.Option("--pure", "--inference-only", help="Inference alone, on the model's recorded windows.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="A table of every engine, precision and method here.")
    ] = False,
    model: Model = None,
    backend: BackendName = "auto",
    precision: Annotated[str | None, option("model.precision")] = None,
    threads: Threads = 0,
    allow_fallback: AllowFallback = False,
    method: MethodName = None,
    crop: CropText = None,
    person: Person = True,
    cameras: Annotated[int, typer.Option("--cameras", min=1, help="So many cameras that show the file.")] = 1,
    repeat: Annotated[
        int | None,
        typer.Option(
            "--repeat",
            min=1,
            help="Plays of the file (default: 1; with --fast 5), or rounds (with --pure 20, with --compare 10).",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for everything, raw values included; - is stdout.")
    ] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="File for the tables (.md).")] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="File for a picture (.png).")] = None,
    against_file: Annotated[
        Path | None,
        typer.Option("--against", help="An earlier --json of the same conditions; exit code 1 when it was faster."),
    ] = None,
) -> None:
    """Measure from capture to event: the file plays at its own pace, like a live camera."""
    mode = _mode(fast=fast, pure=pure, compare=compare)
    path = _recording(mode, source, cameras)
    _check_outputs(mode, json_file, markdown_file, plot_file, against_file)
    rounds = repeat or REPEAT[mode]
    if mode == "compare":
        found = _compared(model, backend, precision, threads, method, rounds)
    else:
        options = _BenchOptions(mode, path, crop, person, cameras, rounds, against_file)
        found = _measured(options, model, backend, precision or "f32", threads, method, allow_fallback=allow_fallback)
    _write(found, json_file, markdown_file, plot_file)
    if found.slower:
        print(f"stan-edge: slower than {against_file}: {', '.join(found.slower)}.", file=sys.stderr)
        raise typer.Exit(SLOWER)


@dataclass(frozen=True)
class _BenchOptions:
    mode: Mode
    path: Path | None
    crop: str | None
    person: bool
    cameras: int
    rounds: int
    against: Path | None


@dataclass(frozen=True)
class _Found:
    sections: list[Section]
    content: dict[str, Any]
    draw: Callable[[], Figure]
    slower: tuple[str, ...] = ()


def _mode(*, fast: bool, pure: bool, compare: bool) -> Mode:
    if fast + pure + compare > 1:
        raise ConfigError("--fast, --pure and --compare measure different things; give one of them.")
    return "fast" if fast else "pure" if pure else "compare" if compare else "camera"


def _recording(mode: Mode, source: str | None, cameras: int) -> Path | None:
    """The file to play; None where none is."""
    from stan_edge.sources import demo_clip, is_camera

    if cameras > 1 and mode != "camera":
        raise ConfigError(f"--cameras {cameras}: cameras have a pace of their own; leave --{mode} out.")
    if mode in ("pure", "compare"):
        if source is not None:
            raise ConfigError(f"--{mode} runs the windows recorded in the model; give no video file with it.")
        return None
    if source is not None and is_camera(source):
        raise ConfigError("A camera never ends and has its own pace; give bench a video file.")
    return demo_clip() if source is None else Path(source)


def _check_outputs(
    mode: Mode, json_file: Path | None, markdown_file: Path | None, plot_file: Path | None, against_file: Path | None
) -> None:
    """Nothing is measured for a file that cannot be written."""
    from stan_edge.files import check_output

    if mode == "compare" and against_file is not None:
        raise ConfigError("--against goes with one measurement; leave --compare out.")
    for path, flag, suffix in (
        (json_file if json_file != STDOUT else None, "--json", ".json"),
        (markdown_file, "--markdown", ".md"),
        (plot_file, "--plot", ".png"),
    ):
        if path is not None:
            check_output(path, flag, suffix)


def _measured(
    options: _BenchOptions,
    model: Path | None,
    backend: str,
    precision: str,
    threads: int,
    method: str | None,
    *,
    allow_fallback: bool,
) -> _Found:
    from stan_bench.against import against, read_earlier, require_same_conditions
    from stan_bench.measure import Recording, measure_camera, measure_fast
    from stan_bench.pure import measure_pure, placement
    from stan_bench.result import BenchReport, ColdStart, conditions, process_age_s, software
    from stan_bench.sections import of_against, of_report
    from stan_edge.backends.registry import open_backend
    from stan_edge.model.bundle import method_named, open_bundle, shipped_bundle
    from stan_edge.parity import refuse_misses, replay, require_parity
    from stan_edge.pipeline.predictor import Explainer
    from stan_edge.sources import Crop

    process_start_s = time.monotonic() - process_age_s()
    earlier = None if options.against is None else read_earlier(options.against)
    crop = Crop.parse(options.crop) if options.crop else None
    recording = None if options.path is None else Recording(options.path, crop, options.person)
    if recording is not None:
        recording.open().close()  # a wrong name is said before anything starts
    bundle = open_bundle(model or shipped_bundle())
    chosen = method_named(bundle, method)
    engine = open_backend(backend, precision, threads=threads, allow_fallback=allow_fallback)
    made_of = conditions(options.mode, bundle, engine, chosen, threads=threads)
    if recording is not None:
        made_of |= recording.conditions(options.cameras)
    if options.against is not None and earlier is not None:
        require_same_conditions(options.against, earlier, made_of)
    versions = software(engine)
    explainer = Explainer(bundle, engine, chosen)
    loaded_s = time.monotonic() - process_start_s
    require_parity(bundle, engine, explainer)
    if recording is None:
        measured = measure_pure(bundle, engine, explainer, rounds=options.rounds)
    elif options.mode == "fast":
        measured = measure_fast(bundle, engine, explainer, recording, plays=options.rounds)
    else:
        plays, cameras = options.rounds, options.cameras
        measured = measure_camera(bundle, engine, explainer, recording, plays=plays, cameras=cameras)
    row = replay(bundle, engine, explainer)  # its errors stand beside the times; the remembered verdict has none
    refuse_misses(bundle, row)
    ran_on, cold_start = placement(bundle, engine, chosen), ColdStart.of(loaded_s, measured, process_start_s)
    report = BenchReport(options.mode, made_of, versions, row, measured, ran_on, cold_start)

    def draw() -> Figure:
        from stan_bench.plot import draw_report

        return draw_report(report, bundle.contract.hop_s)

    found = _Found([of_report(report)], report.to_json(), draw)
    if options.against is None or earlier is None:
        return found
    compared = against(options.against, earlier, report)
    return replace(found, sections=[*found.sections, of_against(compared)], slower=compared.regressions)


def _compared(
    model: Path | None, backend: str, precision: str | None, threads: int, method: str | None, rounds: int
) -> _Found:
    from stan_bench.compare import compare
    from stan_bench.sections import of_comparison
    from stan_edge.backends.base import PRECISIONS
    from stan_edge.backends.registry import ALL_BACKENDS
    from stan_edge.model.bundle import method_named, methods_of, open_bundle, shipped_bundle

    bundle = open_bundle(model or shipped_bundle())
    comparison = compare(
        bundle,
        methods_of(bundle) if method is None else (method_named(bundle, method),),
        backends=ALL_BACKENDS if backend == "auto" else (backend,),
        precisions=PRECISIONS if precision is None else (precision,),
        threads=threads,
        rounds=rounds,
    )

    def draw() -> Figure:
        from stan_bench.plot import draw_comparison

        return draw_comparison(comparison)

    return _Found([of_comparison(comparison)], comparison.to_json(), draw)


def _write(found: _Found, json_file: Path | None, markdown_file: Path | None, plot_file: Path | None) -> None:
    from stan_bench.output import markdown, print_sections
    from stan_edge.files import write_whole

    text = json.dumps(found.content, ensure_ascii=False, allow_nan=False) + "\n"
    if json_file == STDOUT:
        print(text, end="")
    else:
        print_sections(found.sections)
    if json_file is not None and json_file != STDOUT:
        write_whole(json_file, text.encode(), "--json")
    if markdown_file is not None:
        page = markdown(found.sections, shlex.join(["stan-edge", *sys.argv[1:]]))
        write_whole(markdown_file, page.encode(), "--markdown")
    if plot_file is not None:
        from stan_edge.reports.charts import render

        write_whole(plot_file, render(found.draw), "--plot")

"""A measurement in words and tables, the same on the terminal and in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stan_bench.against import WORSE, Against
from stan_bench.camera import WARM_UP_WINDOWS
from stan_bench.compare import Comparison, ComparisonRow
from stan_bench.resources import resource_facts
from stan_bench.result import WHAT, BenchReport, CameraRun, ColdStart, Measured, Mode, count_windows
from stan_bench.statistics import P99_SAMPLES, Interval, intervals, percentiles
from stan_edge.backends.base import Placement
from stan_edge.parity import ParityRow

STAGES = {
    "window": "capture to result",
    "event": "capture to event",
    "event_onset": "onset to alarm",
    "forward": "forward pass alone",
    "queue": "wait for engine",
}
"""What stages are called that do not speak for themselves."""
ONE_ENGINE = "{} cameras, one engine, no batching; their starts are spread evenly over one hop."
TOTALS = ("window", "event", "event_onset", "forward")
KERNELS = 4


@dataclass(frozen=True)
class Table:
    """Cells may have two lines."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """Facts (name and value), then tables, then sentences."""

    title: str
    facts: Mapping[str, str]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def of_report(report: BenchReport) -> Section:
    """One measurement."""
    measured = report.measured
    facts = _condition_facts(report)
    facts["parity"] = parity_text(report.parity)
    facts["ran on"] = placement_text(report.placement)
    facts["cold start"] = _cold_start_text(report.cold_start)
    if measured.cameras:
        facts["windows"] = windows_text(measured)
        facts["pace"] = _pace_text(report.mode, measured)
    facts |= resource_facts(measured.resources)
    tables = [_stage_table("milliseconds, steady state", measured.stages_ms)]
    if len(measured.cameras) > 1:
        tables.append(_camera_table(measured.cameras))
    tables.append(_warm_up_table(measured.warm_up_ms))
    return Section(WHAT[report.mode], facts, tuple(tables), _notes(report))


def of_comparison(comparison: Comparison) -> Section:
    """All combinations in one table."""
    header = ("engine", "method", "scores", "maps", "logits", "forward", "explain", "ratio")
    table = Table("errors against float64; milliseconds, medians", header, tuple(map(_row, comparison.rows)))
    notes = (
        "Errors: largest, over the largest float64 value of each recorded window. Below a median: its 95 % interval.",
        "ratio: explaining, forward pass within, over the forward pass just before it. What is refused is not timed.",
        *(
            f"REFUSED: {row.backend} {row.precision} {row.method}, {row.refusal}"
            for row in comparison.rows
            if row.refusal is not None
        ),
        *(f"Not here: {sentence}" for sentence in comparison.missing),
    )
    made_of = comparison.conditions
    facts = {
        "model": f"{made_of['model']} {_short(made_of['model_digest'])}",
        "machine": f"{made_of['machine']}; threads: {made_of['threads']}",
    }
    return Section(WHAT["compare"], facts, (table,), notes)


def of_against(found: Against) -> Section:
    """Then and now."""
    rows = [
        (
            STAGES.get(change.stage, change.stage),
            _with_interval(change.old_ms, change.old_interval_ms),
            _with_interval(change.new_ms, change.new_interval_ms),
            "-" if change.ratio is None else f"{change.ratio:.2f}",
            change.verdict,
        )
        for change in found.changes
    ]
    table = Table("medians in milliseconds", ("stage", "then", "now", "ratio", ""), tuple(rows))
    notes = (f"Slower or faster: the 95 % intervals do not overlap and the ratio is beyond {WORSE:g}.",)
    return Section(f"against {found.path}", {}, (table,), notes)


def _condition_facts(report: BenchReport) -> dict[str, str]:
    made_of = report.conditions
    facts = {
        "model": f"{made_of['model']} {_short(made_of['model_digest'])}, explained by {made_of['method']}",
        "engine": "{backend} {precision} on {device}, threads: {threads}".format(**made_of),
    }
    if made_of["fallback"] == "yes":
        facts["engine"] += "; A FALLBACK, not what was asked for"
    if "source" in made_of:
        looked_at = "crop: {crop}, person: {person}, cameras: {cameras}".format(**made_of)
        facts["source"] = f"{made_of['source']} {_short(made_of['source_digest'])}, {looked_at}"
    facts["machine"] = made_of["machine"]
    facts["software"] = ", ".join(f"{name} {value}" for name, value in report.software.items())
    return facts


def parity_text(row: ParityRow) -> str:
    """The verdict on the numbers, without which no speed is shown."""
    verdict = "reproduces float64" if row.passed else "REFUSED, does not reproduce float64"
    errors = f"scores {row.scores_error:.1e}, maps {row.map_error:.1e}, logits {row.logits_error:.1e}"
    return f"{row.backend} {row.precision} {row.method} {verdict}: {errors}, allowed {row.tolerance:.0e}"


def placement_text(placement: Placement | None) -> str:
    if placement is None:
        return "not readable: this backend does not say where its nodes run"
    where = ", ".join(f"{provider}: {nodes} nodes" for provider, nodes in placement.providers.items())
    kernels = [f"{kernel} {nodes}" for kernel, nodes in placement.kernels.items()]
    return f"{where} ({', '.join(kernels[:KERNELS])}{', ...' if len(kernels) > KERNELS else ''})"


def _cold_start_text(cold: ColdStart) -> str:
    text = f"{cold.model_loaded_s:.2f} s from process start to model loaded"
    if cold.first_frame_s is not None:
        text += f", {cold.first_frame_s:.2f} s to the first frame"
    if cold.first_result_s is not None:
        text += f", {cold.first_result_s:.2f} s to the first result"
    if cold.first_result_late_ms is not None:
        text += f" ({cold.first_result_late_ms:.0f} ms after it was due)"
    return text


def windows_text(measured: Measured) -> str:
    return "{due} due: {done} done ({late} of them late), {shed} shed, {invalid} invalid".format(**measured.windows)


def _pace_text(mode: Mode, measured: Measured) -> str:
    text = f"{measured.video_s:.1f} s of video in {measured.wall_s:.1f} s, {measured.frames} frames"
    if mode == "fast":
        return text + f", {measured.video_s / measured.wall_s:.1f} x real time"
    return text + f", {sum(camera.dropped_frames for camera in measured.cameras)} frames lost"


def _stage_table(title: str, stages_ms: Mapping[str, Sequence[float]]) -> Table:
    rows = []
    for stage, values in in_order(stages_ms).items():
        found, sure = percentiles(values), intervals(values)
        cells = [_with_interval(value, sure.get(name)) for name, value in found.items()]
        rows.append((STAGES.get(stage, stage), str(len(values)), *cells))
    return Table(title, ("stage", "n", "p50", "p90", "p95", "p99", "max"), tuple(rows))


def _warm_up_table(warm_up_ms: Mapping[str, Sequence[float]]) -> Table:
    rows = []
    for stage, values in in_order(warm_up_ms).items():
        first, middle, most = values[0], percentiles(values)["p50"], max(values)
        cells = (milliseconds(value) for value in (first, middle, most))
        rows.append((STAGES.get(stage, stage), str(len(values)), *cells))
    return Table("milliseconds, warm-up", ("stage", "n", "first", "p50", "max"), tuple(rows))


def _camera_table(cameras: Sequence[CameraRun]) -> Table:
    rows = []
    for camera in cameras:
        states = [window.state for window in camera.windows]
        found = percentiles(camera.latency_ms) if camera.latency_ms else {}
        times = (milliseconds(found.get(name)) for name in ("p50", "p95", "max"))
        counts = (str(count) for count in count_windows(states).values())
        rows.append((camera.name, *counts, str(camera.dropped_frames), *times))
    header = ("camera", "due", "done", "late", "shed", "invalid", "frames lost", "p50", "p95", "max")
    return Table("each camera: windows, and milliseconds from capture to result", header, tuple(rows))


def _notes(report: BenchReport) -> tuple[str, ...]:
    notes = []
    if len(report.measured.cameras) > 1:
        notes.append(ONE_ENGINE.format(len(report.measured.cameras)))
    if report.mode == "camera":
        notes += [
            "capture: the recording's clock reaches the frame that completes a window; decoding it counts, a camera's "
            "own delay and its network do not.",
            "late: done, but after the next window was due. onset: the first frame of an event, so that what the model "
            "needs to be sure is in it.",
            f"Warm-up, in no percentile: the first {WARM_UP_WINDOWS} windows of each play.",
        ]
    if report.mode != "pure":
        notes.append("decode and region: per frame; view, explain and conclude: per window.")
    notes.append("Below a value: its 95 % interval by order statistics; ? where there are too few values.")
    if any(0 < len(values) < P99_SAMPLES for values in report.measured.stages_ms.values()):
        notes.append(f"p99 is left out under {P99_SAMPLES} values; raise --repeat.")
    return tuple(notes)


def _row(row: ComparisonRow) -> tuple[str, ...]:
    parity = row.parity
    errors = ["-"] * 3
    if parity is not None:
        errors = [f"{error:.0e}" for error in (parity.scores_error, parity.map_error, parity.logits_error)]
    return (
        f"{row.backend}\n{row.precision}",
        row.method,
        *errors,
        "REFUSED" if row.refusal is not None else _median(row.forward_ms),
        _median(row.explain_ms),
        "-" if row.ratio is None else f"{row.ratio:.2f}",
    )


def in_order(stages_ms: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """Stages that have values: the whole way first, then its parts."""
    names = [name for name in TOTALS if name in stages_ms] + [name for name in stages_ms if name not in TOTALS]
    return {name: stages_ms[name] for name in names if stages_ms[name]}


def _median(values: Sequence[float]) -> str:
    return _with_interval(percentiles(values)["p50"], intervals(values)["p50"]) if values else "-"


def _with_interval(value: float | None, sure: Interval | None) -> str:
    if value is None or sure is None:
        return milliseconds(value)
    low, high = ("?" if end is None else milliseconds(end) for end in sure)
    return f"{milliseconds(value)}\n{low}–{high}"


def _short(digest: str) -> str:
    """Enough of it to tell one from another; the JSON holds all."""
    return digest[: len("sha256:") + 12]


def milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"

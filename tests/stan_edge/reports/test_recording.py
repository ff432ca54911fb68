"""A recording explained in one pass: the numbers of `run`, by several methods at once, in little memory."""

from __future__ import annotations

import itertools
import json
import re
import tracemalloc
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Method
from stan_edge.pipeline.predictor import Explainer
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.reports.charts import MARGIN_PX, WIDTH_PX, render
from stan_edge.reports.drawing import RED
from stan_edge.reports.html import html_report
from stan_edge.reports.json import JsonReport
from stan_edge.reports.recording import KEY_FRAME_GAP_S, RecordingReport, explain_recording
from stan_edge.reports.recording_charts import LEFT_PX, draw_recording
from stan_edge.sources.scripted import Gap, ScriptedSource, Show
from tests.conftest import Kept

METHODS: tuple[Method, ...] = ("gradcam", "vanilla", "streaming", "staa-grad")
HOP_S = 0.2


@pytest.fixture(scope="module")
def explainers(tiny_bundle: Bundle, backend: Backend) -> list[Explainer]:
    return [Explainer(tiny_bundle, backend, method) for method in METHODS]


@pytest.fixture(scope="module")
def scene(noisy: Callable[..., np.ndarray]) -> Callable[[], ScriptedSource]:
    """Dark, light from 3 to 6 s, dark, nothing for 1 s, dark."""
    steps = [Show(list(noisy(30, 60)), 10), Show(list(noisy(30, 190)), 10), Show(list(noisy(25, 60, 1)), 10)]
    steps += [Gap(1.0), Show(list(noisy(25, 60, 2)), 10)]
    return lambda: ScriptedSource(steps, live=False, name="room")


@pytest.fixture(scope="module")
def film(tiny_bundle: Bundle, explainers: list[Explainer], scene: Callable[[], ScriptedSource]) -> RecordingReport:
    return explain_recording(scene(), tiny_bundle.contract, explainers, None, HOP_S)


def test_every_method_has_the_timeline_and_the_first_the_events_of_a_run(
    tiny_bundle: Bundle, backend: Backend, explainers: list[Explainer], scene: Callable[[], ScriptedSource]
) -> None:
    final: dict[str, list[TimelineFrame]] = {method: [] for method in METHODS}
    film = explain_recording(
        scene(),
        tiny_bundle.contract,
        explainers,
        None,
        HOP_S,
        on_final=lambda method, frame, _important: final[method].append(frame),
    )
    for explainer in explainers:
        kept = Kept()
        end = Runtime(tiny_bundle, backend, explainer, hop_s=HOP_S).watch([CameraSpec(scene(), None, [kept])])[0]
        assert final[explainer.method] == kept.frames
        assert [(p.t_s, p.importance) for p in film.curves[explainer.method]] == [
            (frame.t_s, frame.importance) for frame in kept.frames
        ]
        if explainer.method == METHODS[0]:
            assert film.events == tuple(kept.events)
            assert (film.windows, film.invalid) == (end.windows.due, end.windows.invalid)
            assert (film.frames, film.invalid > 0) == (end.frames, True)


def test_key_frames_are_important_apart_and_in_order(film: RecordingReport, tiny_bundle: Bundle) -> None:
    thresholds = tiny_bundle.contract.methods[METHODS[0]].thresholds
    assert film.key_frames
    times_s = [key.frame.t_s for key in film.key_frames]
    assert all(later - sooner >= KEY_FRAME_GAP_S for sooner, later in itertools.pairwise(times_s))
    for key in film.key_frames:
        assert key.frame.is_important(thresholds)
        assert key.picture.shape[1:] == (320, 3)
        if 3.2 <= key.frame.t_s <= 5.8:
            assert key.picture.mean() > 120  # the frame itself, not one from the dark


def test_another_class_is_explained_everywhere(
    tiny_bundle: Bundle, explainers: list[Explainer], scene: Callable[[], ScriptedSource]
) -> None:
    asked = explain_recording(scene(), tiny_bundle.contract, explainers[:1], None, HOP_S, target_class="headache")
    assert {point.label for point in asked.curves["gradcam"]} <= {None, "headache"}


def test_the_figure_shows_labels_events_a_curve_for_each_method_and_the_key_frames(
    film: RecordingReport, tiny_bundle: Bundle
) -> None:
    contract = tiny_bundle.contract
    labels, events, *rest = draw_recording(film, contract).axes
    curves, frames = rest[: len(METHODS)], rest[len(METHODS) :]
    assert {text.get_text() for text in labels.get_yticklabels()} == {"background", "falling"}
    assert [text.get_text() for text in events.get_yticklabels()] == ["falling"]
    spans = [path.get_extents().intervalx.tolist() for path in events.collections[0].get_paths()]
    assert spans == [[event.t_start_s, event.t_end_s] for event in film.events]
    for axes, method in zip(curves, METHODS, strict=True):
        assert method in axes.get_title()
        assert axes.get_xlim() == (0.0, film.duration_s)
        names = [str(patch.get_label()) for patch in axes.patches]
        assert f"falling ≥ {contract.methods[method].thresholds['falling']:g}" in names
    assert sum(len(axes.images) for axes in frames) == len(film.key_frames)
    assert len(draw_recording(film, contract, key_frames=False).axes) == 2 + len(METHODS)


def test_the_picture_is_red_where_the_light_is_on(film: RecordingReport, tiny_bundle: Bundle) -> None:
    content = render(lambda: draw_recording(film, tiny_bundle.contract, key_frames=False))
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert picture.shape[1] == WIDTH_PX
    columns = (picture == RED).all(axis=-1)[:, LEFT_PX:].nonzero()[1]
    lit_s = np.median(columns) / (WIDTH_PX - LEFT_PX - MARGIN_PX) * film.duration_s
    assert 2.0 < lit_s < 7.0  # within the reach of a window


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_beside_it_and_escapes_names(film: RecordingReport, tiny_bundle: Bundle) -> None:
    page = html_report(film, tiny_bundle.contract, "<b>room & co", "sha256:00", None)
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert len(tags.images) == 1 + len(film.key_frames)
    assert all(source.startswith("data:image/png;base64,") for source in tags.images)
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "<b>room" not in page
    assert "&lt;b&gt;room &amp; co" in page
    assert f"{film.invalid} of them not valid" in page


def test_the_table_holds_every_frame_of_every_method(
    tiny_bundle: Bundle, explainers: list[Explainer], scene: Callable[[], ScriptedSource], tmp_path: Path
) -> None:
    with (tmp_path / "film.json").open("w") as file:
        table = JsonReport(file, tiny_bundle, "room", None, METHODS)
        film = explain_recording(scene(), tiny_bundle.contract, explainers, None, HOP_S, on_final=table.frame)
        table.finish(film)
    whole: dict[str, Any] = json.loads((tmp_path / "film.json").read_text())
    curves = {method: list(film.curves[method]) for method in METHODS}
    assert len(whole["frames"]) == len({frame["index"] for frame in whole["frames"]})
    for row in whole["frames"]:
        for method in METHODS:
            (point,) = [one for one in curves[method] if one.t_s == pytest.approx(row["t_s"], abs=1e-4)][:1]
            said = row["methods"][method]
            assert said["important"] == point.important
            assert said["importance"] == (
                None if point.importance is None else pytest.approx(point.importance, abs=1e-4)
            )
    assert [event["label"] for event in whole["events"]] == [event.label for event in film.events]
    assert whole["thresholds"]["gradcam"] == tiny_bundle.contract.methods["gradcam"].thresholds


def test_memory_does_not_grow_with_the_length(
    tiny_bundle: Bundle, explainers: list[Explainer], noisy: Callable[..., np.ndarray]
) -> None:
    def peak_mb(repeats: int) -> float:
        pictures = [*noisy(20, 60), *noisy(20, 190)]
        source = ScriptedSource([Show(pictures * repeats, 10)], live=False)
        tracemalloc.start()
        explain_recording(source, tiny_bundle.contract, explainers[:1], None, 1.0)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        return peak

    short, long = peak_mb(4), peak_mb(16)
    assert long < 1.2 * short + 1

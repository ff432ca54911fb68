"""What a program gets is what the command gives: real clips, the model that ships, and small models for the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stan_edge
from stan_edge.errors import ConfigError, StanEdgeError
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.pipeline import Pipeline
from stan_edge.sources import Frame, VideoFile
from stan_edge.sources.demo import demo_clip
from tests.e2e.conftest import CLIPS, Ran
from tests.e2e.conftest import stan_edge as command  # noqa: F401 - a fixture

REAL = CLIPS / "gmdcsa24" / "Subject 1" / "Fall" / "13.mp4"
OF_THE_RUN = {"latency_ms", "id", "camera"}
"""Fields of records that say in which run, and how late, a thing was said."""


@pytest.fixture(scope="module")
def model() -> stan_edge.Model:
    return stan_edge.load()


def frames_of(path: Path) -> list[Frame]:
    with closing(VideoFile(path)) as file:
        return list(iter(file.read, None))


def streamed(stream: Pipeline, frames: list[Frame]) -> list[dict[str, Any]]:
    """The records of windows and events of a whole stream, as JSON."""
    outcomes = [outcome for frame in frames for outcome in stream.feed(frame.image, frame.t_capture_s)]
    end = stream.finish()
    records = [record for one in (*outcomes, *end.outcomes) for record in (one.result, *one.events)] + end.events
    return [plain(record.to_json()) for record in records]


def plain(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in json.loads(json.dumps(record)).items() if key not in OF_THE_RUN}


def recorded(ran: Ran) -> Iterator[dict[str, Any]]:
    assert ran.returncode == 0, ran.stderr
    for line in ran.stdout.splitlines():
        record = json.loads(line)
        if record["type"] in ("window", "event"):
            yield plain(record)


def test_a_stream_fed_with_the_demo_says_what_the_command_says_and_again_after_reset(
    model: stan_edge.Model,
    command: Callable[..., Ran],  # noqa: F811
) -> None:
    expected = list(recorded(command("run", "--demo", "--json")))
    assert {"window", "event"} == {record["type"] for record in expected}
    frames = frames_of(demo_clip())
    with model.stream() as stream:
        assert streamed(stream, frames) == expected
        stream.reset()
        assert streamed(stream, frames) == expected


@pytest.mark.skipif(not REAL.is_file(), reason="the data set is not here")
def test_a_stream_without_person_search_and_with_another_method_says_what_the_command_says(
    model: stan_edge.Model,
    command: Callable[..., Ran],  # noqa: F811
) -> None:
    options = ("--no-person", "--method", "staa-grad", "--hop", "0.4", "--target-class", "falling")
    expected = list(recorded(command("run", REAL, "--json", *options)))
    with model.stream(method="staa-grad", target_class="falling", hop_s=0.4, person=False) as stream:
        assert streamed(stream, frames_of(REAL)) == expected
    assert len(expected) > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "video",
    [
        demo_clip(),
        pytest.param(REAL, marks=[pytest.mark.slow, pytest.mark.skipif(not REAL.is_file(), reason="no data set")]),
    ],
)
def test_a_recording_explained_is_what_the_command_writes(
    model: stan_edge.Model,
    command: Callable[..., Ran],  # noqa: F811
    video: Path,
    tmp_path: Path,
) -> None:
    ran = command("explain", video, "-o", tmp_path / "report.json")
    assert ran.returncode == 0, ran.stderr
    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    report = model.explain(video)
    assert (report.windows, report.invalid) == (written["windows"], written["invalid"])
    assert [plain(event.to_json()) for event in report.events] == [plain(event) for event in written["events"]]
    assert tuple(report.curves) == model.methods == tuple(written["thresholds"])
    for method, curve in report.curves.items():
        by_time = {round(point.t_s, 4): point for point in curve}
        for row in written["frames"]:
            point = by_time[row["t_s"]]
            importance = None if point.importance is None else round(point.importance, 4)
            assert row["methods"][method] == {"importance": importance, "important": point.important}


def test_a_method_that_was_not_loaded_is_when_it_is_asked_for(tiny_bundle: Bundle) -> None:
    model = stan_edge.load(tiny_bundle.folder, backend="onnxruntime", methods=["vanilla"])
    assert model.methods == ("vanilla",)
    pictures = [np.full((48, 64, 3), 60, np.uint8)] * 25
    assert list(model.explain(pictures, fps=10, person=False).curves) == ["vanilla"]
    assert list(model.explain(pictures, fps=10, methods=("staa",), person=False).curves) == ["staa"]
    assert model.methods == ("vanilla", "staa")
    assert model.contract == tiny_bundle.contract


def test_an_engine_that_computes_something_else_is_not_given_to_a_program(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing is remembered
    model = stan_edge.load(tiny_bundle.folder, backend="onnxruntime", methods=["vanilla"])
    monkeypatch.setattr("stan_edge.parity.TOLERANCE", {"f32": 0.0})
    with pytest.raises(StanEdgeError, match="does not reproduce model tiny"):
        stan_edge.load(tiny_bundle.folder, backend="onnxruntime", methods=["vanilla"])
    with pytest.raises(StanEdgeError, match="does not reproduce model tiny"):
        model.stream(method="gradcam", person=False)


def test_pictures_of_a_program_are_explained_one_by_one(tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]) -> None:
    model = stan_edge.load(tiny_bundle.folder, backend="onnxruntime")
    frames = (picture for level in (60, 190, 60) for picture in noisy(30, level))  # made one by one
    report = model.explain(frames, fps=10, methods=("gradcam", "vanilla"), person=False)
    assert [event.label for event in report.events] == ["falling"]
    assert list(report.curves) == ["gradcam", "vanilla"]
    assert report.frames == 90


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fps": 0.0}, "a rate above 0"),
        ({"fps": None}, "give fps"),
        ({"frames": "clip.mp4"}, "leave out fps"),
        ({"methods": ()}, "at least one method"),
        ({"methods": ("shap",)}, "Method shap"),
        ({"target_class": "background"}, "'background' is not one of falling, headache"),
        ({"frames": [np.zeros((4, 4), np.uint8)]}, "Picture 0 is uint8 of shape"),
        ({"frames": [np.zeros((4, 4, 3), np.float32)]}, "Picture 0 is float32"),
    ],
)
def test_what_cannot_be_explained_is_refused(tiny_bundle: Bundle, change: dict[str, Any], says: str) -> None:
    model = stan_edge.load(tiny_bundle.folder, backend="onnxruntime", methods=["vanilla"])
    good: dict[str, Any] = {"frames": [np.zeros((48, 64, 3), np.uint8)] * 3, "fps": 10.0, "person": False}
    with pytest.raises(ConfigError, match=re.escape(says)):
        model.explain(**(good | change))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "shap"}, "Method shap"),
        ({"target_class": "background"}, "'background' is not one of falling, headache"),
        ({"hop_s": 0.25}, "must be a multiple of 0.1 s"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(tiny_bundle: Bundle, options: dict[str, Any], says: str) -> None:
    model = stan_edge.load(tiny_bundle.folder, backend="onnxruntime", methods=["vanilla"])
    with pytest.raises(ConfigError, match=re.escape(says)):
        model.stream(person=False, **options)


def test_the_package_names_what_it_offers() -> None:
    assert stan_edge.load.__module__ == "stan_edge.api"
    with pytest.raises(AttributeError, match="no attribute 'explain'"):
        _ = stan_edge.explain  # type: ignore[attr-defined]

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from stan_edge.errors import ConfigError, SourceConnectError
from stan_edge.model.bundle import Bundle
from stan_edge.person.tracking import NOBODY
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.sinks.timeline_picture import THUMB_GAP_S, THUMB_PX, THUMBS, TimelinePicture
from stan_edge.sources import Frame
from stan_edge.sources.scripted import Fail, Step
from tests.stan_edge.full_disk import full_disk
from tests.stan_edge.sinks.conftest import an_event


@pytest.fixture
def watched(tiny_bundle: Bundle, tmp_path: Path) -> TimelinePicture:
    """20 s in which somebody falls at 12 s."""
    sink = TimelinePicture(tmp_path / "timeline.png", tiny_bundle.contract, "vanilla")
    threshold = tiny_bundle.contract.methods["vanilla"].thresholds["falling"]
    for k in range(200):
        sink.frame(Frame(k, k / 10, np.full((90, 160, 3), (k, 0, 200), np.uint8)), NOBODY)
        falls = 115 <= k < 130
        sink.timeline([TimelineFrame(k / 10, k, "falling" if falls else None, threshold + 0.01 if falls else 0.0)])
    sink.record(replace(an_event(0, "end"), t_start_s=11.5, t_end_s=13.0))
    return sink


def test_it_shows_events_importance_and_the_most_important_frames(watched: TimelinePicture) -> None:
    figure: Figure = watched._draw()
    events, importance, frames = figure.axes
    assert [label.get_text() for label in events.get_yticklabels()] == ["falling"]
    (bars,) = events.collections
    assert bars.get_paths()[0].get_extents().intervalx.tolist() == [11.5, 13.0]
    assert [text.get_text().strip() for text in events.texts] == ["0.97"]
    assert importance.get_xlabel() == "time (s)"
    assert importance.get_xlim() == events.get_xlim() == (0.0, 19.9)
    times_s = [float(text.get_text().split(" s")[0]) for text in frames.texts]
    assert 2 <= len(times_s) == len(frames.images) <= THUMBS
    assert all(11.5 <= t_s < 13.0 for t_s in times_s)
    assert min(np.diff(times_s)) >= THUMB_GAP_S
    for image, t_s in zip(frames.images, times_s, strict=True):
        assert np.all(np.asarray(image.get_array()) == (round(10 * t_s), 0, 200))  # the frame of that time


def test_the_file_is_the_figure_with_its_frames_pixel_by_pixel(watched: TimelinePicture, tmp_path: Path) -> None:
    watched.close()
    picture = cv2.imread(str(tmp_path / "timeline.png"))
    assert picture.shape[1] == 1280
    first = round(10 * float(watched._draw().axes[2].texts[0].get_text().split(" s")[0]))
    rows, columns = np.nonzero((picture == (200, 0, first)).all(axis=-1))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (THUMB_PX * 90 // 160, THUMB_PX)
    assert [file.name for file in tmp_path.iterdir()] == ["timeline.png"]


def test_a_run_without_end_is_shown_with_its_last_hour(tiny_bundle: Bundle, tmp_path: Path) -> None:
    sink = TimelinePicture(tmp_path / "timeline.png", tiny_bundle.contract, "vanilla")
    for number, t_start_s in enumerate((100.0, 2000.0, 5000.0)):
        sink.record(replace(an_event(number, "end"), t_start_s=t_start_s, t_end_s=t_start_s + 2))
    sink.timeline([TimelineFrame(k / 10, k, None, 0.0) for k in range(54_000)])
    sink.record(replace(an_event(3, "end"), t_start_s=5200.0, t_end_s=5210.0))
    events, importance = sink._draw().axes
    assert importance.get_xlim() == (1800.0, 5399.9)
    assert importance.get_xlabel() == "time (min)"
    assert len(events.collections[0].get_paths()) == 3


def test_cameras_that_end_at_the_same_time_each_get_their_picture(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    sinks = [TimelinePicture(path, tiny_bundle.contract, "vanilla") for path in paths]
    for sink in sinks:
        sink.timeline([TimelineFrame(k / 10, k, None, 0.0) for k in range(50)])
    threads = [threading.Thread(target=sink.close) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_bytes() for path in paths}) == 1


def test_a_run_leaves_one_picture(
    run: Callable[..., object], scene: list[Step], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    run([TimelinePicture(tmp_path / "timeline.png", tiny_bundle.contract, "vanilla")], *scene, live=False)
    assert [file.name for file in tmp_path.iterdir()] == ["timeline.png"]
    assert cv2.imread(str(tmp_path / "timeline.png")).shape[1] == 1280


def test_a_run_that_never_saw_a_frame_leaves_nothing_behind(
    run: Callable[..., object], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    sink = TimelinePicture(tmp_path / "timeline.png", tiny_bundle.contract, "vanilla")
    with pytest.raises(SourceConnectError):
        run([sink], Fail(SourceConnectError("Nobody answers.")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [("timeline.jpg", r"timeline\.jpg: only \.png"), ("nowhere/timeline.png", r"nowhere does not exist")],
)
def test_a_file_that_cannot_be_written_is_refused_at_the_start(
    tiny_bundle: Bundle, tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        TimelinePicture(tmp_path / name, tiny_bundle.contract, "vanilla")
    assert refused.value.field == "pictures.timeline"


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(watched: TimelinePicture, tmp_path: Path) -> None:
    says = r"timeline\.png cannot be written \(.+\); make room"
    with pytest.raises(ConfigError, match=says) as refused, full_disk():
        watched.close()
    assert refused.value.field == "pictures.timeline"
    assert list(tmp_path.iterdir()) == []

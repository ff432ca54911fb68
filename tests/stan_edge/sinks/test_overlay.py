from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_edge.errors import ConfigError, SourceConnectError, SourceStalledError
from stan_edge.model.bundle import Bundle
from stan_edge.sinks.overlay import STRIP_PX, WIDTH_PX, OverlayVideo
from stan_edge.sources.scripted import Fail, Step
from tests.stan_edge.full_disk import full_disk

FRAMES = 45


def frames_of(path: Path) -> list[np.ndarray]:
    video, frames = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        frames.append(read[1])
    return frames


@pytest.mark.parametrize("ends", [[], [Fail(SourceStalledError("Gone."))]], ids=["at the end", "when the camera fails"])
def test_a_video_holds_every_frame_that_was_shown(
    run: Callable[..., object], scene: list[Step], tiny_bundle: Bundle, tmp_path: Path, ends: list[Step]
) -> None:
    path = tmp_path / "seen.mp4"
    run([OverlayVideo(path, tiny_bundle.contract, "vanilla")], *scene, *ends, live=False)
    frames = frames_of(path)
    assert len(frames) == FRAMES
    assert frames[0].shape == (WIDTH_PX + STRIP_PX, WIDTH_PX, 3)
    assert frames[5][200:400].mean() < frames[40][200:400].mean()
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert [file.name for file in tmp_path.iterdir()] == ["seen.mp4"]


def test_a_run_that_never_saw_a_frame_leaves_nothing_behind(
    run: Callable[..., object], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(SourceConnectError):
        run([OverlayVideo(tmp_path / "seen.mp4", tiny_bundle.contract, "vanilla")], Fail(SourceConnectError("Nobody.")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"), [("seen.avi", r"seen\.avi: only \.mp4"), ("nowhere/seen.mp4", r"nowhere does not exist")]
)
def test_a_file_that_cannot_be_written_is_refused_at_the_start(
    tiny_bundle: Bundle, tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        OverlayVideo(tmp_path / name, tiny_bundle.contract, "vanilla")
    assert refused.value.field == "pictures.video"


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(
    run: Callable[..., object], scene: list[Step], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    sink = OverlayVideo(tmp_path / "seen.mp4", tiny_bundle.contract, "vanilla")
    says = r"seen\.mp4 cannot be written \(0 of 45 pictures can be read back\); make room"
    with pytest.raises(ConfigError, match=says) as refused, full_disk():
        run([sink], *scene, live=False)
    assert refused.value.field == "pictures.video"
    assert list(tmp_path.iterdir()) == []

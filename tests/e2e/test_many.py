"""`stan-edge run` in front of several cameras."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from stan_edge.sources import demo_clip
from tests.e2e.conftest import COMMAND, records, write_video
from tests.e2e.mjpeg import PASSWORD, MjpegCamera


@pytest.fixture
def two() -> Iterator[tuple[MjpegCamera, MjpegCamera]]:
    with ExitStack() as stack:
        yield (
            stack.enter_context(closing(MjpegCamera())),
            stack.enter_context(closing(MjpegCamera(closed=True))),
        )


def of(found: list[dict], camera: str, kind: str) -> list[dict]:
    return [record for record in found if record["camera"] == camera and record["type"] == kind]


def test_two_cameras_of_a_configuration_run_in_one_process_and_one_outlives_the_other(
    two: tuple[MjpegCamera, MjpegCamera], tmp_path: Path
) -> None:
    door, yard = two
    (tmp_path / "address").write_text(yard.url + "\n")
    config = tmp_path / "ward.toml"
    config.write_text(
        f'[[camera]]\nsource = "{door.open_url}"\nname = "door"\ncrop = "0,0,120,120"\n'
        '[[camera]]\nsource_file = "address"\nname = "yard"\n'
        '[[camera]]\nsource = "/dev/video96"\n'
        '[model]\nmethod = "gradcam"\n[journal]\nfolder = "journal"\n[log]\njson_lines = true\n'
    )
    process = subprocess.Popen(
        [COMMAND, "run", "--config", str(config), "--no-person"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    found: list[dict] = []

    def until(enough: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + 100
        while not enough() and time.monotonic() < give_up_s:
            assert process.stdout is not None
            found.append(json.loads(process.stdout.readline()))
        assert enough()

    until(lambda: all(any(window["valid"] for window in of(found, name, "window")) for name in ("door", "yard")))
    yard.unplug()
    until(lambda: "lost" in [status["state"] for status in of(found, "yard", "status")])
    before = len(of(found, "door", "window"))
    until(lambda: len(of(found, "door", "window")) >= before + 10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    found += [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 1  # one camera has never been there, and the others ran
    assert "there is no /dev/video96" in err
    assert err.count("\n") == 1
    ends = {name: of(found, name, "end")[0]["reason"] for name in ("door", "yard")}
    assert ends == {"door": "stopped", "yard": "stopped"}
    assert of(found, "/dev/video96", "end")[0]["frames"] == 0
    assert [start["crop"] for name in ("door", "yard") for start in of(found, name, "start")] == ["0,0,120,120", None]
    assert any(window["valid"] for window in of(found, "door", "window")[before:])
    assert {status["state"] for status in of(found, "door", "status")} == {"online"}
    assert PASSWORD not in out + err
    listed = subprocess.run(
        [COMMAND, "events", str(tmp_path / "journal"), "--camera", "door"], capture_output=True, check=False
    )
    assert listed.returncode == 0


@pytest.mark.slow
def test_two_recordings_get_a_file_each_and_the_records_of_each_alone(stan_edge, tmp_path):
    clip = write_video(
        tmp_path / "noise.mkv", list(np.random.default_rng(0).integers(0, 255, (40, 96, 128, 3), np.uint8))
    )
    said = ("--json", "--no-person")
    both = stan_edge(
        *("run", "--camera", demo_clip(), "--camera", clip, "--name", "demo", "--name", "noise", *said),
        *("--save-video", tmp_path / "seen.mp4", "--save-timeline", tmp_path / "timeline.png"),
    )
    assert both.returncode == 0, both.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("noise.mkv", "seen-demo.mp4", "seen-noise.mp4", "timeline-demo.png", "timeline-noise.png"),
    ]
    for source, name in ((demo_clip(), "demo"), (clip, "noise")):
        alone = records(stan_edge("run", source, "--name", name, *said))
        together = [record for record in records(both) if record["camera"] == name]
        for record in (*alone, *together):
            record.pop("latency_ms", None)
        assert together == alone


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--camera", "a.mp4", "--camera", "a.mp4"), ["Two cameras have one name", "--name"]),
        (("--camera", "0", "--camera", "1", "--name", "door"), ["--name: 1 names for 2 cameras"]),
        (("--camera", "0", "--camera", "1", "--name", "a b", "--name", "a_b"), ["'a b', 'a_b'", "[[camera]]"]),
        (("--camera", "0", "--camera", "1", "--display"), ["--display: ", "shows one camera"]),
        (("film.mp4", "--camera", "1"), ["Give one of"]),
    ],
)
def test_cameras_that_do_not_go_together_are_refused(refused, options, says):
    refused("run", *options, says=says)


@pytest.mark.parametrize(
    ("lines", "where", "says"),
    [
        ("[[camera]]\nsource = 0\n[[camera]]\nwait = true\n", "line 3, camera.1", "one of source and source_file"),
        ('[[camera]]\nsource = 0\n[[camera]]\nsource = 1\ncrop = "1,2"\n', "line 5, camera.1.crop", "not x,y,width"),
        ('[[camera]]\nsource = 0\n[[camera]]\nsource = "no.mp4"\n', "line 4, camera.1.source", "There is no"),
        ('[[camera]]\nsource = "rtsp://"\n', "line 2, camera.0.source", "not a camera address"),
    ],
)
def test_what_is_wrong_with_one_of_several_cameras_is_said_with_its_line(refused, tmp_path, lines, where, says):
    path = tmp_path / "ward.toml"
    path.write_text(lines)
    assert refused("check-config", path, says=[says]).startswith(f"stan-edge: {path}, {where}: ")


@pytest.mark.slow
def test_a_check_names_every_camera_and_the_command_line_wins(stan_edge, tmp_path):
    path = tmp_path / "ward.toml"
    path.write_text(
        '[[camera]]\nsource = "rtsp://nurse:geheim@10.0.0.7/a"\nname = "door"\nwait = true\n'
        '[[camera]]\nsource = 7\nperson = false\ncrop = "0,0,64,48"\n'
    )
    told = stan_edge("check-config", path).stdout
    assert "camera   door: rtsp://***@10.0.0.7/a; waited for\nperson   found by MediaPipe" in told
    assert "camera   camera 7, part 0,0,64,48; must be there at the start\nperson   not looked for" in told
    other = stan_edge("run", "--config", path, "--check", "--crop", "1,1,32,32", "--wait").stdout
    assert other.count("part 1,1,32,32; waited for") == 2
    only = stan_edge("run", "--config", path, "--check", "--camera", "3").stdout
    assert "camera 3" in only and "door" not in only

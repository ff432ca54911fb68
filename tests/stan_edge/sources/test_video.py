"""Video files: times, ends, and errors that help; cropping and pacing them."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_edge.errors import ConfigError, SourceConnectError, SourceDecodeError
from stan_edge.sources import Crop, PacedSource, VideoFile, demo, demo_clip, open_source
from tests.stan_edge.sources.conftest import frames_of, iter_frames, picture, write_video

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")


def test_importing_sources_and_person_is_light() -> None:
    code = (
        "import sys, stan_edge.sources, stan_edge.person.tracking, stan_edge.person.detection\n"
        "print([name for name in ('cv2', 'mediapipe', 'torch') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v")])
def test_a_file_gives_every_frame_in_rgb_at_its_time(tmp_path: Path, name: str, codec: str) -> None:
    source = VideoFile(write_video(tmp_path / name, 30, codec=codec))
    assert not source.live
    frames = frames_of(source)
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.t_capture_s for frame in frames] == pytest.approx([k / 25 for k in range(30)], abs=1e-3)
    red, green, blue = frames[10].image[60, 120]
    assert red > 200 and green < 60 and blue < 60
    assert frames[10].image.shape == (120, 160, 3)
    assert abs(int(frames[10].image[100, 40, 0]) - 40) < 8
    assert source.read() is None


def box_at(data: bytes, *path: bytes) -> list[int]:
    """Offsets of nested MP4 boxes, by name."""
    offsets, start = [], 0
    for name in path:
        start = data.index(name, start) - 4
        offsets.append(start)
    return offsets


def test_variable_frame_rate_times_are_the_containers(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 30)
    data = path.read_bytes()
    parents = box_at(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")
    stts = parents[-1]
    size, _, _, entries, count, delta = struct.unpack(">I4sIIII", data[stts : stts + 24])
    assert (size, entries, count) == (24, 1, 30)
    table = struct.pack(">I4sIIIIIIII", 40, b"stts", 0, 3, 10, delta // 2, 10, delta * 3 // 2, 10, delta)
    data = data[:stts] + table + data[stts + 24 :]
    for parent in parents[:-1]:  # moov is behind the pictures, so only the sizes of the boxes around it change
        old = struct.unpack(">I", data[parent : parent + 4])[0]
        data = data[:parent] + struct.pack(">I", old + 16) + data[parent + 4 :]
    path.write_bytes(data)
    steps = np.diff([frame.t_capture_s for frame in frames_of(VideoFile(path))])
    assert steps == pytest.approx([0.02] * 10 + [0.06] * 10 + [0.04] * 9, abs=1e-3)


def test_a_rotated_recording_stands_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 3)
    data = bytearray(path.read_bytes())
    matrix = box_at(bytes(data), b"moov", b"trak", b"tkhd")[-1] + 48
    assert struct.unpack(">9i", data[matrix : matrix + 36])[0] == 0x10000
    one = 0x10000
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 0x40000000)  # 90 degrees clockwise
    path.write_bytes(data)
    image = frames_of(VideoFile(path))[0].image
    assert image.shape == (160, 120, 3)
    assert image[120, 60, 0] > 200 and image[120, 60, 1] < 60  # what was right is now below


def test_times_go_on_where_the_container_gives_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Timeless:  # not a subclass: those of cv2's classes crash the interpreter
        def __init__(self, path: str) -> None:
            self.capture = capture(path)
            self.isOpened, self.grab = self.capture.isOpened, self.capture.grab
            self.retrieve, self.release = self.capture.retrieve, self.capture.release
            self.set = self.capture.set

        def get(self, key: int) -> float:
            return 0.0 if key == cv2.CAP_PROP_POS_MSEC else self.capture.get(key)

    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Timeless)
    frames = frames_of(VideoFile(write_video(tmp_path / "a.mp4", 20)))
    assert [frame.t_capture_s for frame in frames] == pytest.approx([k / 25 for k in range(20)])


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mkv", "mp4v")])
def test_a_file_cut_in_the_middle_gives_what_it_has_and_says_so(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, 50, codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = VideoFile(path)
    frames = []
    with pytest.raises(SourceDecodeError, match=r"cut off or damaged: \d+ of about 50 frames"):
        frames.extend(iter_frames(source))
        pytest.fail("the cut was not reported")
    assert 10 <= len(frames) < 50
    source.close()


def test_a_cut_mp4_fails_on_opening(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 50)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceDecodeError, match="cut off while being written"):
        VideoFile(path)


def test_files_that_are_no_video_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(SourceConnectError, match="does not exist"):
        open_source(str(tmp_path / "no.mp4"))
    with pytest.raises(SourceConnectError, match="is a folder"):
        open_source(str(tmp_path))
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    with pytest.raises(SourceDecodeError, match="not a video"):
        open_source(str(tmp_path / "text.mp4"))
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceDecodeError, match="is empty"):
        open_source(str(tmp_path / "empty.mp4"))
    with pytest.raises(SourceDecodeError):
        open_source(str(write_video(tmp_path / "none.avi", 0, codec="MJPG")))


def test_failures_leave_the_terminal_clean(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 50)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code = (
        "from stan_edge.errors import SourceError\n"
        "from stan_edge.sources import open_source\n"
        f"for spec in ({str(path)!r}, {str(path)!r} + '?', 'rtsp://127.0.0.1:1/a', '99', __file__):\n"
        "    try:\n"
        "        source = open_source(spec)\n"
        "        while source.read() is not None: pass\n"
        "    except SourceError: pass\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@needs_data
def test_no_good_real_clip_is_reported_as_cut() -> None:
    # the mkv clips announce up to one frame too many, the GMDCSA24 ones have a variable rate
    clips = [*DATA.glob("asl_gestures/[b-n]*.mkv"), *DATA.glob("gmdcsa24/*/Fall/13.mp4")]
    assert len(clips) == 7
    for clip in clips:
        times_s = [frame.t_capture_s for frame in frames_of(VideoFile(clip))]
        assert times_s[0] == 0.0
        assert (np.diff(times_s) > 0).all()


def test_crop_cuts_the_rectangle(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 3)
    frames = frames_of(open_source(str(path), crop=Crop.parse("80,0,80,120")))
    assert frames[0].image.shape == (120, 80, 3)
    assert frames[0].image[..., 0].min() > 150  # only the red half


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "-1,0,10,10", "0,0,0,10", "1,2,3,4,5", "1.5,0,10,10"])
def test_a_wrong_crop_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Crop.parse(text)
    assert refused.value.field == "cameras.crop"


def test_a_crop_outside_the_picture_names_both_sizes() -> None:
    with pytest.raises(ConfigError, match=r"reaches to 640x240, but the picture is 160x120"):
        Crop.parse("320,0,320,240").apply(picture(0))


def test_a_paced_file_is_on_time_and_loses_nothing_to_a_late_caller(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "a.mp4", 10)), realtime=True)
    assert isinstance(source, PacedSource) and source.live
    started_s = time.monotonic()
    first = source.read()
    time.sleep(0.2)
    rest = frames_of(source)
    assert time.monotonic() - started_s >= 0.359
    assert first is not None
    assert [frame.index for frame in [first, *rest]] == list(range(10))


def test_a_missing_demo_clip_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "files", lambda _: tmp_path)
    with pytest.raises(ConfigError, match="demo clip"):
        demo_clip()
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "demo.mp4").touch()
    assert demo_clip() == tmp_path / "shipped" / "demo.mp4"

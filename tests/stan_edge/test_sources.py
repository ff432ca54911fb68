"""Sources: times, ends, errors that help, and a reader that never waits."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stan_edge.errors import (
    ConfigError,
    SourceAuthError,
    SourceConnectError,
    SourceDecodeError,
    SourceError,
    SourceStalledError,
)
from stan_edge.sources import (
    Black,
    Camera,
    Crop,
    Fail,
    Frame,
    Freeze,
    Gap,
    Image,
    PacedSource,
    Reader,
    ScriptedSource,
    Show,
    Source,
    VideoFile,
    demo,
    demo_clip,
    is_camera,
    open_source,
)
from stan_edge.sources.address import connect_failure, printable_address

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")


def picture(value: int, width: int = 160, height: int = 120) -> Image:
    """Left half grey of `value`, right half red: tells frames, sides and channels apart."""
    image = np.full((height, width, 3), value, np.uint8)
    image[:, width // 2 :] = (255, 0, 0)
    return image


def write_video(path: Path, count: int, fps: float = 25.0, codec: str = "mp4v") -> Path:
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (160, 120))
    assert writer.isOpened()
    for k in range(count):
        image = picture(4 * k % 200)
        image[:40, :40] = rng.integers(0, 255, (40, 40, 1))  # so that the file has some size to cut
        writer.write(image[..., ::-1])
    writer.release()
    return path


def frames_of(source: Source) -> list[Frame]:
    frames = list(iter_frames(source))
    source.close()
    return frames


def iter_frames(source: Source) -> Iterator[Frame]:
    while (frame := source.read()) is not None:
        yield frame


# Files


def test_importing_sources_and_person_is_light() -> None:
    code = (
        "import sys, stan_edge.sources, stan_edge.person, stan_edge.pose\n"
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


# Crop


def test_crop_cuts_the_rectangle(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 3)
    frames = frames_of(open_source(str(path), crop=Crop.parse("80,0,80,120")))
    assert frames[0].image.shape == (120, 80, 3)
    assert frames[0].image[..., 0].min() > 150  # only the red half


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "-1,0,10,10", "0,0,0,10", "1,2,3,4,5", "1.5,0,10,10"])
def test_a_wrong_crop_names_the_flag(text: str) -> None:
    with pytest.raises(ConfigError, match="--crop"):
        Crop.parse(text)


def test_a_crop_outside_the_picture_names_both_sizes() -> None:
    with pytest.raises(ConfigError, match=r"reaches to 640x240, but the picture is 160x120"):
        Crop.parse("320,0,320,240").apply(picture(0))


# Scripts


def test_a_script_plays_in_virtual_time() -> None:
    error = SourceStalledError("gone")
    source = ScriptedSource(
        [
            Show([picture(10), picture(20)], fps=10),
            Gap(1.0),
            Freeze(0.2, fps=10),
            Fail(error),
            Black(0.1, fps=20),
            Show(lambda t_s: picture(round(t_s * 10)), fps=10, duration_s=0.3),
            Show([picture(1), picture(2)], fps=10, duration_s=0.3),
        ]
    )
    assert source.live
    before = [source.read() for _ in range(4)]
    with pytest.raises(SourceStalledError):
        source.read()
    frames = [frame for frame in [*before, *frames_of(source)] if frame is not None]
    times = [0, 0.1, 1.2, 1.3, 1.4, 1.45, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]
    assert [frame.t_capture_s for frame in frames] == pytest.approx(times)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [10, 20, 20, 20, 0, 0, 15, 16, 17, 1, 2, 1]
    assert [frame.index for frame in frames] == list(range(12))
    assert source.read() is None


@pytest.mark.parametrize(
    "step", [Show([picture(0)], fps=0), Show(lambda t_s: picture(0), fps=10), Gap(-1), Black(1, fps=-2)]
)
def test_a_script_that_cannot_be_played_is_refused(step: Show | Gap | Black) -> None:
    with pytest.raises(ConfigError):
        ScriptedSource([step])


def test_a_realtime_script_keeps_its_times_and_wakes_on_close() -> None:
    source = ScriptedSource([Show([picture(0)] * 3, fps=20), Gap(60.0)], realtime=True)
    started_s = time.monotonic()
    for _ in range(3):
        assert source.read() is not None
    assert time.monotonic() - started_s >= 0.099
    threading.Timer(0.05, source.close).start()
    assert source.read() is None  # not after 60 s


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


# Reader


def test_reader_hands_over_everything_when_it_has_room() -> None:
    with closing(Reader(ScriptedSource([Show([picture(k) for k in range(20)], fps=10)]), max_frames=20)) as reader:
        indices = [frame.index for frame in iter(lambda: reader.get(5.0), None)]
        assert indices == list(range(20))
        assert (reader.dropped, reader.ended) == (0, True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 12), st.lists(st.integers(0, 3), max_size=10))
def test_every_frame_is_taken_or_counted_as_dropped_oldest_first(count: int, max_frames: int, takes: list[int]) -> None:
    with closing(Reader(ScriptedSource([Show([picture(0, 4, 4)] * count, fps=10)]), max_frames)) as reader:
        taken: list[int] = []
        for take in takes:
            for _ in range(take):
                frame = reader.get(0.001)
                taken += [] if frame is None else [frame.index]
        taken += [frame.index for frame in iter(lambda: reader.get(5.0), None)]
        assert reader.ended
        assert taken == sorted(set(taken))
        assert len(taken) + reader.dropped == count
        assert taken[-max_frames:] == list(range(count))[-max_frames:][-len(taken[-max_frames:]) :]


def test_reader_gives_the_error_after_the_frames_before_it() -> None:
    script = ScriptedSource([Show([picture(0)] * 3, fps=10), Fail(SourceDecodeError("broken"))])
    with closing(Reader(script, max_frames=10)) as reader:
        assert [frame.index for frame in (reader.get(5.0) for _ in range(3)) if frame] == [0, 1, 2]
        for _ in range(2):
            with pytest.raises(SourceDecodeError, match="broken"):
                reader.get(5.0)
        assert reader.ended


def test_reader_returns_none_when_nothing_comes_in_time() -> None:
    script = ScriptedSource([Show([picture(0)], fps=10), Gap(60.0)], realtime=True)
    with closing(Reader(script, max_frames=4)) as reader:
        assert reader.get(5.0) is not None
        assert reader.anchor_s is not None and abs(time.monotonic() - reader.anchor_s) < 5
        assert reader.get(0.05) is None
        assert not reader.ended


def test_readers_leave_no_threads(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 50)
    before = threading.active_count()
    for _ in range(10):
        reader = Reader(open_source(str(path), realtime=True), max_frames=2)
        assert reader.get(5.0) is not None
        reader.close()
        reader.close()
    assert threading.active_count() == before


# Cameras


def test_a_camera_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(SourceConnectError, match=r"there is no /dev/video99; this machine has"):
        open_source("99")
    with pytest.raises(SourceConnectError, match=r"there is no /dev/video98"):
        open_source("/dev/video98")
    with pytest.raises(SourceConnectError, match=r"there is no /dev/v4l/by-id/usb-none; this machine has"):
        open_source("/dev/v4l/by-id/usb-none")


def test_cameras_are_told_from_files(tmp_path: Path) -> None:
    for camera in ("0", "/dev/video0", "/dev/v4l/by-id/usb-none", "rtsp://10.0.0.8/live", "http://10.0.0.8/film.mp4"):
        assert is_camera(camera)
    for file in ("film.mp4", "./0", str(tmp_path / "dev" / "video0")):
        assert not is_camera(file)


def serve_once(answer: bytes) -> int:
    """A port that answers one request with these bytes."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(answer)

    threading.Thread(target=run, daemon=True).start()
    return int(server.getsockname()[1])


def test_why_an_address_does_not_open() -> None:
    port = serve_once(b"RTSP/1.0 401 Unauthorized\r\n\r\n")
    error: SourceError = connect_failure(f"rtsp://eve:secret@127.0.0.1:{port}/live")
    assert isinstance(error, SourceAuthError)
    assert "did not accept" in str(error) and "secret" not in str(error) and "eve" not in str(error)
    port = serve_once(b"RTSP/1.0 404 Not Found\r\n\r\n")
    error = connect_failure(f"rtsp://127.0.0.1:{port}/live")
    assert isinstance(error, SourceConnectError) and "404 Not Found" in str(error)
    with pytest.raises(SourceConnectError, match="cannot be reached"):
        Camera("rtsp://eve:secret@127.0.0.1:1/live", open_timeout_s=3)
    with pytest.raises(ConfigError, match="not a camera address"):
        Camera("rtsp://:secret@/live")


def test_a_network_stream_is_read_and_its_end_is_reported(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", 10, codec="MJPG").read_bytes()
    head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(video)}\r\n\r\n".encode()
    camera = Camera(f"http://eve:secret@127.0.0.1:{serve_once(head + video)}/a.avi")
    assert camera.live and "secret" not in camera.name
    frames = []
    with pytest.raises(SourceDecodeError, match="ended after 10 frames"):
        for frame in iter_frames(camera):
            frames.append(frame)
    assert [frame.index for frame in frames] == list(range(10))
    assert frames[0].t_capture_s == 0.0
    camera.close()
    assert camera.read() is None


@given(user=st.text("abcXYZ09/?@:#&=%", min_size=1), password=st.text("pqrPQR78/?@:#&=%", min_size=0))
@example(user="admin", password="p/w?d@x&y=z")
def test_credentials_are_never_printed(user: str, password: str) -> None:
    secret = f"{user}7Zecret{password}"
    assert "7Zecret" not in printable_address(f"rtsp://u:{secret}@10.0.0.8:554/Streaming/101?channel=1")
    assert "7Zecret" not in printable_address("http://10.0.0.8/video?channel=2&password=7Zecret")


def test_an_address_without_credentials_stays_readable() -> None:
    url = "rtsp://10.0.0.8:554/cam/realmonitor?channel=1&subtype=0"
    assert printable_address(url) == url


# Demo


def test_a_missing_demo_clip_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "files", lambda _: tmp_path)
    with pytest.raises(ConfigError, match="demo clip"):
        demo_clip()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "demo.mp4").touch()
    assert demo_clip() == tmp_path / "models" / "demo.mp4"

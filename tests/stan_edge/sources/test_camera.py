"""Cameras: addresses, errors, what is never printed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stan_edge.errors import (
    ConfigError,
    SourceAuthError,
    SourceConnectError,
    SourceDecodeError,
    SourceError,
    SourceNotFoundError,
    SourceStalledError,
)
from stan_edge.sources import Camera, camera_name, is_camera, open_source
from stan_edge.sources.address import connect_failure, printable_address
from tests.stan_edge.sources.conftest import iter_frames, write_video

CRLF = b"\r\n\r\n"


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


def serve_and_hang(data: bytes, hung_up: threading.Event) -> int:
    """A port that sends these bytes and then nothing, until `hung_up`."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(data)
            hung_up.wait(30)

    threading.Thread(target=run, daemon=True).start()
    return int(server.getsockname()[1])


def test_a_stream_that_hangs_has_shown_all_it_sent_and_nothing_late(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", 60).read_bytes()
    start = video.index(b"movi")
    cuts = [k for k in range(start, len(video)) if video.startswith(b"00dc", k)]
    sent, hung_up = video[: cuts[40]], threading.Event()
    head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(video)}\r\n\r\n".encode()
    camera = Camera(f"http://127.0.0.1:{serve_and_hang(head + sent, hung_up)}/a.avi", read_timeout_s=1.0)
    took_s = []
    with pytest.raises(SourceStalledError, match="has delivered nothing for 1"):
        while True:
            started_s = time.monotonic()
            camera.read()
            took_s.append(time.monotonic() - started_s)
    hung_up.set()
    camera.close()
    assert max(took_s) < 0.5
    assert len(took_s) >= 39  # a decoder of many threads would keep back some of the 40


class Spoilt:
    """A real capture of a file in which pictures cannot be decoded from time to time."""

    def __init__(self, capture: cv2.VideoCapture, fails: Callable[[int], bool]) -> None:
        self._capture, self._fails, self._count = capture, fails, -1
        self.isOpened, self.release, self.set = capture.isOpened, capture.release, capture.set

    def grab(self) -> bool:
        self._count += 1
        return self._capture.grab()

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        return (False, None) if self._fails(self._count) else self._capture.retrieve()


def spoilt_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> Camera:
    capture = cv2.VideoCapture(str(write_video(tmp_path / "a.avi", 10, codec="MJPG")))
    monkeypatch.setattr(Camera, "_open_device", lambda *_: Spoilt(capture, fails))
    return Camera("0", read_timeout_s=0.2)


def test_a_picture_that_cannot_be_decoded_is_marked_and_shows_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = spoilt_camera(tmp_path, monkeypatch, lambda k: k in (0, 4, 5))
    frames = []
    with pytest.raises(SourceDecodeError, match="ended"):
        for frame in iter_frames(camera):
            frames.append(frame)
    assert [frame.index for frame in frames] == list(range(1, 10))  # the very first one has none before it
    assert [frame.index for frame in frames if frame.damaged] == [4, 5]
    assert frames[3].image is frames[2].image
    assert not np.array_equal(frames[5].image, frames[2].image)


def test_pictures_that_can_never_be_decoded_are_an_error_of_the_codec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = spoilt_camera(tmp_path, monkeypatch, lambda _: not time.sleep(0.05))
    with pytest.raises(SourceDecodeError, match="choose another codec"):
        camera.read()


@pytest.mark.parametrize("spec", ["gst:v4l2src device=/dev/video0", "videotestsrc ! videoconvert ! appsink"])
def test_a_pipeline_is_refused_in_one_sentence_where_opencv_has_no_gstreamer(spec: str) -> None:
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has GStreamer")
    assert is_camera(spec)
    with pytest.raises(ConfigError, match=r"needs GStreamer .* built without it"):
        open_source(spec)


@pytest.mark.parametrize(
    "pipeline",
    [
        "gst:rtspsrc location=rtsp://eve:7Zecret@10.0.0.8/live ! decodebin",
        'rtspsrc user-id="eve" user-pw = "7Zecret and more" location=rtsp://10.0.0.8/ ! decodebin',
    ],
)
def test_the_name_of_a_pipeline_holds_no_credentials(pipeline: str) -> None:
    name = camera_name(pipeline)
    assert name.startswith("gst:rtspsrc ") and name.endswith("! decodebin")
    for secret in ("7Zecret", "eve", "more"):
        assert secret not in name


def test_a_camera_has_its_name_before_it_is_opened() -> None:
    assert camera_name("0") == "camera 0"
    assert camera_name("/dev/video0") == "/dev/video0"
    assert camera_name("rtsp://eve:7Zecret@10.0.0.8/live") == "rtsp://***@10.0.0.8/live"


def test_a_path_that_is_not_there_is_told_from_a_camera_that_is_not_there() -> None:
    for status in (b"404 Not Found", b"454 Session Not Found"):
        error = connect_failure(f"rtsp://127.0.0.1:{serve_once(b'RTSP/1.0 ' + status + CRLF)}/live")
        assert isinstance(error, SourceNotFoundError)
    error = connect_failure(f"rtsp://127.0.0.1:{serve_once(b'RTSP/1.0 503 Busy' + CRLF)}/live")
    assert type(error) is SourceConnectError and "503 Busy" in str(error)

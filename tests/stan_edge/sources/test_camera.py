"""Cameras: addresses, errors, what is never printed."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stan_edge.errors import (
    ConfigError,
    SourceAuthError,
    SourceConnectError,
    SourceDecodeError,
    SourceError,
)
from stan_edge.sources import (
    Camera,
    is_camera,
    open_source,
)
from stan_edge.sources.address import connect_failure, printable_address
from tests.stan_edge.sources.conftest import iter_frames, write_video


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

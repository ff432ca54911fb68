"""Video files and folders of pictures."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np

from bench.faults.hostile import BrokenPromiseError, Case
from bench.faults.hostile.mutate import damaged
from stan_edge.sources import Frame, ImageFolder, Source, open_source
from stan_edge.sources.image_folder import SUFFIXES

FPS, SIDE_PX, PICTURES = 10, 64, 24
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "FFV1"}
BY_FFMPEG = {
    "h264.mp4": ("-c:v", "libx264", "-bf", "2"),
    "fragments.mp4": ("-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov"),
    "h264.ts": ("-c:v", "libx264", "-g", "6"),
    "raw.h264": ("-c:v", "libx264"),
    "h265.mkv": ("-c:v", "libx265", "-x265-params", "log-level=error"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime"),
    "picture.gif": (),
    "mpeg2.mpg": ("-c:v", "mpeg2video"),
    "theora.ogv": ("-c:v", "libtheora"),
    "flash.flv": ("-c:v", "flv1"),
}
"""Where `ffmpeg` is installed and has the encoder."""
PLAYLISTS = (
    b"ffconcat version 1.0\nfile /etc/passwd\n",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n",
    b"#EXTM3U\n#EXTINF:1,\n/dev/zero\n#EXT-X-ENDLIST\n",
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><MPD>&x;</MPD>",
)
"""Text that FFmpeg may take for a list of other files."""


def scene() -> list[np.ndarray]:
    """A few pictures of a moving square on noise, BGR."""
    pictures = np.random.default_rng(0).integers(40, 90, (PICTURES, SIDE_PX, SIDE_PX, 3), np.uint8)
    for k, picture in enumerate(pictures):
        picture[20:40, 2 * k : 2 * k + 16] = (200, 180, 30)
    return list(pictures)


@contextmanager
def videos(folder: Path) -> Iterator[Case]:
    whole = _whole_videos(folder / "whole")
    path = folder / "case"

    def case(rng: random.Random) -> str:
        name, content = rng.choice(whole)
        if rng.random() < 0.03:
            wrong = rng.choice(PLAYLISTS)
        elif rng.random() < 0.1:  # of one container, called another
            wrong, name = damaged(rng, content), rng.choice(whole)[0]
        else:
            wrong = damaged(rng, content)
        file = path.with_suffix(Path(name).suffix)
        file.write_bytes(wrong)
        try:
            return _read(open_source(str(file)), 50 * PICTURES)
        finally:
            file.unlink()

    yield case


def _whole_videos(folder: Path) -> list[tuple[str, bytes]]:
    folder.mkdir()
    pictures = scene()
    for suffix, codec in CODECS.items():
        writer = cv2.VideoWriter(str(folder / f"cv2{suffix}"), cv2.VideoWriter.fourcc(*codec), FPS, (SIDE_PX, SIDE_PX))
        for picture in pictures:
            writer.write(picture)
        writer.release()
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is not None:
        raw = [
            ffmpeg,
            "-v",
            "quiet",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "bgr24",
            "-s",
            f"{SIDE_PX}x{SIDE_PX}",
            "-r",
            str(FPS),
        ]
        for name, how in BY_FFMPEG.items():
            subprocess.run(
                [*raw, "-i", "-", *how, folder / name], input=b"".join(p.tobytes() for p in pictures), check=False
            )
    found = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    return [(name, content) for name, content in found if content]


def _read(source: Source, most: int) -> str:
    """Read to the end; what comes must be frames as the interface promises them."""
    last: Frame | None = None
    number = 0
    with closing(source):
        while (frame := source.read()) is not None:
            image = frame.image
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise BrokenPromiseError(f"a picture of {image.dtype} {image.shape}")
            if last is not None and not (frame.index > last.index and frame.t_capture_s >= last.t_capture_s):
                raise BrokenPromiseError(
                    f"frame {last.index} at {last.t_capture_s} and then {frame.index} at {frame.t_capture_s}"
                )
            if last is None and (frame.t_capture_s != 0):
                raise BrokenPromiseError(f"the first frame is at {frame.t_capture_s}")
            if not np.isfinite(frame.t_capture_s):
                raise BrokenPromiseError(f"frame {frame.index} is at {frame.t_capture_s}")
            last, number = frame, number + 1
            if number > most:
                return "taken, much longer than it was"
    return "taken"


@contextmanager
def folders(folder: Path) -> Iterator[Case]:
    picture = scene()[0]
    whole = {suffix: cv2.imencode(suffix, picture)[1].tobytes() for suffix in SUFFIXES}
    whole[".png"] = cv2.imencode(".png", np.dstack([picture, picture[..., 0]]))[1].tobytes()
    home = folder / "pictures"

    def case(rng: random.Random) -> str:
        home.mkdir()
        try:
            for k in range(3):
                suffix = rng.choice(SUFFIXES)
                content = whole[rng.choice((suffix, suffix, suffix, rng.choice(SUFFIXES)))]
                if k == 1:
                    content = rng.choice(BOMBS) if rng.random() < 0.1 else damaged(rng, content)
                (home / f"{k}{suffix}").write_bytes(content)
            return _read(ImageFolder(home, FPS), 3)
        finally:
            shutil.rmtree(home)

    yield case


def _png(width_px: int, height_px: int) -> bytes:
    """A picture that claims a size and holds none of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    )


def _bmp(width_px: int, height_px: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width_px, height_px, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


BOMBS = tuple(
    make(width, height)
    for make in (_png, _bmp)
    for width, height in ((30_000, 30_000), (1, 2**30), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1), (0, 5))
)

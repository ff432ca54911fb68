"""Configuration files, options, manifests and folders of clips."""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.faults.hostile import BrokenPromiseError, Case
from bench.faults.hostile.mutate import damaged, damaged_text
from stan_edge.cli.events import _moment
from stan_edge.config.origins import load_config
from stan_edge.errors import ConfigError
from stan_edge.files import plain_name
from stan_edge.sinks.delivery.broker import Broker
from stan_edge.sinks.delivery.webhook import WebhookTarget
from stan_edge.sinks.http import ListenAddress
from stan_edge.sources import Crop, camera_name
from stan_edge.sources.address import parse_address
from stan_train.datasets import FORMATS, scan
from stan_train.manifest import Clip, read_manifest, write_manifest

ROOM = Path(__file__).parents[3] / "deploy" / "workstation" / "room.toml"
TOML_VALUES = (
    *('""', '"\\u0000"', '"\\ud800"', '"' + "x" * 5000 + '"', "1e400", "-inf", "nan", "99999999999999999999", "0x7f"),
    *("true", "[[[]]]", "{a = {b = 1}}", "1979-05-27T07:32:00Z", "2025-02-30", "'''", "[" * 2000, '"rtsp://u:p@h/"'),
    *('"../../etc/passwd"', "0", "-1", "1_0", '"/dev/zero"', "{}", "'silhouette'", '"\\u202e"', "1.", ".5", "+"),
)
PIECES = (
    *("rtsp://", "http://", "mqtt://", "https://", "user:", "pass@", "host", "127.0.0.1", "[::1]", "[", "]", ":", ":0"),
    *(":65536", ":-1", ":99999999999999999999", "/path", "?a=b", "#f", "%00", "%", "%zz", "\x00", "\n", "é", "\ud800"),
    *("²", "٣", " ", "@", "@@", "/", "..", "320,0,320,240", ",", "1", "0", "-", "1e9", "9" * 5000, "gst:", " ! ", "="),
    *("/dev/video0", "whsec_", "T", "Z", "2025-03-01", "08:00", "+99:99", "+00:00", "0001-01-01", "9999-12-31T23:59"),
    *("a" * 300, "xn--", "\u202e", "。", "\u3002com", "ß", "*", "+", "$SYS"),
)
PARSERS: tuple[Callable[[str], Any], ...] = (
    *(parse_address, camera_name, Crop.parse, ListenAddress.parse, Broker.parse, WebhookTarget.parse, plain_name),
    *(lambda text: WebhookTarget.parse("https://host/", text), lambda text: _moment("--since", text)),
)


@contextmanager
def configurations(folder: Path) -> Iterator[Case]:
    text, path = ROOM.read_text(encoding="utf-8"), folder / "room.toml"
    lit = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.split("\n"))

    def case(rng: random.Random) -> str:
        content = damaged_text(rng, rng.choice((text, lit)), TOML_VALUES).encode("utf-8", "surrogatepass")
        path.write_bytes(damaged(rng, content) if rng.random() < 0.3 else content)
        load_config(path)
        return "taken"

    yield case


@contextmanager
def options(_folder: Path) -> Iterator[Case]:
    def case(rng: random.Random) -> str:
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(7)))
        found = rng.choice(PARSERS)(text)
        if isinstance(found, datetime) and found.tzinfo is None:
            raise BrokenPromiseError("a time without a zone")
        return "taken"

    yield case


@contextmanager
def manifests(folder: Path) -> Iterator[Case]:
    path = folder / "clips.csv"
    crop = Crop(0, 0, 32, 32)
    clips = [
        Clip(folder / f"{k}.mp4", "d", label, "s", "g", "1", 25.0, 50, 64, 48, important, (), "pose", cropped)
        for k, (label, important, cropped) in enumerate(
            [("falling", ((3, 9), (12, 20)), None), ("background", (), crop), ("headache", None, None)]
        )
    ]
    write_manifest(path, clips)
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))

    def case(rng: random.Random) -> str:
        mine = [list(row) for row in rows]
        for _ in range(rng.choice((1, 1, 2, 4))):
            line = mine[rng.randrange(len(mine))]
            line[rng.randrange(len(line))] = rng.choice(CELLS)
        content = "\n".join(",".join(_quoted(rng, cell) for cell in line) for line in mine) + "\n"
        raw = content.encode("utf-8", "surrogatepass")
        path.write_bytes(damaged(rng, raw) if rng.random() < 0.4 else raw)
        for clip in read_manifest(path):
            if clip.frames < 10**7:
                clip.important_flags()
                clip.ignored_flags()
        return "taken"

    yield case


CELLS = (
    *("", " ", "0", "-1", "1e9", "nan", "inf", "1e400", "9" * 5000, "?", "0-0", "5-2", "1-99999999999", "0-1;" * 9000),
    *(
        "\x00",
        "é",
        "\ud800",
        "../../outside.mp4",
        "/etc/passwd",
        "background",
        "x" * 200_000,
        '"',
        "0,0,9,9",
        "²",
        "1_0",
    ),
    *("10000000000000", "0x10", "-", ";", "3-9;3-9", "pose", "=1+1", "1-2-3", "\u2028", "falling"),
)


def _quoted(rng: random.Random, cell: str) -> str:
    return f'"{cell}"' if rng.random() < 0.5 or "," in cell else cell


@contextmanager
def collections(folder: Path) -> Iterator[Case]:
    """Folders as the four formats have them, their tables damaged."""
    clip = folder / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 30, (640, 240))
    for k in range(4):
        writer.write(np.full((240, 640, 3), 40 * k, np.uint8))
    writer.release()
    numbers = count()

    def case(rng: random.Random) -> str:
        home = folder / f"data{next(numbers)}"
        name, table, text, videos = rng.choice(LAYOUTS)
        for video in videos:
            (home / video).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, home / video)
        content = damaged_text(rng, text, CELLS).encode("utf-8", "surrogatepass")
        (home / table).parent.mkdir(parents=True, exist_ok=True)
        (home / table).write_bytes(damaged(rng, content) if rng.random() < 0.6 else content)
        try:
            found = scan(home, rng.choice((name, name, "auto", *FORMATS)), lambda _done, _all: None)
            if found.clips:
                write_manifest(home / "manifest.csv", found.clips)
                read_manifest(home / "manifest.csv")
            return "taken"
        except ConfigError:
            return "none"
        finally:
            shutil.rmtree(home)

    yield case


LAYOUTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "gmdcsa24",
        "Subject 1/Fall.csv",
        "File Name,Length (seconds),Time of Recording,Attire,Description,Classes\n"
        "01.mp4,8 secs,Day,Shirt,falls,Walking[0 to 3]; Falling[3 to 5]; Sleeping[5 to 8]\n",
        ("Subject 1/Fall/01.mp4", "Subject 1/ADL/01.mp4"),
    ),
    ("rehab", "labels.csv", "video,patient,label,intervals\n1.avi,anna,chest_pain,0.0-0.1;\n", ("1.avi",)),
    (
        "urfd",
        "urfall-cam0-falls.csv",
        "fall-01,1,-1,0,0,0,0,0,0,0,0\nfall-01,2,0,0,0,0,0,0,0,0,0\n",
        ("fall-01-cam0.mp4",),
    ),
    (
        "ntu",
        "S001C001P001R001A043.skeleton",
        "2\n1\n72057594037944738 0 1 1 1 1 0 0.02 0.1 2\n2\n0.2 0.1 3.8 270 190 1000 500 0 0 0 0 2\n"
        "0.2 0.1 3.8 270 190 1000 500 0 0 0 0 2\n0\n",
        ("S001C001P001R001A043_rgb.avi",),
    ),
    ("folders", "falling/notes.txt", "x\n", ("falling/anna/1.avi", "background/2.avi")),
)

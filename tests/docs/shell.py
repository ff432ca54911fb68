"""Runs a block as a reader would: in a folder with the files that the pages name, with a camera at its address."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from stan_edge.sources import demo_clip
from tests.conftest import wait_until
from tests.docs.blocks import ROOT, Block
from tests.e2e.conftest import write_video
from tests.e2e.mjpeg import MjpegCamera

CAMERA = "rtsp://user:password@host/path"
WATCH_S = 3.0
"""How long a camera is watched before Ctrl-C: a window takes two seconds."""
LONGEST_S = 1800.0


def prepare(folder: Path) -> None:
    """The files that the pages speak of."""
    shutil.copy(demo_clip(), folder / "film.mp4")
    for name in ("deploy", "train", "stan_edge"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "yard.address").write_text("rtsp://host/yard\n")
    rng = np.random.default_rng(0)
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(60):
        cv2.imwrite(str(pictures / f"{number}.jpg"), rng.integers(40, 90, (120, 160, 3), np.uint8))
    rows = ["video,patient,label,intervals"]
    for person in ("anna", "ben", "carla"):
        for name, label, intervals, levels in (
            ("fall", "falling", "15-30", (60, 190)),
            ("walk", "background", "none", (60, 60)),
        ):
            path = folder / "recordings" / person / f"{name}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            shown = [level for level in levels for _ in range(15)]
            write_video(path, [rng.integers(level - 20, level + 20, (64, 64, 3), np.uint8) for level in shown])
            rows.append(f"{person}/{name}.mp4,{person},{label},{intervals}")
    (folder / "recordings" / "clips.csv").write_text("\n".join(rows) + "\n")


class Shell:
    """Runs blocks in one folder, one after the other."""

    def __init__(self, folder: Path, camera: MjpegCamera, paths: tuple[Path, ...] = ()) -> None:
        self._folder = folder
        self._camera = camera
        self._env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        if paths:
            self._env["PYTHONPATH"] = os.pathsep.join(map(str, paths))

    def run(self, block: Block) -> None:
        """Every command must do what the page says, and none may print a traceback."""
        if block.title is not None:
            path = self._folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            self._check(block, [sys.executable, "-W", "error", "-c", block.text], 0)
        else:
            self._commands(block)

    def _commands(self, block: Block) -> None:
        *first, last = block.commands
        last_code = int(block.marks.get("exit code", 0))
        with ExitStack() as stack:
            for number, (command, code) in enumerate([*((command, 0) for command in first), (last, last_code)]):
                added = block.marks.get("run with", "") if number == 0 else ""
                text = self._stand_in(f"{command} {added}")
                if text.endswith("&"):
                    stack.callback(self._stop, block, self._start(text.removesuffix("&")))
                elif watches_camera(command):
                    self._stop(block, self._start(text))
                else:
                    self._check(block, ["bash", "-c", text], code)

    def _stand_in(self, command: str) -> str:
        command = command.replace(CAMERA, self._camera.url).strip()
        return re.sub(r"--camera 0\b", f"--camera {self._camera.url}", command)

    def _start(self, command: str) -> subprocess.Popen[str]:
        before = self._camera.connections
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self._folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: self._camera.connections > before or process.poll() is not None, 120)
        return process

    def _stop(self, block: Block, process: subprocess.Popen[str]) -> None:
        try:
            process.wait(WATCH_S)  # an end by itself is a failure, and said below
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (str(block), out, err)
        assert "Traceback" not in err, (str(block), err)

    def _check(self, block: Block, command: list[str], code: int) -> None:
        ran = subprocess.run(
            command, cwd=self._folder, env=self._env, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
        assert ran.returncode == code, (str(block), command, ran.stdout[-2000:], ran.stderr[-4000:])
        assert "Traceback" not in ran.stderr, (str(block), ran.stderr)


def watches_camera(command: str) -> bool:
    """Whether a command goes on until Ctrl-C."""
    return "stan-edge run" in command and bool(re.search(rf"--camera 0\b|--camera-file|{re.escape(CAMERA)}", command))

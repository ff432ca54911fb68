"""Renders the clip that ships inside the wheel: `python -m stan_train.demo_clip stan_edge/shipped/demo.mp4`."""

from __future__ import annotations

import sys

import cv2

from stan_train.synthetic import render_clip

ACTIVITY, SEED, DURATION_S, FPS, SIZE_PX = "falling", 7_000_008, 8.0, 25.0, (640, 480)
"""Not one of the clips that training renders with its default seed."""


def write_demo_clip(path: str) -> None:
    clip = render_clip(ACTIVITY, SEED, duration_s=DURATION_S, fps=FPS, size_px=SIZE_PX)
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE_PX)
    for frame in clip.frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    print(clip.description)


if __name__ == "__main__":
    write_demo_clip(sys.argv[1])

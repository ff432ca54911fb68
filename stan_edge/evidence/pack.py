"""The files of one event."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from stan_edge.evidence.case import Case, ExplainedWindow
from stan_edge.evidence.ring import JPEG_QUALITY, CompressedFrame
from stan_edge.model.bundle import CONTRACT, write_digests
from stan_edge.model.contract import Contract
from stan_edge.person.anonymize import Privacy
from stan_edge.pipeline.heat import SurestHeat
from stan_edge.records import time_of_day
from stan_edge.reports.drawing import jpeg
from stan_edge.reports.heat_colors import add_heat
from stan_edge.reports.video_writer import VideoWriter, slots_of

SCHEMA = 1
ABOUT, RECORDS, CLIP, MAPS = "evidence.json", "records.jsonl", "clip.mp4", "maps.npz"
MOST_FPS = 30.0


def write_pack(folder: Path, case: Case, contract: Contract, contract_file: bytes, privacy: Privacy) -> None:
    """Write everything about an event into an empty folder, the digests last.

    Args:
        contract_file: the model's, as it lies in its bundle.

    Raises:
        OSError: the disk does not let us.
    """
    need_bytes = 2 * sum(len(shot.jpeg) for shot in case.shots)
    if shutil.disk_usage(folder).free < need_bytes:  # the video writer would not say so
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    (folder / RECORDS).write_text("".join(f"{line}\n" for line in case.lines), encoding="utf-8")
    (folder / CONTRACT).write_bytes(contract_file)
    explained = [window for window in case.explained if window.result.explained_class == case.event.label]
    if explained:
        # a machine that was too slow has changed the method on the way, and maps of two methods differ in size
        method = Counter(window.result.method for window in explained).most_common(1)[0][0]
        explained = [window for window in explained if window.result.method == method]
        _write_maps(folder / MAPS, explained)
    _write_pictures(folder, case, explained, contract)
    event = case.event
    about = {
        "type": "evidence",
        "schema": SCHEMA,
        "camera": event.camera,
        "event": event.id,
        "label": event.label,
        "at": None if case.at is None else time_of_day(case.at),
        "t_start_s": round(event.t_start_s, 4),
        "t_end_s": round(event.t_end_s, 4),
        "ended": event.phase == "end",
        "privacy": privacy,
        "clip": {
            "t_start_s": round(case.shots[0].t_s, 4) if case.shots else None,
            "t_end_s": round(case.shots[-1].t_s, 4) if case.shots else None,
            "fps": _write_clip(folder / CLIP, case.shots),
            "frames": len(case.shots),
            "cut": case.cut,
        },
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_digests(folder)


def _write_maps(path: Path, explained: Sequence[ExplainedWindow]) -> None:
    """Raw maps `[W, T, h, w]` of the windows that explain the event, and the squares of the frames that they cover."""
    np.savez_compressed(
        path,
        windows=np.array([window.result.window for window in explained]),
        frames=np.array([[frame.index for frame in window.result.frames] for window in explained]),
        maps=np.stack([window.map for window in explained]),
        squares_px=np.array([astuple(window.square) for window in explained]),
    )


def _write_pictures(folder: Path, case: Case, explained: Sequence[ExplainedWindow], contract: Contract) -> None:
    """The important frames, each as it was seen, and with heat by the window that was surest of the event."""
    shots = {shot.index: shot for shot in case.shots}
    heats = SurestHeat(contract, of_class=case.event.label)
    for window in reversed(explained):  # of two that are equally sure, the later one counts
        heats.add(window.result, window.map, window.square)
    for index in {frame.index for frame in case.event.important_frames} & shots.keys():
        shot, heat = shots[index], heats.get(index)
        (folder / f"frame-{index:06d}.jpg").write_bytes(shot.jpeg)
        if heat is not None:
            picture = add_heat(shot.picture(), shot.scale, heat.cells, heat.square, 1.0)
            (folder / f"heat-{index:06d}.jpg").write_bytes(jpeg(picture, JPEG_QUALITY))


def _write_clip(path: Path, shots: Sequence[CompressedFrame]) -> float:
    """Write the pictures as they followed each other in time; returns the rate."""
    times_s = [shot.t_s for shot in shots]
    steps_s = np.diff(times_s)
    steps_s = steps_s[steps_s > 0]
    fps = round(min(1 / float(np.median(steps_s)), MOST_FPS), 2) if len(steps_s) else MOST_FPS
    with VideoWriter(path, fps) as video:
        for shot, slots in zip(shots, slots_of(times_s, fps), strict=True):
            if slots:
                video.write(shot.picture(), slots)
    return fps

"""The files of one event."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from stan_edge.evidence.case import Case, CaseWindow
from stan_edge.evidence.ring import JPEG_QUALITY, CompressedFrame
from stan_edge.files import file_digest
from stan_edge.model.bundle import CONTRACT, DIGESTS, write_digests
from stan_edge.model.contract import Contract
from stan_edge.person.anonymize import Privacy
from stan_edge.pipeline.heat import SurestHeat
from stan_edge.records import time_of_day, to_line
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
    lines = [to_line(case.start), *case.lines]
    (folder / RECORDS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / CONTRACT).write_bytes(contract_file)
    explained = [seen for seen in case.windows if seen.look and seen.result.explained_class == case.event.label]
    by = Counter(seen.result.method for seen in explained).most_common(1)
    # a machine that was too slow has changed the method on the way, and maps of two methods differ in size
    explained = [seen for seen in explained if seen.result.method == by[0][0]]
    _write_maps(folder / MAPS, explained)
    _write_pictures(folder, case, explained, contract)
    fps = _write_clip(folder / CLIP, case.shots)
    about = _about(case, fps, privacy)
    (folder / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_digests(folder)


def changed(folder: Path) -> list[str]:
    """Names of the files that are not what was written: missing, other, or added since."""
    recorded = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
    there = {path.name: file_digest(path) for path in folder.iterdir() if path.name != DIGESTS}
    return sorted(name for name in {*recorded, *there} if recorded.get(name) != there.get(name))


def _about(case: Case, fps: float, privacy: Privacy) -> dict[str, Any]:
    event = case.event
    return {
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
            "fps": fps,
            "frames": len(case.shots),
            "cut": case.cut,
        },
    }


def _write_maps(path: Path, explained: Sequence[CaseWindow]) -> None:
    """Raw maps `[W, T, h, w]` of the windows that explain the event, and the squares of the frames that they cover."""
    if explained:
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                windows=np.array([seen.result.window for seen in explained]),
                frames=np.array([[frame.index for frame in seen.result.frames] for seen in explained]),
                maps=np.stack([seen.look.map for seen in explained if seen.look]),
                squares_px=np.array(
                    [(s.x_px, s.y_px, s.side_px) for s in (seen.look.square for seen in explained if seen.look)]
                ),
            )


def _write_pictures(folder: Path, case: Case, explained: Sequence[CaseWindow], contract: Contract) -> None:
    """The important frames, each as it was seen, and with heat by the window that was surest of the event."""
    shots = {shot.index: shot for shot in case.shots}
    heats = SurestHeat(contract, of_class=case.event.label)
    for seen in reversed(explained):  # of two that are equally sure, the later one counts
        if seen.look is not None:
            heats.add(seen.result, seen.look.map, seen.look.square)
    for frame in case.event.important_frames:
        shot, heat = shots.get(frame.index), heats.get(frame.index)
        if shot is None:
            continue
        (folder / f"frame-{frame.index:06d}.jpg").write_bytes(shot.jpeg)
        if heat is not None:
            picture = add_heat(shot.picture(), shot.scale, heat.cells, heat.square, 1.0)
            (folder / f"heat-{frame.index:06d}.jpg").write_bytes(jpeg(picture, JPEG_QUALITY))


def _write_clip(path: Path, shots: Sequence[CompressedFrame]) -> float:
    """Write the pictures as they followed each other in time; returns the rate."""
    times_s = [shot.t_s for shot in shots]
    steps_s = [later_s - t_s for t_s, later_s in pairwise(times_s) if later_s > t_s]
    fps = round(min(1 / float(np.median(steps_s)), MOST_FPS), 2) if steps_s else MOST_FPS
    with VideoWriter(path, fps) as video:
        for shot, slots in zip(shots, slots_of(times_s, fps), strict=True):
            if slots:
                video.write(shot.picture(), slots)
    return fps

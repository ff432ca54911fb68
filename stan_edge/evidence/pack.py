"""The files of one event."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stan_edge.evidence.case import Case, CaseWindow
from stan_edge.evidence.ring import JPEG_QUALITY, CompressedFrame
from stan_edge.files import file_digest
from stan_edge.model.bundle import CONTRACT, DIGESTS, write_digests
from stan_edge.model.contract import Contract, Method
from stan_edge.person.anonymize import Privacy
from stan_edge.pipeline.heat import focus, heated
from stan_edge.records import time_of_day, to_line
from stan_edge.reports.drawing import add_heat, jpeg

SCHEMA = 1
ABOUT, RECORDS, CLIP, MAPS = "evidence.json", "records.jsonl", "clip.mp4", "maps.npz"
MOST_FPS = 30.0


def write_pack(
    folder: Path, case: Case, contract: Contract, contract_file: bytes, method: Method, privacy: Privacy
) -> None:
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
    _write_pictures(folder, case, explained, contract, method)
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


def _write_pictures(
    folder: Path, case: Case, explained: Sequence[CaseWindow], contract: Contract, method: Method
) -> None:
    """The important frames, each as it was seen, and with heat by the window that was surest of the event."""
    shots = {shot.index: shot for shot in case.shots}
    surest = sorted(explained, key=lambda seen: (seen.result.probabilities or {}).get(case.event.label, 0.0))
    looks = {frame.index: (seen, k) for seen in surest for k, frame in enumerate(seen.result.frames)}
    for frame in case.event.important_frames:
        shot = shots.get(frame.index)
        if shot is None:
            continue
        (folder / f"frame-{frame.index:06d}.jpg").write_bytes(shot.jpeg)
        seen, k = looks.get(frame.index, (None, 0))
        if seen is not None and seen.look is not None:
            size_px, cell_px = contract.input.size_px, contract.methods[seen.result.method or method].cell_px
            heat = focus(seen.look.map)[k]
            square = heated(seen.look.square, heat.shape[-1], cell_px, size_px)
            picture = add_heat(shot.picture(), shot.scale, heat, square, 1.0)
            (folder / f"heat-{frame.index:06d}.jpg").write_bytes(jpeg(picture, JPEG_QUALITY))


def _write_clip(path: Path, shots: Sequence[CompressedFrame]) -> float:
    """Write the pictures as they followed each other in time: a gap shows the picture before it; returns the rate."""
    steps_s = [later.t_s - shot.t_s for shot, later in pairwise(shots) if later.t_s > shot.t_s]
    fps = round(min(1 / float(np.median(steps_s)), MOST_FPS), 2) if steps_s else MOST_FPS
    writer: cv2.VideoWriter | None = None
    written, size = 0, (0, 0)
    for shot, slots in _slots(shots, fps):
        picture = cv2.cvtColor(shot.picture(), cv2.COLOR_RGB2BGR)
        if writer is None:
            size = (picture.shape[1], picture.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if (picture.shape[1], picture.shape[0]) != size:  # it would be left out without a word
            picture = cv2.resize(picture, size)
        for _ in range(slots):
            writer.write(picture)
        written += slots
    if writer is not None:
        writer.release()
        video = cv2.VideoCapture(str(path))
        found = round(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        video.release()
        if found != written:
            raise OSError(errno.EIO, f"the clip has {found} of {written} pictures", str(path))
    return fps


def _slots(shots: Sequence[CompressedFrame], fps: float) -> Iterator[tuple[CompressedFrame, int]]:
    """Each shot that is shown, and for how many pictures of the clip."""
    due = 0
    for shot, later in pairwise(shots):
        # a slot shows the newest shot that was taken until its middle
        until = round((later.t_s - shots[0].t_s) * fps)
        if until > due:
            yield shot, until - due
            due = until
    if shots:
        yield shots[-1], 1

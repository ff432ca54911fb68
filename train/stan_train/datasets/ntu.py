"""NTU RGB+D (60 and 120): `SsssCcccPpppRrrrAaaa_rgb.avi`, anywhere below the folder.

A043 is falling, A044 headache, A045 chest_pain, every other class background. Labels are weak: nobody has marked the
frames. Three cameras film one performance, so clips of the same setup, performer and replication form a group.
Where the skeleton file lies beside the clip it says where the person is; otherwise the person is looked for (five
clips of these classes have no skeleton: S006C002P016R001A043, S010C003P007R002A043, S008C003P034R002A044,
S015C003P025R002A044, S008C003P034R002A045; they are kept).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stan_edge.errors import ConfigError
from stan_train.datasets.files import Facts, Refusal, clip_of, open_video, videos, weak
from stan_train.datasets.skeleton import read_skeleton
from stan_train.manifest import BACKGROUND, Clip

DATASET = "ntu"
READ_TOO = ("*.skeleton",)
NAME = re.compile(r"(S\d{3})(C\d{3})(P\d{3})(R\d{3})A(\d{3})_rgb")
LABELS = {43: "falling", 44: "headache", 45: "chest_pain"}
CLASSES = range(1, 121)


def looks_like(folder: Path) -> bool:
    """Whether any video is named as NTU's are."""
    return any(NAME.fullmatch(path.stem) for path in videos(folder))


def read(folder: Path) -> Iterator[Clip | Refusal]:
    """Clips and refusals."""
    for path in videos(folder):
        match = NAME.fullmatch(path.stem)
        if match is None:
            yield Refusal(
                path, "is not named like S001C001P001R001A043_rgb.avi; rename it or scan it as another format"
            )
            continue
        setup, camera, performer, replication, number = match.groups()
        if int(number) not in CLASSES:
            yield Refusal(path, f"A{number} is an unknown class; NTU RGB+D has A001 to A120")
            continue
        found = open_video(path)
        if isinstance(found, Refusal):
            yield found
            continue
        label = LABELS.get(int(number), BACKGROUND)
        facts = Facts(DATASET, label, performer, setup + performer + replication, camera)
        skeleton = path.with_name(path.stem.removesuffix("_rgb") + ".skeleton")
        region = "skeleton" if skeleton.is_file() else "pose"
        if region == "skeleton":
            try:
                read_skeleton(skeleton, found.frames)
            except ConfigError as error:
                region = "pose"
                yield Refusal(
                    skeleton, f"{error} The clip is kept, its person is looked for.".removeprefix(f"{skeleton} ")
                )
        yield clip_of(path, found, facts, important=weak(label), region=region)

"""`run --evidence` and `--privacy` as their users meet them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_edge.model.bundle import CONTRACT, DIGESTS, shipped_bundle
from stan_edge.sources import VideoFile, demo_clip
from tests.e2e.conftest import records

PERSON = slice(150, 390), slice(160, 320)
"""Where she is when she falls; every part of it is looked for."""
PART_PX = 48


@pytest.fixture(scope="module")
def packs(stan_edge, tmp_path_factory):
    """The demo's pack by privacy, the annotated video beside it, and what was printed."""
    folder = tmp_path_factory.mktemp("evidence")
    found = {}
    for privacy in ("none", "blur", "silhouette"):
        options = () if privacy == "blur" else ("--privacy", privacy)
        video = folder / f"{privacy}.mp4"
        ran = stan_edge("run", "--demo", "--json", "--evidence", folder / privacy, "--save-video", video, *options)
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
        (pack,) = (folder / privacy).iterdir()
        found[privacy] = pack, video, records(ran)
    return found


def test_the_demo_leaves_one_pack_that_holds_everything(packs):
    pack, _, printed = packs["blur"]
    (event,) = [r for r in printed if r["type"] == "event" and r["phase"] == "end"]
    about = json.loads((pack / "evidence.json").read_text())
    assert (about["privacy"], about["event"], about["label"]) == ("blur", event["id"], "falling")
    assert pack.name.endswith(f"{event['t_start_s']:09.3f}s-falling-{event['id']}")
    lines = [json.loads(line) for line in (pack / "records.jsonl").read_text().splitlines()]
    assert lines[0] == printed[0]
    assert all(line in printed for line in lines)
    assert [line for line in lines if line["type"] == "event"] == [r for r in printed if r["type"] == "event"]
    assert (pack / CONTRACT).read_bytes() == (shipped_bundle() / CONTRACT).read_bytes()
    for frame in event["important_frames"]:
        for kind in ("frame", "heat"):
            assert cv2.imread(str(pack / f"{kind}-{frame['index']:06d}.jpg")).shape == (480, 640, 3)
    clip = cv2.VideoCapture(str(pack / "clip.mp4"))
    assert clip.get(cv2.CAP_PROP_FRAME_COUNT) == about["clip"]["frames"] == 200
    digests = json.loads((pack / DIGESTS).read_text())
    assert digests == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pack.iterdir() if path.name != DIGESTS
    }


def test_what_is_hidden_changes_no_record(packs):
    printed = [
        [{key: value for key, value in r.items() if key != "latency_ms"} for r in packs[privacy][2]]
        for privacy in ("none", "blur", "silhouette")
    ]
    assert printed[0] == printed[1] == printed[2]


@pytest.fixture(scope="module")
def originals():
    source, images = VideoFile(demo_clip()), {}
    while (frame := source.read()) is not None:
        images[frame.index] = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    source.close()
    return images


def details(image: np.ndarray) -> np.ndarray:
    return image - cv2.GaussianBlur(image, (0, 0), 4)


def likeness(shown: np.ndarray, original: np.ndarray) -> float:
    """Correlation of the details of the part of the person that is shown best."""
    one, other = details(cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY).astype(np.float32)), details(original)
    best = 0.0
    for y in range(PERSON[0].start, PERSON[0].stop, PART_PX):
        for x in range(PERSON[1].start, PERSON[1].stop, PART_PX):
            parts = [image[y : y + PART_PX, x : x + PART_PX].ravel() for image in (one, other)]
            if parts[1].std() > 6 and parts[0].std() > 0.1:  # not the even floor
                best = max(best, float(np.corrcoef(*parts)[0, 1]))
    return best


def pictures_of(pack: Path, video: Path) -> list[tuple[int, np.ndarray]]:
    """Everything that was written, with the number of the frame it shows."""
    found = [(int(path.stem[-6:]), cv2.imread(str(path))) for path in pack.glob("frame-*.jpg")]
    for path in (pack / "clip.mp4", video):
        reader, number = cv2.VideoCapture(str(path)), 0
        while (read := reader.read())[0]:
            if 60 <= number < 110:
                found.append((number, read[1][:480]))
            number += 1
    return found


def test_no_written_picture_shows_the_person_unless_asked(packs, originals):
    best = {
        privacy: [likeness(shown, originals[number]) for number, shown in pictures_of(pack, video)]
        for privacy, (pack, video, _) in packs.items()
    }
    assert all(len(found) > 100 for found in best.values())
    assert np.percentile(best["none"], 5) > 0.9  # heat covers her in one or two
    assert max(best["blur"]) < 0.6
    assert max(best["silhouette"]) < 0.6


@pytest.mark.slow
def test_a_video_alone_is_not_hidden_unless_asked(demo, stan_edge, tmp_path, originals):
    hidden = tmp_path / "hidden.mp4"
    assert stan_edge("run", "--demo", "--json", "--save-video", hidden, "--privacy", "blur").returncode == 0

    def shown(video: Path) -> float:
        reader = cv2.VideoCapture(str(video))
        return likeness([reader.read()[1][:480] for _ in range(60)][-1], originals[59])

    assert shown(demo[0] / "seen.mp4") > 0.9
    assert shown(hidden) < 0.6


def test_wrong_options_are_refused_before_anything_runs(refused, tmp_path):
    (tmp_path / "file").touch()
    refused("run", "--demo", "--privacy", "much", says=("--privacy: must be 'none', 'blur' or 'silhouette'",))
    refused("run", "--demo", "--evidence", tmp_path / "file", says=("--evidence", "cannot be a folder"))

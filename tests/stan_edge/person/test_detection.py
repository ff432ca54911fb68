"""MediaPipe as the detector of the person: on real falls, and what it must not do to the terminal."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from stan_bench.cli import bench
from stan_edge.config import RunConfig
from stan_edge.errors import ConfigError
from stan_edge.live.run import run
from stan_edge.model.bundle import CONTRACT, write_digests
from stan_edge.model.contract import read_contract, write_contract
from stan_edge.person.detection import MediapipeDetector, watching
from stan_edge.person.tracking import Region
from stan_edge.sources import Crop, demo_clip, open_source

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")


@pytest.mark.parametrize("region", ["box", "mask"])
@pytest.mark.parametrize("verb", ["run", "bench"])
def test_the_detector_gives_masks_where_the_model_asks_for_them(
    bundle_copy: Path, monkeypatch: pytest.MonkeyPatch, verb: str, region: str
) -> None:
    class AskedError(Exception):
        """Says what the detector was asked for."""

    def detector(*, masks: bool = False) -> MediapipeDetector:
        raise AskedError(masks)

    contract = read_contract(bundle_copy / CONTRACT)
    spec = contract.input.model_copy(update={"region": region})
    write_contract(bundle_copy / CONTRACT, contract.model_copy(update={"input": spec}))
    write_digests(bundle_copy)
    monkeypatch.setattr("stan_edge.person.detection.MediapipeDetector", detector)
    with pytest.raises(AskedError) as asked:
        if verb == "run":
            model = {"bundle": bundle_copy, "backend": "onnxruntime"}
            run(RunConfig(cameras=[{"source": str(demo_clip())}], model=model))
        else:
            bench.command(str(demo_clip()), model=bundle_copy, backend="onnxruntime")
    assert asked.value.args == (region == "mask",)


def test_a_detector_that_has_forgotten_finds_what_a_new_one_does() -> None:
    pytest.importorskip("mediapipe")
    pictures = []
    with closing(open_source(str(demo_clip()))) as source:
        while len(pictures) < 41 and (frame := source.read()) is not None:
            pictures.append(frame.image)
    found = []
    for used in (False, True):
        detector = MediapipeDetector()
        if used:
            assert detector.find(pictures[0], None) is not None
            detector.forget()
        sighting = detector.find(pictures[-1], None)
        assert sighting is not None
        found.append(sighting.box)
        detector.close()
    np.testing.assert_array_equal(*found)


def test_missing_mediapipe_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("mediapipe")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ConfigError, match=r'pip install "stan-edge\[pose\]"'):
        MediapipeDetector()


def regions_of(clip: str, crop: Crop | None = None, *, masks: bool = False) -> list[Region]:
    regions = []
    with watching(masks=masks) as tracker, closing(open_source(str(DATA / clip), crop=crop)) as source:
        while (frame := source.read()) is not None:
            regions.append(tracker.update(frame))
    return regions


@needs_data
def test_a_real_fall_is_held_to_the_end_twice_the_same_and_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mediapipe")

    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    clip = "gmdcsa24/Subject 1/Fall/13.mp4"
    regions = regions_of(clip)
    known = [region for region in regions if region.state == "tracked"]
    assert len(known) >= 0.95 * len(regions)
    standing, lying = regions[10].box_px, regions[-1].box_px
    assert standing is not None and lying is not None
    assert standing[3] - standing[1] > standing[2] - standing[0]
    assert lying[3] - lying[1] < lying[2] - lying[0]
    assert regions_of(clip) == regions


@needs_data
def test_a_person_whom_tracking_alone_loses_on_the_ground_is_found_again() -> None:
    pytest.importorskip("mediapipe")
    regions = regions_of("urfd/fall-04-cam0.mp4", Crop(320, 0, 320, 240))  # tracking alone: 26 of 96 frames lost
    assert sum(region.state == "tracked" for region in regions) >= 0.9 * len(regions)
    x0, y0, x1, _ = regions[-1].box_px or (0, 0, 0, 0)
    assert y0 > 120 and x0 < 120 < x1  # on the floor, where he lies


@needs_data
def test_the_mask_is_the_person_also_on_the_ground_and_changes_no_box() -> None:
    pytest.importorskip("mediapipe")
    clip, crop = "urfd/fall-04-cam0.mp4", Crop(320, 0, 320, 240)  # found turned by a quarter, too
    regions = regions_of(clip, crop, masks=True)
    assert regions == regions_of(clip, crop)
    at_center = []
    for region in regions:
        if region.box_px is None:
            continue
        x0, y0, x1, y1 = region.box_px
        assert region.mask is not None
        assert region.mask.shape == (240, 320)
        at_center.append(region.mask[(y0 + y1) // 2, (x0 + x1) // 2])
        assert 0.2 < region.mask[y0:y1, x0:x1].mean() < 0.95
        assert region.mask[y0:y1, x0:x1].sum() > 0.7 * region.mask.sum()
    assert np.mean(at_center) >= 0.9


def test_mediapipe_writes_nothing_to_the_terminal_and_swallows_nothing_of_ours() -> None:
    pytest.importorskip("mediapipe")
    code = (
        "import os, numpy as np\n"
        "from stan_edge.person.native_noise import native_noise_removed\n"
        "from stan_edge.person.detection import MediapipeDetector\n"
        "detector = MediapipeDetector()\n"
        "detector.find(np.zeros((240, 320, 3), np.uint8), None)\n"
        "detector.forget()\n"
        "detector.find(np.zeros((240, 320, 3), np.uint8), None)\n"
        "with native_noise_removed():\n"
        "    os.write(2, b'kept\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout == ""
    assert done.stderr == "kept\n"


def test_threads_that_remove_the_noise_together_give_the_terminal_back() -> None:
    code = (
        "import os, threading\n"
        "from stan_edge.person.native_noise import native_noise_removed\n"
        "first_in, second_in = threading.Event(), threading.Event()\n"
        "def second():\n"
        "    first_in.wait()\n"
        "    with native_noise_removed():\n"
        "        second_in.set()\n"
        "        thread_of_first.join()\n"
        "        os.write(2, b'I0000 00:00:00.000000 1 noise.cc:1] noise\\n')\n"
        "        os.write(2, b'kept\\n')\n"
        "def first():\n"
        "    with native_noise_removed():\n"
        "        first_in.set()\n"
        "        second_in.wait()\n"
        "thread_of_first, thread_of_second = threading.Thread(target=first), threading.Thread(target=second)\n"
        "thread_of_first.start(); thread_of_second.start(); thread_of_second.join()\n"
        "os.write(2, b'after\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "kept\nafter\n"

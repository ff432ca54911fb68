"""No picture that leaves memory shows who is in it, whatever a sink does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.backends.base import Backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.person.anonymize import CELLS, Privacy, anonymize, hidden_box
from stan_edge.person.tracking import NOBODY, Region
from stan_edge.pipeline.predictor import Explainer, Explanation
from stan_edge.pipeline.windows import Window
from stan_edge.records import Record, WindowResult
from stan_edge.reports.charts import LINE_PX, MARGIN_PX
from stan_edge.reports.recording import PICTURE_PX, RecordingReport, explain_recording
from stan_edge.reports.recording_charts import LEFT_PX
from stan_edge.retention import Retention
from stan_edge.sinks.base import Sink
from stan_edge.sinks.evidence import Evidence
from stan_edge.sinks.overlay import WIDTH_PX, OverlayVideo
from stan_edge.sinks.timeline_picture import THUMB_PX, TimelinePicture
from stan_edge.sources import Frame, ScriptedSource, Show
from stan_edge.types import Image, Mask, PixelBox, Square

WIDTH, HEIGHT = 320, 240
BOX = (110, 60, 200, 200)


def noise(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@st.composite
def regions(draw: st.DrawFn, width: int, height: int) -> Region:
    def box() -> PixelBox:
        x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        return x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))

    state = draw(st.sampled_from(["tracked", "held", "none"]))
    if state == "none":
        return NOBODY
    mask: Mask | None = None
    if draw(st.booleans()):
        mask = np.random.default_rng(draw(st.integers(0, 9))).random((height, width)) > 0.5
    return Region(box(), state, mask, box() if state == "tracked" and draw(st.booleans()) else None)


sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))


@given(st.data(), sizes)
def test_a_silhouette_does_not_depend_on_what_the_person_looks_like(data: st.DataObject, size: tuple[int, int]) -> None:
    width, height = size
    region = data.draw(regions(width, height))
    one, other = (anonymize(noise(seed, height, width), region, "silhouette") for seed in (0, 1))
    x0, y0, x1, y1 = hidden_box(region, width, height) or (0, 0, width, height)
    assert np.array_equal(one[y0:y1, x0:x1], other[y0:y1, x0:x1])


@given(st.data(), sizes)
def test_a_blur_leaves_a_few_cells_of_the_person(data: st.DataObject, size: tuple[int, int]) -> None:
    width, height = size
    region = data.draw(regions(width, height))
    image = noise(0, height, width)
    shown = anonymize(image, region, "blur")
    x0, y0, x1, y1 = hidden_box(region, width, height) or (0, 0, width, height)
    part = shown[y0:y1, x0:x1]
    assert len(np.unique(part, axis=0)) <= CELLS
    assert len(np.unique(part, axis=1).swapaxes(0, 1)) <= CELLS
    assert shown.shape == image.shape
    assert np.array_equal(image, noise(0, height, width))


@given(st.data(), sizes)
def test_what_is_hidden_holds_the_region_and_the_newest_look(data: st.DataObject, size: tuple[int, int]) -> None:
    width, height = size
    region = data.draw(regions(width, height))
    hidden = hidden_box(region, width, height)
    if region.state != "tracked":
        assert hidden is None
        return
    assert hidden is not None
    for box in (region.box_px, region.seen_px):
        if box is not None:
            assert hidden[0] <= box[0] and hidden[1] <= box[1] and hidden[2] >= box[2] and hidden[3] >= box[3]


@pytest.mark.parametrize("privacy", ["blur", "silhouette"])
def test_somebody_whom_the_search_does_not_know_loses_every_detail(privacy: Privacy) -> None:
    shown = anonymize(noise(0), Region((200, 100, 300, 230), "tracked"), privacy)
    elsewhere = shown[:, :80].astype(float)
    assert elsewhere.std() < 0.35 * noise(0)[:, :80].std()
    assert np.abs(np.diff(elsewhere, axis=1)).max() < 60


class Fixed:
    """Knows where the person is, or that nobody is there."""

    def __init__(self, region: Region) -> None:
        self._region = region

    def update(self, frame: Frame, detection_hz: float = 10.0) -> Region:
        return self._region


class Looking(Sink):
    """Keeps every picture that it can get hold of."""

    def __init__(self) -> None:
        self.pictures: list[Image] = []
        self.in_windows: list[Image] = []
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        self.records.append(replace(record, latency_ms=0.0) if isinstance(record, WindowResult) else record)

    def frame(self, frame: Frame, region: Region) -> None:
        self.pictures.append(frame.image)

    def window(self, window: Window, result: WindowResult, square: Square, explanation: Explanation) -> None:
        self.in_windows += [sample.frame.image for sample in window.samples]


@pytest.fixture(scope="module")
def texture() -> Image:
    """What the person wears: squares of 4 pixels that cancel out in pairs."""
    signs = np.random.default_rng(5).choice([-1, 1], (18, 12))
    squares = np.kron(np.kron(signs, [[1, -1], [-1, 1]]), np.ones((4, 4)))
    return np.repeat((128 + 35 * squares)[..., None], 3, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def scene(texture: Image, noisy: Callable[..., np.ndarray]) -> list[Image]:
    """A dark room with somebody in it, then light."""
    rooms = [*noisy(15, 60, 0, HEIGHT, WIDTH), *noisy(35, 190, 0, HEIGHT, WIDTH)]
    wearer = slice(BOX[1], BOX[1] + texture.shape[0]), slice(BOX[0], BOX[0] + texture.shape[1])
    for room in rooms:
        room[wearer] = room[wearer].astype(int) + texture - 128
    return rooms


@pytest.fixture
def play(eager_bundle: Bundle, backend: Backend, explainer: Explainer, scene: list[Image]) -> Callable[..., None]:
    def run(privacy: Privacy, region: Region, *sinks: Sink) -> None:
        source = ScriptedSource([Show(scene, 10)], live=False, name="room")
        Runtime(eager_bundle, backend, explainer, privacy=privacy).watch([CameraSpec(source, Fixed(region), sinks)])

    return run


TRACKED = Region(BOX, "tracked", seen_px=BOX)


@pytest.mark.parametrize("region", [TRACKED, NOBODY, Region(BOX, "held")], ids=lambda region: region.state)
@pytest.mark.parametrize("privacy", ["none", "blur", "silhouette"])
def test_a_sink_gets_no_other_picture_than_the_hidden_one(
    play: Callable[..., None], scene: list[Image], privacy: Privacy, region: Region
) -> None:
    looking = Looking()
    play(privacy, region, looking)
    assert len(looking.pictures) == len(scene)
    for seen, original in zip(looking.pictures, scene, strict=True):
        assert np.array_equal(seen, anonymize(original, region, privacy))
    assert looking.in_windows
    assert all(image.size == 0 for image in looking.in_windows)


def test_the_model_sees_the_person_whatever_is_hidden(play: Callable[..., None]) -> None:
    sinks = {privacy: Looking() for privacy in ("none", "blur", "silhouette")}
    for privacy, sink in sinks.items():
        play(privacy, TRACKED, sink)
    assert sinks["none"].records == sinks["blur"].records == sinks["silhouette"].records


def likeness(picture: Image, texture: Image, scale: float) -> float:
    """How well the texture, scaled, is found where it is found best; 1: itself."""
    size = (round(texture.shape[1] * scale), round(texture.shape[0] * scale))
    wanted = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)
    details = [cv2.cvtColor(one, cv2.COLOR_BGR2GRAY).astype(np.float32) for one in (picture, wanted)]
    details = [one - cv2.GaussianBlur(one, (0, 0), 6 * scale) for one in details]
    return float(cv2.matchTemplate(*details, cv2.TM_CCOEFF_NORMED).max())


def pictures_of(path: Path) -> list[Image]:
    if path.suffix == ".png":  # the frames below the charts
        below_px = LINE_PX + MARGIN_PX
        return [cv2.imread(str(path))[-below_px - THUMB_PX * HEIGHT // WIDTH : -below_px, LEFT_PX:]]
    if path.suffix != ".mp4":
        return [cv2.imread(str(path))]
    video, pictures = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        pictures.append(read[1])
    return pictures


@pytest.mark.parametrize("region", [TRACKED, NOBODY], ids=lambda region: region.state)
@pytest.mark.parametrize("privacy", ["none", "blur", "silhouette"])
def test_no_file_holds_the_person(
    play: Callable[..., None], eager_bundle: Bundle, tmp_path: Path, texture: Image, privacy: Privacy, region: Region
) -> None:
    contract = eager_bundle.contract
    seen, timeline, folder = tmp_path / "seen.mp4", tmp_path / "timeline.png", tmp_path / "evidence"
    evidence = Evidence(folder, eager_bundle, privacy, 5.0, Retention())
    play(
        privacy,
        region,
        OverlayVideo(seen, contract, "vanilla"),
        TimelinePicture(timeline, contract, "vanilla"),
        evidence,
    )
    (pack,) = folder.iterdir()
    scales = {seen: WIDTH_PX / WIDTH, timeline: THUMB_PX / WIDTH}
    scales |= {path: 1.0 for path in pack.iterdir() if path.suffix in (".jpg", ".mp4")}
    assert {"frame", "heat", "clip"} <= {path.stem.partition("-")[0] for path in scales}
    for path, scale in scales.items():
        found = [likeness(picture, texture, scale) for picture in pictures_of(path)]
        if privacy == "none":
            assert min(found) > 0.6, path
        else:
            assert max(found) < 0.3, path


@pytest.mark.parametrize("region", [TRACKED, NOBODY], ids=lambda region: region.state)
@pytest.mark.parametrize("privacy", ["none", "blur", "silhouette"])
def test_no_key_frame_of_an_explained_recording_shows_the_person(
    eager_bundle: Bundle, explainer: Explainer, scene: list[Image], texture: Image, privacy: Privacy, region: Region
) -> None:
    def explained(privacy: Privacy) -> RecordingReport:
        source = ScriptedSource([Show(scene, 10)], live=False, name="room")
        contract = eager_bundle.contract
        return explain_recording(source, contract, [explainer], Fixed(region), contract.hop_s, privacy=privacy)

    film, bare = explained(privacy), explained("none")
    assert film.key_frames
    found = [likeness(key.picture[..., ::-1], texture, PICTURE_PX / WIDTH) for key in film.key_frames]
    if privacy == "none":
        assert min(found) > 0.6
    else:
        assert max(found) < 0.3
    assert film.events == bare.events
    assert [key.frame for key in film.key_frames] == [key.frame for key in bare.key_frames]

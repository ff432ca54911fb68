"""A small trained-looking model and its bundle, made once: bright scenes are `falling`, dark ones `background`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from bench.faults import small_disk as faults
from stan_edge.backends.base import Backend
from stan_edge.backends.registry import open_backend
from stan_edge.errors import BackendUnavailableError
from stan_edge.model.bundle import Bundle, open_bundle
from stan_edge.model.contract import InputSpec
from stan_edge.pipeline.predictor import Explainer
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.records import Event, Record
from stan_edge.sinks.base import Sink
from stan_export.export import export
from stan_export.seal import seal
from stan_train.checkpoint import Checkpoint, save_checkpoint
from stan_train.manifest import BACKGROUND, Clip, Intervals
from stan_train.model import Stan, StanConfig
from stan_train.synthetic.dataset import write_video
from stan_train.validation import normalize
from tests.stan_export.conftest import trained_size

sys.modules["openvino_telemetry"] = None  # some tests import openvino by themselves, and it would report that

settings.register_profile("repeatable", derandomize=True, database=None, max_examples=40, deadline=None)
settings.load_profile("repeatable")

MakeClip = Callable[..., Clip]

CLASSES = ("background", "falling", "headache", "chest_pain", "compensation")
DARK, BRIGHT = 60, 190


class Kept(Sink):
    """Keeps ended events and final frames."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.frames: list[TimelineFrame] = []

    def record(self, record: Record) -> None:
        if isinstance(record, Event) and record.phase == "end":
            self.events.append(record)

    def timeline(self, frames: list[TimelineFrame]) -> None:
        self.frames += frames


def wait_until(true: Callable[[], object], within_s: float = 15.0) -> None:
    """For something that another thread or process brings about."""
    until_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.02)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # matplotlib takes seconds to list the fonts; the list may stay from one run to the next
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.getbasetemp().parent / "matplotlib"))
        yield


@pytest.fixture(scope="session")
def input_spec() -> InputSpec:
    return InputSpec(
        frames=20,
        window_s=2.0,
        size_px=64,
        view="blend",
        framing="follow",
        region="box",
        mean=0.45,
        std=0.225,
    )


@pytest.fixture(scope="session")
def noisy() -> Callable[..., np.ndarray]:
    """Pictures of one brightness with sensor noise, uint8 `[count, height, width, 3]`."""

    def make(count: int, level: int, seed: int = 0, height: int = 64, width: int = 64) -> np.ndarray:
        rng = np.random.default_rng((seed, level))
        return rng.integers(level - 20, level + 20, (count, height, width, 3), dtype=np.uint8)

    return make


@pytest.fixture(scope="session")
def tiny_model(input_spec: InputSpec, noisy: Callable[..., np.ndarray]) -> Stan:
    model = trained_size(StanConfig(classes=5, dims=(8, 16, 32, 32), depths=(1, 1, 1, 1), head_dim=16))
    clips = torch.from_numpy(np.stack([noisy(20, level, 1, 64, 64) for level in (DARK, BRIGHT)]))
    dark, bright = model.features(normalize(clips, input_spec)).mean((2, 3, 4))
    apart, middle = bright - dark, (bright + dark) / 2
    direction = 4 * apart / apart.square().sum()
    model.head.weight[0], model.head.weight[1] = -direction, direction
    model.head.bias.copy_(-model.head.weight @ middle)
    model.head.bias[2:] -= 2
    return model


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_model: Stan, input_spec: InputSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.safetensors"
    save_checkpoint(
        path,
        Checkpoint(
            model=tiny_model,
            name="tiny",
            classes=CLASSES,
            background="background",
            alarms=CLASSES[1:],
            input=input_spec,
            provenance={"data": "noise"},
        ),
    )
    return path


@pytest.fixture(scope="session")
def calibration(noisy: Callable[..., np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six windows: two dark ones, and four in which the light goes on half-way."""
    frames, labels, important = [], [], []
    for number in range(6):
        lit = number >= 2
        bright_frames = 10 if lit else 0
        frames.append(
            np.concatenate(
                [noisy(20 - bright_frames, DARK, number, 64, 64), noisy(bright_frames, BRIGHT, number, 64, 64)]
            )
        )
        labels.append(1 if lit else 0)
        important.append(np.arange(20) >= 20 - bright_frames)
    path = tmp_path_factory.mktemp("calibration") / "windows.npz"
    np.savez_compressed(path, frames=np.stack(frames), labels=np.array(labels), important=np.stack(important))
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint: Path, calibration: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    # the form that is fastest for so small a network is a matter of chance, and the last digits go with it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stan_export.export.measure_forms", lambda _bundle: {})
        export(tiny_checkpoint, folder, calibration)
    contract = open_bundle(folder).contract
    seal(folder, contract.model_copy(update={"forms": {"onnxruntime f32": "planes"}}))
    return open_bundle(folder)


@pytest.fixture(scope="session")
def standard_bundle(tiny_bundle: Bundle) -> Bundle:
    """The same with graphs of the standard form for every engine: then two of them agree in every digit."""
    return replace(tiny_bundle, contract=tiny_bundle.contract.model_copy(update={"forms": {}}))


@pytest.fixture(scope="session")
def eager_bundle(tiny_bundle: Bundle) -> Bundle:
    """The same model, to which every frame of an event is important."""
    contract = tiny_bundle.contract
    vanilla = contract.methods["vanilla"]
    always = vanilla.model_copy(update={"thresholds": dict.fromkeys(vanilla.thresholds, 0.0)})
    return replace(tiny_bundle, contract=contract.model_copy(update={"methods": {"vanilla": always}}))


@pytest.fixture(scope="session")
def make_clip() -> MakeClip:
    """Writes a video whose frame k has brightness `levels[k]`, and gives its manifest row."""

    def make(
        path: Path,
        levels: Sequence[int],
        label: str = BACKGROUND,
        *,
        fps: float = 10.0,
        size_px: tuple[int, int] = (64, 48),
        important: Intervals | None = (),
        ignored: Intervals = (),
        region: str = "none",
        dataset: str = "test",
        group: str | None = None,
    ) -> Clip:
        width, height = size_px
        rng = np.random.default_rng(len(levels))
        noise = rng.integers(-12, 12, (len(levels), height, width, 3))
        frames = np.clip(np.array(levels)[:, None, None, None] + noise, 0, 255).astype(np.uint8)
        write_video(path, frames, fps)
        group = group or path.stem
        return Clip(
            path, dataset, label, group, group, "1", fps, len(levels), *size_px, important, ignored, region, None
        )

    return make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of sixteen megabytes. Ask for it before whatever holds a file on it."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(faults.small_disk(tmp_path / "disk", 16))
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no disk can be mounted here: {error.stderr.strip()}")
        yield disk


@pytest.fixture
def bundle_copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle to tamper with."""
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def backend() -> Backend:
    return open_backend("onnxruntime", threads=1)


@pytest.fixture(scope="session")
def explainer(tiny_bundle: Bundle, backend: Backend) -> Explainer:
    return Explainer(tiny_bundle, backend, "vanilla")


@pytest.fixture(
    scope="session",
    params=[("onnxruntime", "f32"), ("openvino", "f32"), ("openvino", "bf16"), ("openvino", "f16")],
    ids=" ".join,
)
def any_backend(request: pytest.FixtureRequest) -> Backend:
    try:
        return open_backend(*request.param, threads=1)
    except BackendUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

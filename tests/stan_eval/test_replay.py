from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer, Explanation, softmax
from stan_edge.pipeline.windows import Window
from stan_edge.records import Record, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sources import Crop, open_source
from stan_eval.replay import replay
from stan_train.manifest import REGION_SIDECAR, Clip
from stan_train.regions import person_tracker
from stan_train.sampling import LEFT_OUT
from tests.e2e.conftest import write_video


class Kept(Sink):
    def __init__(self) -> None:
        self.results: list[WindowResult] = []

    def record(self, record: Record) -> None:
        if isinstance(record, WindowResult):
            self.results.append(record)


@pytest.fixture(scope="module")
def clip(noisy: Callable[..., np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """6 s at 25 frames a second: the light goes on from 2 to 4 s, and somebody is known from 0.4 s on."""
    path = tmp_path_factory.mktemp("clips") / "light.mkv"
    levels = [(50, 60), (50, 190), (50, 60)]
    write_video(path, list(np.concatenate([noisy(n, level, k, 64, 96) for k, (n, level) in enumerate(levels)])), 25)
    boxes = np.tile(np.array([20, 10, 50, 55], np.float32), (150, 1)) + np.linspace(0, 10, 150)[:, None]
    boxes[:10] = np.nan
    np.savez(path.with_name(path.stem + REGION_SIDECAR), boxes=boxes.astype(np.float32))
    return Clip(
        path=path, dataset="drawn", label="falling", subject="a", group="a", camera="0", fps=25.0, frames=150,
        width_px=80, height_px=64, important=((50, 100),), ignored=((100, 105),), region="sidecar",
        crop=Crop(8, 0, 80, 64),
    )  # fmt: skip


def test_a_replay_is_what_the_runtime_sees_bit_for_bit(
    clip: Clip, tiny_bundle: Bundle, backend: Backend, explainer: Explainer
) -> None:
    sink = Kept()
    with person_tracker(clip, masks=False) as tracker:
        Runtime(tiny_bundle, backend, explainer).watch(
            [CameraSpec(open_source(str(clip.path), crop=clip.crop), tracker, [sink])]
        )
    contract = tiny_bundle.contract
    seen = replay(clip, [explainer], contract)
    assert len(seen.logits) == len(sink.results) == 21
    for k, result in enumerate(sink.results):
        assert seen.valid[k] == result.valid
        assert (seen.t_start_s[k], seen.t_end_s[k]) == (result.t_start_s, result.t_end_s)
        assert seen.frame_index[k].tolist() == [frame.index for frame in result.frames]
        assert seen.frame_t_s[k].tolist() == [frame.t_s for frame in result.frames]
        probabilities = softmax(seen.logits[k], contract.temperature)
        assert dict(zip(contract.classes, probabilities, strict=True)) == result.probabilities


def test_every_method_gives_scores_for_the_class_of_the_clip(clip: Clip, tiny_bundle: Bundle, backend: Backend) -> None:
    explainers = [Explainer(tiny_bundle, backend, method) for method in ("vanilla", "staa")]
    pictures: list[np.ndarray] = []

    def keep(_window: Window, shown: np.ndarray | None, _explanation: Explanation | None) -> None:
        if shown is not None:
            pictures.append(shown)

    seen = replay(clip, explainers, tiny_bundle.contract, hop_s=1.0, on_window=keep)
    assert len(pictures) == len(seen.logits) == 5
    for explainer in explainers:
        expected = [explainer(shown, 1).frame_scores for shown in pictures]
        np.testing.assert_array_equal(seen.frame_scores[explainer.method], expected)


def test_windows_are_labelled_by_their_important_frames(clip: Clip, tiny_bundle: Bundle, explainer: Explainer) -> None:
    contract = tiny_bundle.contract
    seen = replay(clip, [explainer], contract)
    labels = seen.labels(contract.classes, contract.background)
    for k, start_s in enumerate(seen.t_start_s):
        share = max(min(start_s + 2, 4) - max(start_s, 2), 0) / 2
        if share > 0.3:
            assert labels[k] == 1
        elif 0.01 < share < 0.2:
            assert labels[k] == LEFT_OUT
    assert labels[0] == 0
    assert labels[-1] == LEFT_OUT  # it holds ignored frames
    np.testing.assert_allclose(seen.important_s(), [(2.0, 4.0)], atol=0.05)


def test_a_clip_whose_frames_nobody_marked_shows_its_label_everywhere(
    clip: Clip, tiny_bundle: Bundle, explainer: Explainer
) -> None:
    contract = tiny_bundle.contract
    seen = replay(replace(clip, important=None, ignored=()), [explainer], contract, hop_s=2.0)
    assert (seen.labels(contract.classes, contract.background) == 1).all()
    np.testing.assert_allclose(seen.important_s(), [(0.0, 6.0)], atol=0.01)

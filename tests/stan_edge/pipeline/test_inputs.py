"""What the network sees: one square, the view of the contract, and each frame cut once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stan_edge.model.bundle import Bundle
from stan_edge.person.tracking import PersonTracker, Sighting
from stan_edge.pipeline.inputs import InputStream
from stan_edge.pipeline.views import cut_square
from stan_edge.types import Image
from tests.stan_edge.pipeline.conftest import Somebody, due


def test_the_network_sees_one_square_for_all_frames_with_the_view_of_the_contract(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]
) -> None:
    inputs = InputStream(tiny_bundle.contract.input, 0.2, PersonTracker(Somebody(20, 10, 40, 40)), live=False)
    windows = due(inputs, noisy(20, 190, height=48, width=64))
    network_input = inputs.network_input(windows[0])
    (shown,), square = network_input.pictures, network_input.square
    assert shown.shape == (20, 64, 64, 3)
    assert shown.dtype == np.uint8
    assert square.side_px < 64
    known = [sample.region.box_px is not None for sample in windows[0].samples]
    assert sum(known) >= 18
    assert [mean < 180 for mean in shown.mean(axis=(1, 2, 3))] == known


class Wanderer:
    """Somebody who stays, walks and stays."""

    def __init__(self) -> None:
        self._detections = 0

    def find(self, image: Image, near: object) -> Sighting:
        x_px = min(max(self._detections - 30, 0), 30)
        self._detections += 1
        return Sighting(np.array([x_px, 10.0, x_px + 20, 40]))

    def forget(self) -> None: ...


def wandering(bundle: Bundle) -> InputStream:
    return InputStream(bundle.contract.input, 0.2, PersonTracker(Wanderer()), live=False)


def test_frames_that_windows_share_are_cut_once_and_no_window_shows_it(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = wandering(tiny_bundle)
    windows = due(inputs, noisy(90, 190, height=48, width=64))
    cuts: list[int] = []
    monkeypatch.setattr("stan_edge.pipeline.inputs.cut_square", lambda *args: cuts.append(1) or cut_square(*args))
    counts, squares = [], []
    for window in windows:
        cuts.clear()
        together = inputs.network_input(window)
        counts.append(len(cuts))
        squares.append(together.square)
        alone = wandering(tiny_bundle).network_input(window)
        assert alone.square == together.square
        np.testing.assert_array_equal(together.pictures, alone.pictures)
    assert counts[0] == 20
    assert len(set(squares)) > 5
    stayed = [count for count, before, now in zip(counts[1:], squares, squares[1:], strict=False) if before == now]
    assert stayed.count(2) == len(stayed) > 5


PERSON = np.zeros((48, 64), bool)
PERSON[15:35, 25:35] = True


def shown(bundle: Bundle, pictures: np.ndarray, view: str, region: str, mask: np.ndarray | None) -> np.ndarray:
    """The network's input [P, T, S, S, 3] for the first window of a letterboxed stream."""
    changes = {"view": view, "region": region, "framing": "letterbox"}
    contract = bundle.contract.model_copy(update={"input": bundle.contract.input.model_copy(update=changes)})
    tracker = PersonTracker(Somebody(25, 15, 35, 35, mask=mask))
    inputs = InputStream(contract.input, 0.2, tracker, live=False)
    return inputs.network_input(due(inputs, pictures)[0]).pictures


@pytest.mark.parametrize("view", ["union", "late"])
def test_union_and_late_show_the_global_and_the_local_picture(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray], view: str
) -> None:
    pictures = noisy(20, 190, height=48, width=64)
    both = shown(tiny_bundle, pictures, view, "box", None)
    assert both.shape == (2, 20, 64, 64, 3)
    for got, plain in zip(both, ("global", "local"), strict=True):
        assert np.array_equal(got, shown(tiny_bundle, pictures, plain, "box", None)[0])
    assert not np.array_equal(*both)


@pytest.mark.parametrize("view", ["global", "local", "blend", "late"])
def test_a_mask_counts_only_where_the_contract_asks_for_masks(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray], view: str
) -> None:
    pictures = noisy(20, 190, height=48, width=64)
    boxed = shown(tiny_bundle, pictures, view, "box", None)
    assert np.array_equal(shown(tiny_bundle, pictures, view, "box", PERSON), boxed)
    assert np.array_equal(shown(tiny_bundle, pictures, view, "mask", None), boxed)
    assert np.array_equal(shown(tiny_bundle, pictures, view, "mask", PERSON), boxed) == (view == "global")


def test_the_local_view_of_a_masked_model_is_black_around_the_person(
    tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]
) -> None:
    (local,) = shown(tiny_bundle, noisy(20, 190, height=48, width=64), "local", "mask", PERSON)
    widened = np.zeros((64, 64), bool)
    widened[8 + 14 : 8 + 36, 24:36] = True  # a pixel wider; a frame 48 high lies 8 lower in its letterbox
    assert local[0].any(-1)[8:56].all()  # someone seen only once is nobody yet
    assert all(np.array_equal(picture.any(-1), widened) for picture in local[2:])

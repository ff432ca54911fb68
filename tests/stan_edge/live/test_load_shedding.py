"""What is left out while windows come late: one step at a time, and no flapping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.backends.registry import open_backend
from stan_edge.errors import ParityError
from stan_edge.live.load_shedding import (
    DOWN_AFTER_S,
    LONGEST_UP_AFTER_S,
    UP_AFTER_S,
    LoadShedder,
    ServiceLevel,
    service_levels,
)
from stan_edge.model.bundle import Bundle, open_bundle, shipped_bundle
from stan_edge.model.contract import Method
from stan_edge.parity import require_label_parity
from stan_edge.person.detection_rate import DETECTION_HZ, REDUCED_DETECTION_HZ
from stan_edge.pipeline.predictor import Classifier, Explainer

HOP_S = 0.2
LEVELS = ("full", "half_rate_detection", "cheaper_method", "explain_every_second", "labels_only", "every_second_window")


@pytest.fixture
def ladder() -> LoadShedder:
    return LoadShedder([ServiceLevel(level, None) for level in LEVELS], HOP_S)


def noted(ladder: LoadShedder, late_s: float, from_s: float, until_s: float) -> list[tuple[float, str]]:
    """When the ladder changed to what, while a window a hop was so late."""
    changes = []
    for k in range(round((until_s - from_s) / HOP_S)):
        now_s = from_s + k * HOP_S
        if ladder.note(late_s, now_s) is not None:
            changes.append((now_s, ladder.current.level))
    return changes


def test_late_windows_step_down_one_by_one_to_the_last_rung(ladder: LoadShedder) -> None:
    changes = noted(ladder, 0.3, 0.0, 60.0)
    assert [level for _, level in changes] == list(LEVELS[1:])
    assert np.diff([0.0, *(at_s for at_s, _ in changes)]) == pytest.approx(DOWN_AFTER_S, abs=HOP_S + 1e-6)


def test_a_hiccup_changes_nothing(ladder: LoadShedder) -> None:
    for second in range(60):
        assert noted(ladder, 5.0, second, second + 0.8) == []
        assert noted(ladder, 0.15, second + 0.8, second + 1.0) == []
    assert ladder.current.level == "full"


def test_room_steps_up_one_by_one_and_slower_than_down(ladder: LoadShedder) -> None:
    noted(ladder, 0.3, 0.0, 60.0)
    changes = noted(ladder, 0.05, 60.0, 160.0)
    assert [level for _, level in changes] == [
        "labels_only",
        "explain_every_second",
        "cheaper_method",
        "half_rate_detection",
        "full",
    ]
    assert np.diff([60.0, *(at_s for at_s, _ in changes)]) == pytest.approx(UP_AFTER_S, abs=HOP_S + 1e-6)


def test_on_time_without_room_stays_where_it_is(ladder: LoadShedder) -> None:
    noted(ladder, 0.3, 0.0, 1.5)
    assert noted(ladder, 0.15, 1.5, 1000.0) == []
    assert ladder.current.level == "half_rate_detection"


def test_what_is_always_too_much_is_tried_less_and_less_often() -> None:
    ladder, changes, now_s = (
        LoadShedder([ServiceLevel("full", None), ServiceLevel("cheaper_method", None)], HOP_S),
        [],
        0.0,
    )
    while now_s < 7200.0:
        late_s = 0.25 if ladder.current.level == "full" else 0.02
        if ladder.note(late_s, now_s) is not None:
            changes.append((now_s, ladder.current.level))
        now_s += HOP_S
    tried = [at_s for at_s, level in changes if level == "full"]
    waits = np.diff(tried)
    assert waits[:4] == pytest.approx([2 * UP_AFTER_S, 4 * UP_AFTER_S, 8 * UP_AFTER_S, 16 * UP_AFTER_S], abs=2.0)
    assert waits.max() <= LONGEST_UP_AFTER_S + 2.0
    assert len(changes) < 40
    # and once there is room to stay, a later lack of it starts anew
    noted(ladder, 0.02, now_s, now_s + 2000)
    assert ladder.current.level == "full"
    noted(ladder, 0.25, now_s + 2000, now_s + 2002)
    assert noted(ladder, 0.02, now_s + 2002, now_s + 2020)[0][0] - now_s - 2002 == pytest.approx(UP_AFTER_S, abs=1.0)


def test_a_break_starts_the_judgement_anew(ladder: LoadShedder) -> None:
    noted(ladder, 0.3, 0.0, 0.8)
    ladder.rest()
    assert ladder.note(0.3, 3600.0) is None
    assert ladder.current.level == "full"


def test_a_rung_says_what_is_done_with_each_window() -> None:
    explainer, labeller = object(), object()
    ways = {
        "all": ServiceLevel("full", explainer),
        "explain_every_second": ServiceLevel("explain_every_second", explainer, labeller, explain_every=2),
        "labels_only": ServiceLevel("labels_only", None, labeller),
        "fewer labels": ServiceLevel("every_second_window", None, labeller, take_every=2),
        "every_second_window": ServiceLevel("every_second_window", explainer, take_every=2),
    }  # type: ignore[arg-type]
    e, x, s = explainer, labeller, None
    assert {name: [level.predictor(n) for n in range(4)] for name, level in ways.items()} == {
        "all": [e, e, e, e],
        "explain_every_second": [e, x, e, x],
        "labels_only": [x, x, x, x],
        "fewer labels": [x, s, x, s],
        "every_second_window": [e, s, e, s],
    }


@pytest.mark.parametrize(
    ("method", "levels", "cheap"),
    [
        ("gradcam", ["full", "half_rate_detection", "every_second_window"], None),  # as cheap as a label
        ("vanilla", ["full", "half_rate_detection", "cheaper_method", "every_second_window"], "gradcam"),
        ("smoothgrad", ["full", "half_rate_detection", "cheaper_method", "every_second_window"], "gradcam"),
    ],
)
def test_the_shipped_model_leaves_out_what_saves_something(
    method: Method, levels: list[str], cheap: Method | None
) -> None:
    bundle, backend = open_bundle(shipped_bundle()), open_backend(threads=1)
    rungs = service_levels(bundle, backend, Explainer(bundle, backend, method))
    assert [rung.level for rung in rungs] == levels
    assert all(rung.explainer is not None for rung in rungs)
    assert [rung.explainer.method for rung in rungs[2:] if rung.explainer] == [cheap or method] * (len(rungs) - 2)
    assert [rung.detection_hz for rung in rungs] == [DETECTION_HZ, *[REDUCED_DETECTION_HZ] * (len(rungs) - 1)]


def test_a_model_with_a_dear_method_only_gives_up_explanations_before_windows(
    eager_bundle: Bundle, backend: Backend, explainer: Explainer
) -> None:
    rungs = service_levels(eager_bundle, backend, explainer)
    assert [rung.level for rung in rungs] == [
        "full",
        "half_rate_detection",
        "explain_every_second",
        "labels_only",
        "every_second_window",
    ]
    assert [rung.explainer for rung in rungs] == [explainer, explainer, explainer, None, None]
    assert (rungs[2].explain_every, rungs[-1].take_every) == (2, 2)


def test_what_the_engine_gets_wrong_is_no_rung(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_bundle: Bundle, _backend: Backend, held: Explainer) -> None:
        if held.method in ("gradcam", "staa"):
            raise ParityError("off.")

    monkeypatch.setattr("stan_edge.live.load_shedding.require_parity", refuse)
    rungs = service_levels(tiny_bundle, backend, explainer)
    methods = [rung.explainer.method for rung in rungs if rung.explainer]
    assert methods == ["vanilla", "vanilla", "staa-grad", "staa-grad"]


def test_a_label_is_that_of_an_explanation(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeller = Classifier(tiny_bundle, backend)
    pictures = np.random.default_rng(0).integers(0, 255, (3, 2, 20, 64, 64, 3), np.uint8)
    for window in (*pictures, pictures[0][0]):
        np.testing.assert_allclose(labeller(window).logits, explainer(window).logits, rtol=1e-4, atol=1e-5)
    batch = labeller.batch(pictures, [-1] * 3, [0, 1, 2])
    np.testing.assert_array_equal(batch[2].logits, labeller(pictures[2]).logits)
    require_label_parity(tiny_bundle, backend, labeller)
    monkeypatch.setattr(labeller, "_graph", lambda _: {"logits": np.full((1, 5), np.nan, np.float32)})
    with pytest.raises(ParityError, match="its labels are off"):
        require_label_parity(tiny_bundle, backend, labeller)


def test_several_windows_are_explained_each_as_if_alone(explainer: Explainer) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (3, 1, 20, 64, 64, 3), np.uint8)
    classes = [-1, 2, 4]
    for one, class_index, found in zip(pictures, classes, explainer.batch(pictures, classes, [0, 1, 2]), strict=True):
        np.testing.assert_array_equal(found.frame_scores, explainer(one, class_index).frame_scores)


def test_fewer_keeps_what_the_rung_above_it_does(eager_bundle: Bundle, backend: Backend, explainer: Explainer) -> None:
    *_, labels, fewer = service_levels(eager_bundle, backend, explainer)
    assert replace(fewer, level="labels_only", take_every=1).__dict__ == labels.__dict__

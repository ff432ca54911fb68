from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from stan_eval.intervals import Draws, Unit
from stan_eval.scores import ClipFrames, ClipVerdicts, all_positive_f1, average_precisions, classify, frame_figures

CLASSES = ("background", "falling", "headache")


def verdicts(seed: int, clips: int = 12, windows: int = 9) -> list[ClipVerdicts]:
    rng = np.random.default_rng(seed)
    found = []
    for k in range(clips):
        labels = rng.integers(0, 3, windows)
        logits = rng.normal(size=(windows, 3)) + 1.2 * np.eye(3)[labels]
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        found.append(ClipVerdicts(Unit(0, f"group {k // 2}"), labels, probabilities))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_classification_agrees_with_scikit_learn(seed: int) -> None:
    clips = verdicts(seed)
    labels = np.concatenate([clip.labels for clip in clips])
    probabilities = np.concatenate([clip.probabilities for clip in clips])
    said = probabilities.argmax(1)
    found = classify(clips, CLASSES, "background")
    f1 = metrics.f1_score(labels, said, average=None)
    assert found.activities == ("falling", "headache")
    assert [found.f1[name].value for name in found.activities] == pytest.approx(f1[1:])
    assert found.overall is not None and found.accuracy is not None and found.macro_recall is not None
    assert found.overall.value == pytest.approx(f1[1:].mean())
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(labels, said))
    assert found.macro_recall.value == pytest.approx(metrics.recall_score(labels, said, average="macro"))
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(labels, said))
    for k, name in enumerate(CLASSES):
        expected = metrics.average_precision_score(labels == k, probabilities[:, k])
        assert found.average_precision[name].value == pytest.approx(expected)
    assert (found.windows, found.groups) == (108, 6)
    assert found.overall.low is not None and found.overall.high is not None
    assert found.overall.low < found.overall.value < found.overall.high


def test_a_class_that_the_data_does_not_show_has_no_figure_and_does_not_drag_the_mean_down() -> None:
    clips = [ClipVerdicts(c.unit, c.labels % 2, c.probabilities) for c in verdicts(0)]
    found = classify(clips, CLASSES, "background")
    assert found.activities == ("falling",)
    assert found.overall is not None
    assert found.overall.value == found.f1["falling"].value
    assert "headache" not in found.average_precision


def test_nothing_to_classify_is_no_figure() -> None:
    found = classify([], CLASSES, "background")
    assert (found.overall, found.accuracy, found.macro_recall, found.f1, found.windows) == (None, None, None, {}, 0)


def frames(seed: int, label: str = "falling", clips: int = 10, count: int = 40) -> list[ClipFrames]:
    rng = np.random.default_rng((seed, len(label)))
    found = []
    for k in range(clips):
        important = rng.random(count) < 0.4
        important[0] = True
        importance = np.clip(rng.normal(0.3, 0.2, count) + 0.3 * important, 0, 1)
        found.append(ClipFrames(Unit(0, f"{label} {k}"), label, importance, important, 0.5))
    return found


def test_frame_figures_agree_with_scikit_learn_and_overall_is_the_plain_mean() -> None:
    clips = frames(0) + frames(1, "headache", clips=7, count=25)
    report = frame_figures(clips, ("falling", "headache", "chest_pain"))
    assert list(report.by_activity) == ["falling", "headache"]
    for label, found in report.by_activity.items():
        mine = [clip for clip in clips if clip.label == label]
        truth = np.concatenate([clip.important for clip in mine])
        scores = np.concatenate([clip.importance for clip in mine])
        assert found.f1.value == pytest.approx(metrics.f1_score(truth, scores >= 0.5))
        assert found.average_precision.value == pytest.approx(metrics.average_precision_score(truth, scores))
        by_video = [metrics.f1_score(clip.important, clip.importance >= 0.5) for clip in mine]
        assert found.video_f1.value == pytest.approx(np.mean(by_video))
        pointed = [clip.important[clip.importance == clip.importance.max()].mean() for clip in mine]
        assert 0 < found.pointing.value == pytest.approx(np.mean(pointed))
        assert found.share == pytest.approx(truth.mean())
        assert (found.clips, found.groups, found.f1.n) == (len(mine), len(mine), len(truth))
        assert found.f1.low is not None and found.f1.high is not None
        assert found.f1.low < found.f1.value < found.f1.high
    both = list(report.by_activity.values())
    assert report.overall is not None
    assert report.overall.f1.value == pytest.approx(np.mean([found.f1.value for found in both]))
    assert report.overall.all_positive_f1 == pytest.approx(np.mean([found.all_positive_f1 for found in both]))
    assert report.overall.groups == 7


def test_frames_that_nobody_marked_give_no_figure() -> None:
    empty = ClipFrames(Unit(0, "a"), "falling", np.zeros(0), np.zeros(0, bool), 0.5)
    assert frame_figures([empty], ("falling",)).overall is None
    assert frame_figures([], ("falling",)).by_activity == {}


@given(arrays(np.bool_, st.integers(1, 60)).filter(lambda truth: truth.any()))
def test_the_all_positive_f1_is_that_of_flagging_every_frame(truth: np.ndarray) -> None:
    assert all_positive_f1(float(truth.mean())) == pytest.approx(metrics.f1_score(truth, np.ones_like(truth)))
    flagged = ClipFrames(Unit(0, "a"), "falling", np.ones(len(truth)), truth, 0.5)
    found = frame_figures([flagged], ("falling",)).by_activity["falling"]
    assert found.f1.value == pytest.approx(found.all_positive_f1)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_average_precision_with_ties_is_scikit_learns(items: list[tuple[int, bool]]) -> None:
    scores, truth = np.array([s for s, _ in items]) / 5, np.array([t for _, t in items])
    units = [Unit(0, "a")] * len(items)
    value = average_precisions(Draws(units), units, scores, truth)[0]
    if truth.any():
        assert value == pytest.approx(metrics.average_precision_score(truth, scores))
    else:
        assert np.isnan(value)


def test_average_precision_of_many_items_is_ranked_finely_enough() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(30_000) < 0.2
    scores = rng.normal(size=30_000) + truth
    units = [Unit(0, str(k % 7)) for k in range(30_000)]
    value = average_precisions(Draws(units), units, scores, truth)[0]
    assert value == pytest.approx(metrics.average_precision_score(truth, scores), abs=2e-3)

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.errors import ConfigError
from stan_train.folds import Fold, grouped_k_fold, leave_one_subject_out, ntu_cross_subject, split_validation
from stan_train.manifest import UNKNOWN, Clip


def _clip(label: str, group: str, subject: str = "P001") -> Clip:
    return Clip(
        path=Path(f"/clips/{label}/{group}.mp4"),
        dataset="ours",
        label=label,
        subject=subject,
        group=group,
        camera="1",
        fps=30.0,
        frames=60,
        width_px=64,
        height_px=64,
        important=None,
        ignored=(),
        region="none",
        crop=None,
    )


@st.composite
def _recordings(draw: st.DrawFn) -> list[Clip]:
    """Two to four classes with 3 to 8 groups of 1 to 3 clips; some groups hold two classes."""
    clips = []
    for label in draw(st.integers(2, 4)) * ["x"]:
        number = len({c.label for c in clips})
        for group in range(draw(st.integers(3, 8))):
            shared = draw(st.booleans())
            name = f"shared {group}" if shared else f"{number} {group}"
            clips += [_clip(f"{label}{number}", name, f"P{group + 1:03d}")] * draw(st.integers(1, 3))
    return draw(st.permutations(clips))


def _promises(clips: Sequence[Clip], folds: Sequence[Fold], of: Callable[[Clip], str]) -> None:
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(clips)))
    for fold in folds:
        assert sorted(fold.train + fold.test) == list(range(len(clips)))
        assert not {of(clips[i]) for i in fold.train} & {of(clips[i]) for i in fold.test}
        assert {clips[i].label for i in fold.train} == {c.label for c in clips}
        assert fold.test


@given(_recordings(), st.integers(2, 3), st.integers(0, 5))
def test_grouped_folds_test_every_clip_once_and_part_no_group(clips: list[Clip], k: int, seed: int) -> None:
    folds = grouped_k_fold(clips, k, seed)
    assert len(folds) == k
    _promises(clips, folds, lambda clip: clip.group)
    assert grouped_k_fold(clips, k, seed) == folds


@given(_recordings())
def test_each_subject_is_left_out_once(clips: list[Clip]) -> None:
    clips = [_clip(clip.label, f"{clip.group} {clip.subject}", clip.subject) for clip in clips]
    folds = leave_one_subject_out(clips)
    _promises(clips, folds, lambda clip: clip.subject)
    _promises(clips, folds, lambda clip: clip.group)
    assert [fold.name for fold in folds] == [f"without {s}" for s in sorted({c.subject for c in clips})]


@given(_recordings(), st.floats(0.05, 0.5), st.integers(0, 5))
def test_validation_holds_whole_groups_and_leaves_every_class(clips: list[Clip], share: float, seed: int) -> None:
    train, val = split_validation(clips, share, seed)
    assert sorted(train + val) == list(range(len(clips)))
    assert val
    assert not {clips[i].group for i in train} & {clips[i].group for i in val}
    assert {clips[i].label for i in train} == {c.label for c in clips}
    assert split_validation(clips, share, seed) == (train, val)


def test_classes_are_spread_over_folds_and_validation() -> None:
    clips = [_clip(label, f"{label} {n}") for label in ("fall", "background") for n in range(20)]
    for fold in grouped_k_fold(clips, 5, seed=0):
        assert sorted(clips[i].label for i in fold.test) == ["background"] * 4 + ["fall"] * 4
    _, val = split_validation(clips, 0.2, seed=0)
    assert sorted(clips[i].label for i in val) == ["background"] * 4 + ["fall"] * 4


def test_another_seed_gives_other_folds() -> None:
    clips = [_clip("fall", f"{n}") for n in range(20)]
    assert grouped_k_fold(clips, 5, seed=0) != grouped_k_fold(clips, 5, seed=1)


def test_the_official_performers_are_trained() -> None:
    clips = [_clip("fall", f"P{p:03d}", f"P{p:03d}") for p in range(1, 41)]
    (fold,) = ntu_cross_subject(clips)
    trained = [int(clips[i].subject[1:]) for i in fold.train]
    assert trained == [1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38]
    assert sorted(fold.train + fold.test) == list(range(40))


def _of(*groups: str, label: str = "fall") -> list[Clip]:
    return [_clip(label, group) for group in groups]


@pytest.mark.parametrize(
    ("clips", "k", "message"),
    [
        ([], 2, "no clips"),
        (_of("a", "b"), 1, "at least 2"),
        (_of("a", "b", "c") + _of("a", "a", label="sit"), 2, "class 'sit' are of one group.*leave the class out"),
        (_of("a", "b", "c") + _of("d", "e", label="sit"), 3, "'sit' has 2 groups.*at most 2"),
    ],
)
def test_impossible_folds_are_refused_with_a_way_out(clips: list[Clip], k: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        grouped_k_fold(clips, k, 0)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "0 subject"),
        ([_clip("fall", "a", "")], "names no subject"),
        ([_clip("fall", "a", UNKNOWN), _clip("fall", "b", "ann"), _clip("fall", "c", "bob")], "names no subject"),
        ([_clip("fall", "a", "ann"), _clip("fall", "b", "ann")], "leaves nothing"),
        ([_clip("fall", "a", "ann"), _clip("fall", "a", "bob")], "Group 'a' holds subjects 'ann' and 'bob'"),
        (
            [_clip("fall", "a", "ann"), _clip("fall", "b", "bob"), _clip("sit", "c", "bob")],
            "Only subject 'bob' shows class 'sit'",
        ),
    ],
)
def test_subjects_that_cannot_be_left_out_are_refused(clips: list[Clip], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        leave_one_subject_out(clips)


@pytest.mark.parametrize(
    ("subjects", "message"),
    [
        (("P001", "bob"), "'bob' is none of NTU's"),
        (("P001", "P041"), "'P041' is none of NTU's"),
        (("P001", "P002"), "no test performer"),
        (("P003", "P006"), "no training performer"),
    ],
)
def test_the_cross_subject_split_is_for_ntu(subjects: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ntu_cross_subject([_clip("fall", subject, subject) for subject in subjects])


def test_a_class_of_test_performers_alone_is_refused() -> None:
    clips = [_clip("fall", "a", "P001"), _clip("fall", "b", "P003"), _clip("sit", "c", "P003")]
    with pytest.raises(ConfigError, match="No training performer shows class 'sit'"):
        ntu_cross_subject(clips)


@pytest.mark.parametrize(
    ("clips", "share", "message"),
    [
        (_of("a", "b"), 0.0, "share 0.0"),
        (_of("a", "b"), 0.6, "share 0.6"),
        (_of("a", "a"), 0.2, "one group"),
        (_of("a") + _of("b", label="sit"), 0.5, "leaves every class in training"),
    ],
)
def test_impossible_validation_is_refused(clips: list[Clip], share: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_validation(clips, share, 0)


def test_a_class_of_one_group_can_still_be_trained_with_validation_of_the_others() -> None:
    train, val = split_validation(_of("a", "b", "c", "d") + _of("e", label="sit"), 0.25, 0)
    assert 4 in train
    assert val

"""Who is trained on and who is tested on. Clips of one group (one performance filmed by several cameras) never part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stan_edge.errors import ConfigError
from stan_train.manifest import UNKNOWN, Clip

NTU_TRAIN_PERFORMERS = frozenset((1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38))
"""The official cross-subject split of NTU RGB+D (Shahroudy et al., arXiv 1604.02808); the other 20 of 40 are tested."""

_TRIES = 20


@dataclass(frozen=True)
class Fold:
    """Indices of clips, in their order."""

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]


def grouped_k_fold(clips: Sequence[Clip], k: int, seed: int) -> tuple[Fold, ...]:
    """`k` folds with whole groups and classes spread as evenly as groups allow; every clip is tested once.

    Raises:
        ConfigError: k below 2; a class with fewer groups than folds (how many are possible is said); or no way found
            to keep every class in every training part.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if k < 2:
        raise ConfigError(f"{k} folds cannot train and test; ask for at least 2.")
    possible, label = min((len({c.group for c in clips if c.label == label}), label) for label in _labels(clips))
    if possible < 2:
        raise ConfigError(
            f"All clips of class {label!r} are of one group, so it cannot be trained and tested; "
            "record another performance of it, or leave the class out."
        )
    if k > possible:
        raise ConfigError(f"Class {label!r} has {possible} groups, too few for {k} folds; ask for at most {possible}.")
    labels, groups = [c.label for c in clips], [c.group for c in clips]
    for attempt in range(_TRIES):
        splitter = StratifiedGroupKFold(k, shuffle=True, random_state=np.random.RandomState([seed, attempt]))
        folds = tuple(
            _fold(f"fold {number}", train, test)
            for number, (train, test) in enumerate(splitter.split(labels, labels, groups), start=1)
        )
        if all(fold.test and _untrained(clips, fold.train) is None for fold in folds):
            return folds
    raise ConfigError(
        f"No {k} folds found in which every class is trained; ask for more folds, at most {possible}, or another seed."
    )


def leave_one_subject_out(clips: Sequence[Clip]) -> tuple[Fold, ...]:
    """One fold a subject, named after it, in alphabetical order; every clip is tested once.

    Raises:
        ConfigError: a clip whose subject nobody named, a single subject, a group of several subjects, or a class that
            only one subject shows.
    """
    for clip in clips:
        if clip.subject in ("", UNKNOWN):
            raise ConfigError(f"{clip.name} names no subject; fill in the manifest's column, or use grouped folds.")
    subjects = sorted({clip.subject for clip in clips})
    if len(subjects) < 2:
        raise ConfigError(f"The clips show {len(subjects)} subject, leaving it out leaves nothing; use grouped folds.")
    _whole_groups(clips)
    folds = []
    for subject in subjects:
        fold = _by_subject(clips, f"without {subject}", tested={subject})
        lost = _untrained(clips, fold.train)
        if lost is not None:
            raise ConfigError(
                f"Only subject {subject!r} shows class {lost!r}, so it cannot be left out; "
                "leave the class out, or use grouped folds."
            )
        folds.append(fold)
    return tuple(folds)


def ntu_cross_subject(clips: Sequence[Clip]) -> tuple[Fold, ...]:
    """The official split of NTU RGB+D as one fold; subjects are its performers, "P001" to "P040".

    Raises:
        ConfigError: another subject, a group of several subjects, an empty side, or a class that is never trained.
    """
    for clip in clips:
        if not re.fullmatch(r"P0(0[1-9]|[123]\d|40)", clip.subject):
            raise ConfigError(
                f"{clip.name}: subject {clip.subject!r} is none of NTU's P001 to P040, for whom the "
                "cross-subject split is defined; use grouped folds for other data."
            )
    _whole_groups(clips)
    tested = {clip.subject for clip in clips if int(clip.subject[1:]) not in NTU_TRAIN_PERFORMERS}
    fold = _by_subject(clips, "cross-subject", tested)
    if not fold.train or not fold.test:
        side = "test" if fold.train else "training"
        raise ConfigError(f"The clips show no {side} performer of the cross-subject split; add clips or use folds.")
    lost = _untrained(clips, fold.train)
    if lost is not None:
        raise ConfigError(f"No training performer shows class {lost!r}; add clips of it, or leave the class out.")
    return (fold,)


def split_validation(clips: Sequence[Clip], share: float, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices (training, validation), about `share` of the groups in validation, for early stopping.

    Of 100 random grouped splits, the one that takes most nearly this share of every class. Every class stays in
    training; one of few groups may miss from validation.

    Raises:
        ConfigError: a share outside 0..0.5, a single group, or no split that keeps every class in training.
    """
    from sklearn.model_selection import GroupShuffleSplit

    if not 0 < share <= 0.5:
        raise ConfigError(f"The validation share {share} must lie above 0 and up to 0.5.")
    groups, labels = [clip.group for clip in clips], np.array([clip.label for clip in clips])
    if len(set(groups)) < 2:
        raise ConfigError(
            "All clips are of one group, so none can be held out for validation; add another performance."
        )
    held_out = max(round(share * len(set(groups))), 1)
    best: tuple[float, Fold] | None = None
    for train, test in GroupShuffleSplit(100, test_size=held_out, random_state=seed).split(labels, labels, groups):
        fold = _fold("validation", train, test)
        if _untrained(clips, fold.train) is None:
            off = max(abs(float((labels[test] == c).sum() / (labels == c).sum()) - share) for c in _labels(clips))
            if best is None or off < best[0]:
                best = off, fold
    if best is None:
        raise ConfigError(
            "No validation part found that leaves every class in training; "
            "record more performances of the rarest class."
        )
    return best[1].train, best[1].test


def _labels(clips: Sequence[Clip]) -> list[str]:
    labels = sorted({clip.label for clip in clips})
    if not labels:
        raise ConfigError("There are no clips to split; scan a folder that holds some.")
    return labels


def _fold(name: str, train: Iterable[int], test: Iterable[int]) -> Fold:
    return Fold(name, tuple(int(i) for i in train), tuple(int(i) for i in test))


def _by_subject(clips: Sequence[Clip], name: str, tested: set[str]) -> Fold:
    inside = [clip.subject in tested for clip in clips]
    return _fold(name, (i for i, test in enumerate(inside) if not test), (i for i, test in enumerate(inside) if test))


def _untrained(clips: Sequence[Clip], train: Sequence[int]) -> str | None:
    """A class that the training part lacks."""
    return min({clip.label for clip in clips} - {clips[i].label for i in train}, default=None)


def _whole_groups(clips: Sequence[Clip]) -> None:
    subject_of: dict[str, str] = {}
    for clip in clips:
        other = subject_of.setdefault(clip.group, clip.subject)
        if other != clip.subject:
            raise ConfigError(
                f"Group {clip.group!r} holds subjects {other!r} and {clip.subject!r}, so subjects cannot be parted; "
                "give each its own group in the manifest."
            )

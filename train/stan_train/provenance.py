"""What a model was made of, in sentences for its checkpoint and card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stan_train.manifest import UNKNOWN, Clip
from stan_train.synthetic.dataset import DATASET as SYNTHETIC
from stan_train.validation import mean_recall


def figures_of(confusion: NDArray[np.int64], classes: Sequence[str]) -> str:
    """How well validation windows were told apart, in a line; `[C, C]`, rows are the truth."""
    counts = confusion.sum(1)
    recalls = [f"{name} {confusion[c, c] / counts[c]:.2f}" for c, name in enumerate(classes) if counts[c]]
    accuracy = np.trace(confusion) / confusion.sum()
    return f"accuracy {accuracy:.3f}, mean recall {mean_recall(confusion):.3f} ({', '.join(recalls)})"


def description_of(clips: Sequence[Clip]) -> str:
    """Clips of each data set and label."""
    counts = Counter((clip.dataset, clip.label) for clip in clips)
    return "; ".join(f"{dataset} {label} {count}" for (dataset, label), count in sorted(counts.items())) + " (clips)"


def limits_of(clips: Sequence[Clip]) -> str:
    """What the clips cannot have taught."""
    synthetic = sorted({clip.label for clip in clips} - {clip.label for clip in clips if clip.dataset != SYNTHETIC})
    filmed = {(clip.dataset, clip.subject) for clip in clips if clip.dataset != SYNTHETIC}
    known = {(dataset, subject) for dataset, subject in filmed if subject not in ("", UNKNOWN)}
    people = f"{len(known)}" if known == filmed else f"{len(known)} and some whom nobody named"
    if not synthetic:
        return f"filmed people: {people}; others move and look otherwise"
    return f"{', '.join(synthetic)}: learnt from synthetic people only, never from a person; filmed people: {people}"

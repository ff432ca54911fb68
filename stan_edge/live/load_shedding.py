"""What is left out while windows come late, and taken up again when there is room: every second search for the
person first, then explanations, windows last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from stan_edge.backends.base import Backend
from stan_edge.errors import BackendError, ParityError
from stan_edge.model.bundle import Bundle, methods_of
from stan_edge.model.contract import Method
from stan_edge.parity import require_label_parity, require_parity
from stan_edge.person.detection_rate import DETECTION_HZ, REDUCED_DETECTION_HZ
from stan_edge.pipeline.predictor import Classifier, Explainer, Prediction, Predictor
from stan_edge.records import LoadLevel

COST: dict[Method, float] = {
    "gradcam": 1.01,
    "staa": 1.01,
    "staa-grad": 1.05,
    "vanilla": 2.45,
    "streaming": 3.51,
    "smoothgrad": 19.86,
}
"""Times the forward pass, cheapest first (OpenVINO f32, bench/results/methods.md)."""
WORTH = 1.1
"""A step down that saves less is left out: labels alone cost as much as an explanation by `gradcam`."""

# A queue of a second is no hiccup; and a second after a step its effect is seen.
DOWN_AFTER_S = 1.0
# Ten times as long, because each wrong step up costs a second of late windows...
UP_AFTER_S = 10.0
# ... and twice as long after each wrong one, so that a machine that is just too slow tries once in ten minutes.
LONGEST_UP_AFTER_S = 600.0
ROOM = 0.5
"""Windows that are done within this part of a hop leave room for more."""


@dataclass(frozen=True, eq=False)
class ServiceLevel:
    """How much is done for the windows of a camera."""

    level: LoadLevel
    explainer: Explainer | None
    """None: nothing is explained."""
    labeller: Classifier | None = None
    """For windows that are not explained; None: all are."""
    explain_every: int = 1
    """One of so many windows that are taken is explained."""
    take_every: int = 1
    """One of so many windows is taken."""
    detection_hz: float = DETECTION_HZ
    """How often the person is looked for."""

    def predictor(self, window: int) -> Predictor[Prediction] | None:
        """What predicts the window of this number; None: it is shed."""
        turn, left_out = divmod(window, self.take_every)
        if left_out:
            return None
        return self.explainer if turn % self.explain_every == 0 and self.explainer else self.labeller


def service_levels(bundle: Bundle, backend: Backend, explainer: Explainer) -> list[ServiceLevel]:
    """What was asked for, and what is done instead where time is short.

    What saves nothing is no level, nor is what this engine cannot do, or does not reproduce from float64.
    """
    less = ServiceLevel("half_rate_detection", explainer, detection_hz=REDUCED_DETECTION_HZ)
    levels = [ServiceLevel("full", explainer), less]
    for method in sorted(methods_of(bundle), key=COST.__getitem__):
        if COST[explainer.method] < WORTH * COST[method]:
            break
        with suppress(BackendError, ParityError):
            cheaper = Explainer(bundle, backend, method)
            require_parity(bundle, backend, cheaper)
            less = replace(less, level="cheaper_method", explainer=cheaper)
            levels.append(less)
            explainer = cheaper
    if COST[explainer.method] >= WORTH:
        with suppress(BackendError, ParityError):
            labeller = Classifier(bundle, backend)
            require_label_parity(bundle, backend, labeller)
            levels.append(replace(less, level="explain_every_second", labeller=labeller, explain_every=2))
            less = replace(less, level="labels_only", explainer=None, labeller=labeller)
            levels.append(less)
    return [*levels, replace(less, level="every_second_window", take_every=2)]


class LoadShedder:
    """The service level of one camera, which steps down and up by how late each window was.

    Each camera has its own: one that is late by itself (large pictures, a slow disk) costs the others nothing, and
    where the engine is the reason all of them are late, and step down until that suffices and no further.

    Args:
        levels: dearest first, at least one.
        hop_s: a window that takes longer is late.
        has_tracker: the person is searched for in its pictures; otherwise searching less is no level.
    """

    def __init__(self, levels: Sequence[ServiceLevel], hop_s: float, *, has_tracker: bool = True) -> None:
        self._levels = [one for one in levels if has_tracker or one.level != "half_rate_detection"]
        self._hop_s = hop_s
        self._place = 0
        self._up_after_s = UP_AFTER_S
        self._climbed_s = -math.inf
        self._late_since_s: float | None = None
        self._room_since_s: float | None = None

    @property
    def current(self) -> ServiceLevel:
        """What is done now."""
        return self._levels[self._place]

    def note(self, late_s: float, now_s: float) -> str | None:
        """Take the time from the arrival of a window's last frame until all was done for it, shed ones included.

        Returns:
            Why there is another level from now on; None: there is not.
        """
        late, room = late_s > self._hop_s, late_s <= ROOM * self._hop_s
        self._late_since_s = None if not late else now_s if self._late_since_s is None else self._late_since_s
        self._room_since_s = None if not room else now_s if self._room_since_s is None else self._room_since_s
        if self._late_since_s is not None and now_s - self._late_since_s >= DOWN_AFTER_S:
            return self._step_down(now_s)
        if self._room_since_s is not None and now_s - self._room_since_s >= self._up_after_s:
            return self._step_up(now_s)
        return None

    def rest(self) -> None:
        """The stream has broken: what was before says nothing of what comes."""
        self._late_since_s = self._room_since_s = None

    def _step_down(self, now_s: float) -> str | None:
        if self._place == len(self._levels) - 1:
            return None
        too_soon = now_s - self._climbed_s < self._up_after_s
        self._up_after_s = min(2 * self._up_after_s, LONGEST_UP_AFTER_S) if too_soon else UP_AFTER_S
        self._place += 1
        self.rest()
        return f"windows were late for {DOWN_AFTER_S:g} s"

    def _step_up(self, now_s: float) -> str | None:
        if self._place == 0:
            return None
        self._place -= 1
        self._climbed_s = now_s
        self.rest()
        return f"there was room for {self._up_after_s:g} s"

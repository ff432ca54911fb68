"""Orders of frames by importance, measured against controls over the windows of recorded clips.

No labels are needed. Orders are compared with chance (20 draws), with the pattern of the stem's stride (odd frames
before even ones), and with the same method on a network of random weights: what ranks frames as well there as on the
trained network has explained the video and not the network (Adebayo et al., arXiv 1810.03292).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import Backend, engine_name
from stan_edge.errors import ConfigError, SourceError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Contract, Method
from stan_edge.pipeline.attribution import correct
from stan_edge.pipeline.predictor import Explainer, softmax
from stan_eval.faithfulness.order_scores import (
    MEASURES,
    SUBSTRATES,
    Classify,
    Masked,
    OrderScores,
    Substrate,
    order_scores,
    stride_order,
)
from stan_eval.intervals import Draws, Figure, Unit
from stan_eval.replay import inputs
from stan_train.manifest import Clip
from stan_train.sampling import window_labels

RANDOM_ORDERS = 20
WINDOWS_A_CLIP = 2

_Ranking = Callable[[NDArray[np.uint8], int], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class WindowScores:
    """One window: each order's worth for each substrate; `random` is the mean of its draws."""

    unit: Unit
    values: Mapping[tuple[str, Substrate], OrderScores]


@dataclass(frozen=True)
class OrderFigures:
    """One order over all windows, with one substrate."""

    figures: dict[str, Figure | None]
    """By measure; `gain over random` is paired window by window."""
    windows: int

    @property
    def beats_chance(self) -> bool:
        """Whether the whole interval of the gain lies above that of random orders."""
        over = self.figures["gain over random"]
        return over is not None and over.low is not None and over.low > 0


def classifier(bundle: Bundle, backend: Backend) -> Classify:
    """The bundle's forward graph; several passes give the probabilities of their mean logits."""
    graph, temperature = backend.load(bundle.forward(bundle.form(engine_name(backend)))), bundle.contract.temperature

    def classify(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        logits = [graph({"frames": frames[None]})["logits"][0] for frames in pictures]
        return softmax(np.mean(logits, axis=0), temperature)

    return classify


def window_scores(
    classify: Classify,
    pictures: NDArray[np.uint8],
    class_index: int,
    unit: Unit,
    orders: Mapping[str, NDArray[np.int64]],
    rng: np.random.Generator,
) -> WindowScores:
    """The scores of all orders, and of the controls that need no second network."""
    window = Masked(classify, pictures)
    random = [rng.permutation(window.frames) for _ in range(RANDOM_ORDERS)]
    values: dict[tuple[str, Substrate], OrderScores] = {}
    for substrate in SUBSTRATES:

        def of(order: NDArray[np.int64], substrate: Substrate = substrate) -> OrderScores:
            return order_scores(window, order, class_index, substrate)

        values |= {(name, substrate): of(order) for name, order in orders.items()}
        values["odd, then even", substrate] = of(stride_order(window.frames))
        values["random", substrate] = _mean([of(order) for order in random])
    return WindowScores(unit, values)


def measure_faithfulness(
    bundle: Bundle,
    clips: Sequence[Clip],
    methods: Sequence[Method],
    backend: Backend,
    randomised: Bundle | None,
    on_clip: Callable[[], None],
    fold: int = 0,
) -> tuple[WindowScores, ...]:
    """Up to two windows of each clip in which the bundle recognises the clip's activity.

    Args:
        randomised: a bundle of the same shape with random weights.
        on_clip: called after each clip.

    Raises:
        ParityError: see `require_parity`.
    """
    classify = classifier(bundle, backend)
    orders: dict[str, _Ranking] = {method: _ranking(bundle, backend, method) for method in methods}
    if randomised is not None:
        orders |= {f"{method}, random weights": _ranking(randomised, backend, method) for method in methods}
    found = []
    rng = np.random.default_rng(0)
    for clip in clips:
        for pictures, own in _recognised(clip, bundle.contract, classify, rng):
            by_name = {name: order(pictures, own) for name, order in orders.items()}
            found.append(window_scores(classify, pictures, own, Unit(fold, clip.group), by_name, rng))
        on_clip()
    return tuple(found)


def faithfulness_figures(windows: Iterable[WindowScores]) -> dict[tuple[str, Substrate], OrderFigures]:
    """Means over windows with intervals over groups of clips, by order and substrate."""
    all_windows = list(windows)
    if not all_windows:
        return {}
    units = [window.unit for window in all_windows]
    draws, ones = Draws(units), np.ones(len(units))
    counts, groups = draws.sums(units, ones), len(set(units))
    found = {}
    for name, substrate in all_windows[0].values:
        scores = [window.values[name, substrate] for window in all_windows]
        columns = {measure: np.array([getattr(one, measure) for one in scores]) for measure in MEASURES}
        by_chance = np.array([window.values["random", substrate].gain for window in all_windows])
        columns["gain over random"] = columns["gain"] - by_chance
        found[name, substrate] = OrderFigures(
            {
                measure: draws.figure(draws.sums(units, values) / np.maximum(counts, 1e-9), len(units), groups, "score")
                for measure, values in columns.items()
            },
            len(units),
        )
    return found


def _mean(scores: Sequence[OrderScores]) -> OrderScores:
    return OrderScores(*np.mean([list(vars(one).values()) for one in scores], axis=0).tolist())


def _ranking(bundle: Bundle, backend: Backend, method: Method) -> _Ranking:
    """Frames of a window by falling score; ties to the earlier."""
    explainer, spec = Explainer(bundle, backend, method), bundle.contract.methods[method]
    return lambda pictures, own: np.argsort(-correct(explainer(pictures, own).frame_scores, spec), kind="stable")


def _recognised(
    clip: Clip, contract: Contract, classify: Classify, rng: np.random.Generator
) -> list[tuple[NDArray[np.uint8], int]]:
    """Inputs `[P, T, S, S, 3]` of windows that show the clip's activity and are taken for it, with its class: a fair
    draw of them (reservoir sampling), of which never more are in memory."""
    if clip.label not in contract.classes or clip.label == contract.background:
        return []
    own, seen = contract.classes.index(clip.label), 0
    important, ignored = clip.important_flags(), clip.ignored_flags()
    kept: list[tuple[NDArray[np.uint8], int]] = []
    try:
        for window, pictures in inputs(clip, contract, contract.hop_s):
            index = np.minimum([sample.frame.index for sample in window.samples], clip.frames - 1)
            if pictures is None or window_labels(important[index][None], ignored[index][None], 1, 0)[0] != 1:
                continue
            if classify(pictures).argmax() != own:
                continue
            seen += 1
            place = len(kept) if len(kept) < WINDOWS_A_CLIP else int(rng.integers(seen))
            if place < WINDOWS_A_CLIP:
                kept[place : place + 1] = [(pictures, own)]
    except (SourceError, ConfigError):
        return []  # the tables name it already
    return kept

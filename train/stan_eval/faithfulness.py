"""Is an explanation true? What the network says when frames are taken away in the order of their importance.

No labels are needed. Orders are compared with chance (20 draws), with the pattern of the stem's stride (odd frames
before even ones), and with the same method on a network of random weights: what ranks frames as well there as on the
trained network has explained the video and not the network (Adebayo et al., arXiv 1810.03292).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import Backend, engine_name
from stan_edge.errors import ConfigError, SourceError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Contract, Method
from stan_edge.pipeline.attribution import correct
from stan_edge.pipeline.predictor import Explainer, softmax
from stan_eval.intervals import Draws, Figure, Unit
from stan_eval.replay import inputs
from stan_train.manifest import Clip
from stan_train.sampling import window_labels

Substrate = Literal["nearest kept frame", "clip mean"]
"""What stands in for a frame that was taken away."""
SUBSTRATES: tuple[Substrate, ...] = get_args(Substrate)
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of a window's frames, taken away or kept."""
FEW = (0.05, 0.1, 0.2, 0.5)
"""Of these, comprehensiveness and sufficiency are the mean: 1, 2, 4 and 10 of 20 frames."""
STAA_KEPT = 0.7
RANDOM_ORDERS = 20
WINDOWS_A_CLIP = 2

Classify = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""Pictures `[P, T, S, S, 3]` to class probabilities `[C]`."""
_Orderer = Callable[[NDArray[np.uint8], int], NDArray[np.int64]]


@dataclass(frozen=True)
class Truth:
    """What one order of the frames of one window is worth; p is the probability of the class explained."""

    insertion: float
    """Mean p with only the first frames of the order, over their share."""
    deletion: float
    """Mean p without them."""
    comprehensiveness: float
    """Loss of p without a few of the first frames."""
    sufficiency: float
    """Loss of p with them alone; the lower, the better."""
    faithfulness: float
    """STAA's: 1 - mean |change of a probability| with the first 70 % kept."""
    monotonicity: float
    """STAA's: Kendall's tau of the share kept and the mean |change|; -1 is best."""

    @property
    def gain(self) -> float:
        """Insertion minus deletion: 0 for an order that says nothing."""
        return self.insertion - self.deletion


MEASURES = ("gain", "comprehensiveness", "sufficiency", "faithfulness", "monotonicity")


@dataclass(frozen=True, eq=False)
class WindowTruth:
    """One window: each order's worth for each substrate; `random` is the mean of its draws."""

    unit: Unit
    values: Mapping[tuple[str, Substrate], Truth]


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


class Masked:
    """One window, `[P, T, S, S, 3]`, of which only some frames are shown; asked twice, the network runs once."""

    def __init__(self, classify: Classify, pictures: NDArray[np.uint8]) -> None:
        self._classify, self._pictures = classify, pictures
        self._mean = pictures.mean(1, keepdims=True).round().astype(np.uint8)
        self._known: dict[tuple[Substrate, bytes], NDArray[np.float64]] = {}
        self.frames = pictures.shape[1]

    def probabilities(self, kept: NDArray[np.bool_], substrate: Substrate) -> NDArray[np.float64]:
        """Of the classes `[C]`, when the frames that are not `kept` `[T]` are replaced."""
        key = substrate, kept.tobytes()
        if key not in self._known:
            self._known[key] = self._classify(self.shown(kept, substrate))
        return self._known[key]

    def shown(self, kept: NDArray[np.bool_], substrate: Substrate) -> NDArray[np.uint8]:
        """What the network sees; without any kept frame there is no nearest one, and the clip's mean stands in."""
        if kept.all():
            return self._pictures
        if substrate == "clip mean" or not kept.any():
            return np.where(kept[None, :, None, None, None], self._pictures, self._mean)
        places = np.flatnonzero(kept)
        nearest = places[np.abs(places[None] - np.arange(len(kept))[:, None]).argmin(1)]
        return self._pictures[:, nearest]


def truth_of(window: Masked, order: NDArray[np.int64], class_index: int, substrate: Substrate) -> Truth:
    """The worth of an order `[T]`, most important frame first."""
    from scipy.integrate import trapezoid
    from scipy.stats import kendalltau

    frames = window.frames
    counts = sorted({round(share * frames) for share in SHARES})
    shares = np.array(counts) / frames
    only, without = [], []
    for count in counts:
        first = np.isin(np.arange(frames), order[:count])
        only.append(window.probabilities(first, substrate))
        without.append(window.probabilities(~first, substrate))
    inserted, deleted = np.array(only), np.array(without)  # [K, C]
    whole = inserted[-1]
    few = [counts.index(round(share * frames)) for share in FEW]
    change = np.abs(inserted - whole).mean(1)
    tau = kendalltau(shares, change).statistic if np.ptp(change) > 0 else 0.0
    return Truth(
        insertion=float(trapezoid(inserted[:, class_index], shares)),
        deletion=float(trapezoid(deleted[:, class_index], shares)),
        comprehensiveness=float(whole[class_index] - deleted[few, class_index].mean()),
        sufficiency=float(whole[class_index] - inserted[few, class_index].mean()),
        faithfulness=float(1 - change[counts.index(round(STAA_KEPT * frames))]),
        monotonicity=float(tau),
    )


def stride_order(frames: int) -> NDArray[np.int64]:
    """Odd frames before even ones: what an uncorrected gradient says of any video."""
    return np.concatenate([np.arange(1, frames, 2), np.arange(0, frames, 2)])


def window_truth(
    classify: Classify,
    pictures: NDArray[np.uint8],
    class_index: int,
    unit: Unit,
    orders: Mapping[str, NDArray[np.int64]],
    rng: np.random.Generator,
) -> WindowTruth:
    """All orders given, and the controls that need no second network."""
    window = Masked(classify, pictures)
    drawn = [rng.permutation(window.frames) for _ in range(RANDOM_ORDERS)]
    values: dict[tuple[str, Substrate], Truth] = {}
    for substrate in SUBSTRATES:

        def of(order: NDArray[np.int64], substrate: Substrate = substrate) -> Truth:
            return truth_of(window, order, class_index, substrate)

        values |= {(name, substrate): of(order) for name, order in orders.items()}
        values["odd, then even", substrate] = of(stride_order(window.frames))
        values["random", substrate] = _mean([of(order) for order in drawn])
    return WindowTruth(unit, values)


def measure_truth(
    bundle: Bundle,
    clips: Sequence[Clip],
    methods: Sequence[Method],
    backend: Backend,
    randomised: Bundle | None,
    on_clip: Callable[[], None],
    fold: int = 0,
) -> tuple[WindowTruth, ...]:
    """Up to two windows of each clip in which the bundle recognises the clip's activity.

    Args:
        randomised: a bundle of the same shape with random weights.
        on_clip: called after each clip.

    Raises:
        ParityError: see `require_parity`.
    """
    classify = classifier(bundle, backend)
    orders: dict[str, _Orderer] = {method: _orderer(bundle, backend, method) for method in methods}
    if randomised is not None:
        orders |= {f"{method}, random weights": _orderer(randomised, backend, method) for method in methods}
    found = []
    rng = np.random.default_rng(0)
    for clip in clips:
        for pictures, own in _recognised(clip, bundle.contract, classify, rng):
            by_name = {name: order(pictures, own) for name, order in orders.items()}
            found.append(window_truth(classify, pictures, own, Unit(fold, clip.group), by_name, rng))
        on_clip()
    return tuple(found)


def truth_figures(windows: Iterable[WindowTruth]) -> dict[tuple[str, Substrate], OrderFigures]:
    """Means over windows with intervals over groups of clips, by order and substrate."""
    all_windows = list(windows)
    if not all_windows:
        return {}
    units = [window.unit for window in all_windows]
    draws, ones = Draws(units), np.ones(len(units))
    counts, groups = draws.sums(units, ones), len(set(units))
    found = {}
    for name, substrate in all_windows[0].values:
        truths = [window.values[name, substrate] for window in all_windows]
        columns = {measure: np.array([getattr(truth, measure) for truth in truths]) for measure in MEASURES}
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


def _mean(truths: Sequence[Truth]) -> Truth:
    return Truth(*np.mean([list(vars(truth).values()) for truth in truths], axis=0).tolist())


def _orderer(bundle: Bundle, backend: Backend, method: Method) -> _Orderer:
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

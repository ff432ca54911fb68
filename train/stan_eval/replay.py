"""A clip through an exported bundle, by the runtime's own code: what is measured is what is deployed.

replay(clip, [Explainer(bundle, backend, "vanilla")], bundle.contract) -> ClipWindows
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import Contract, Method
from stan_edge.person.tracking import Region
from stan_edge.pipeline.inputs import InputStream, windows_of
from stan_edge.pipeline.predictor import PREDICTED, Explainer, Explanation
from stan_edge.pipeline.windows import Window
from stan_edge.sources import Frame, open_source
from stan_train.manifest import Clip, Intervals
from stan_train.regions import person_tracker
from stan_train.sampling import LEFT_OUT, window_labels

OnWindow: TypeAlias = Callable[[Window, NDArray[np.uint8] | None, Explanation | None], None]


@dataclass(frozen=True, eq=False)
class ClipWindows:
    """All windows of a clip, W of T frames, in order; windows that are not valid hold NaN and `valid` False.

    `logits` and `frame_scores` are raw, as the graphs give them: probabilities are
    `softmax(logits, contract.temperature)`, importance is `gate(importance(scores, method spec), background)`.
    """

    clip: Clip
    logits: NDArray[np.float32]  # [W, C]
    frame_scores: dict[Method, NDArray[np.float32]]  # [W, T] each
    frame_index: NDArray[np.int64]  # [W, T], source frames
    frame_t_s: NDArray[np.float64]  # [W, T], when they were taken
    t_start_s: NDArray[np.float64]  # [W]
    t_end_s: NDArray[np.float64]  # [W]
    valid: NDArray[np.bool_]  # [W]
    important: NDArray[np.bool_]  # [W, T]
    ignored: NDArray[np.bool_]  # [W, T]

    @property
    def duration_s(self) -> float:
        """Time that the windows cover."""
        return float(self.t_end_s[-1] - self.t_start_s[0])

    def labels(self, classes: Sequence[str], background: str | None) -> NDArray[np.int64]:
        """What each window shows, int64 [W], indexing `classes`; `LEFT_OUT` where nobody can tell or not valid."""
        own = classes.index(self.clip.label) if self.clip.label in classes else LEFT_OUT
        nothing = LEFT_OUT if background is None else classes.index(background)
        labels = window_labels(self.important, self.ignored, own, nothing)
        return np.where(self.valid, labels, LEFT_OUT)

    def important_s(self) -> list[tuple[float, float]]:
        """When the clip's activity is visible, (start, end); the whole clip where nobody marked its frames."""
        marked = self.clip.important
        if marked is None:
            marked = ((0, self.clip.frames),) if self.clip.important_flags().any() else ()
        return self.seconds_of(marked)

    def seconds_of(self, intervals: Intervals) -> list[tuple[float, float]]:
        """Intervals of frames as (start, end) in seconds of the stream."""
        index, place = np.unique(self.frame_index, return_index=True)
        times_s = self.frame_t_s.ravel()[place]

        def seconds(frame: int) -> float:
            beyond_s = max(frame - int(index[-1]), 0) / self.clip.fps
            return float(np.interp(frame, index, times_s)) + beyond_s

        return [(seconds(first), seconds(end)) for first, end in intervals]


def replay(
    clip: Clip,
    explainers: Sequence[Explainer],
    contract: Contract,
    *,
    hop_s: float | None = None,
    on_frame: Callable[[Frame, Region], None] | None = None,
    on_window: OnWindow | None = None,
) -> ClipWindows:
    """Run a clip through the graphs of one bundle, window by window, as `stan-edge run` would.

    Logits come from the first explainer. Frame scores explain `class_to_explain`.

    Args:
        explainers: one for each method wanted, at least one.
        hop_s: distance between windows; the contract's by default.
        on_frame: is called with every frame and the person's region in it.
        on_window: is called with every window, and with the network's input [P, T, S, S, 3] and the first explainer's
            explanation of each valid one.

    Raises:
        SourceError: the video cannot be read.
        ConfigError: its regions cannot be had.
    """
    class_index = class_to_explain(clip, contract)
    windows: list[Window] = []
    logits: list[NDArray[np.float32]] = []
    scores: dict[Method, list[NDArray[np.float32]]] = {explainer.method: [] for explainer in explainers}
    for window, pictures in inputs(clip, contract, hop_s or contract.hop_s, on_frame):
        windows.append(window.without_pictures())
        first = None
        if pictures is None:
            logits.append(np.full(len(contract.classes), np.nan, np.float32))
            for rows in scores.values():
                rows.append(np.full(contract.input.frames, np.nan, np.float32))
        else:
            explained = [explainer(pictures, class_index, window.number) for explainer in explainers]
            first = explained[0]
            logits.append(first.logits)
            for explanation in explained:
                scores[explanation.method].append(explanation.frame_scores)
        if on_window is not None:
            on_window(window, pictures, first)
    index = np.array([[sample.frame.index for sample in window.samples] for window in windows], np.int64)
    within = np.minimum(index, clip.frames - 1)  # a container may announce a frame less than it holds
    return ClipWindows(
        clip=clip,
        logits=np.stack(logits),
        frame_scores={method: np.stack(rows) for method, rows in scores.items()},
        frame_index=index,
        frame_t_s=np.array([[sample.frame.t_capture_s for sample in window.samples] for window in windows]),
        t_start_s=np.array([window.t_start_s for window in windows]),
        t_end_s=np.array([window.t_end_s for window in windows]),
        valid=np.array([window.reason is None for window in windows]),
        important=clip.important_flags()[within],
        ignored=clip.ignored_flags()[within],
    )


def class_to_explain(clip: Clip, contract: Contract) -> int:
    """The clip's label where the clip has important frames, else the predicted class."""
    if clip.label in contract.classes and clip.important_flags().any():
        return contract.classes.index(clip.label)
    return PREDICTED


def inputs(
    clip: Clip, contract: Contract, hop_s: float, on_frame: Callable[[Frame, Region], None] | None = None
) -> Iterator[tuple[Window, NDArray[np.uint8] | None]]:
    """Windows with the network's input [P, T, S, S, 3]; None for a window that is not valid.

    Raises: see `replay`.
    """
    source = open_source(str(clip.path), crop=clip.crop)
    try:
        with person_tracker(clip, masks=contract.input.region == "mask") as tracker:
            stream = InputStream(contract.input, hop_s, tracker, live=False)
            for window, shown in windows_of(source, stream, on_frame):
                yield window, None if shown is None else shown.pictures
    finally:
        source.close()

"""For programs: `load` a model, then `explain` recordings or open a `stream`.

import stan_edge

model = stan_edge.load()
report = model.explain("clip.mp4")                      # or pictures and their rate: explain(frames, fps=30)
print([(event.label, event.t_start_s, event.t_end_s) for event in report.events])

with model.stream() as stream:
    for image, t_s in camera():                         # RGB, uint8 [H, W, 3]; seconds
        for outcome in stream.feed(image, t_s):
            print(outcome.result.label, outcome.result.probability, outcome.events)
    end = stream.finish()
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from stan_edge.backends.base import Backend
from stan_edge.errors import ConfigError
from stan_edge.model.bundle import Bundle, method_named, methods_named, methods_to_show, open_bundle, shipped_bundle
from stan_edge.model.contract import Contract, Method, shown_class
from stan_edge.parity import open_proven, require_parity
from stan_edge.person.detection import watching
from stan_edge.person.tracking import Tracker
from stan_edge.pipeline.pipeline import Pipeline
from stan_edge.pipeline.predictor import Explainer
from stan_edge.reports.recording import RecordingReport, explain_recording
from stan_edge.sources import VideoFile
from stan_edge.sources.pictures import Pictures
from stan_edge.types import Image


def load(
    bundle: str | Path | None = None,
    *,
    backend: str = "auto",
    precision: str = "f32",
    threads: int = 0,
    methods: Sequence[str] | None = None,
) -> Model:
    """Open a model on an engine that reproduces its float64 recordings.

    Args:
        bundle: folder of an exported model; None: the one that ships inside.
        backend: an engine by name; `auto` takes the fastest that is there.
        precision: what it computes in, `f32`, `bf16` or `f16`.
        threads: for the engine; 0: as many as it likes.
        methods: attribution methods to load now, others are loaded when asked for; None: those that beat chance.

    Raises:
        ConfigError: the model has no such method, or there is no such backend.
        BundleError: the model cannot be used.
        BackendError: nor can the engine, or (ParityError) it does not reproduce the recordings.
    """
    opened = open_bundle(shipped_bundle() if bundle is None else Path(bundle))
    chosen = _chosen(opened, methods)
    engine, explainers = open_proven(opened, chosen, backend, precision, threads=threads)
    return Model(opened, engine, explainers)


class Model:
    """A model on an engine, by one thread at a time. Its streams may take turns.

    Args:
        explainers: loaded and proven, at least one; the first one is the default.
    """

    def __init__(self, bundle: Bundle, backend: Backend, explainers: Sequence[Explainer]) -> None:
        self._bundle = bundle
        self._backend = backend
        self._explainers = {explainer.method: explainer for explainer in explainers}

    @property
    def contract(self) -> Contract:
        """What the model expects and means: classes, which of them are alarms, thresholds, and more."""
        return self._bundle.contract

    @property
    def methods(self) -> tuple[Method, ...]:
        """The attribution methods that are loaded, the default one first."""
        return tuple(self._explainers)

    def explain(
        self,
        frames: Iterable[Image] | str | Path,
        *,
        fps: float | None = None,
        methods: Sequence[str] | None = None,
        target_class: str | None = None,
        person: bool = True,
    ) -> RecordingReport:
        """Explain a recording, as `stan-edge explain` does, in memory that does not grow with its length.

        Args:
            frames: RGB, uint8 `[H, W, 3]` each, all of one size, in order, read one by one; or a video file.
            fps: the rate of `frames`; a file has its own.
            methods: the first one's events and key frames are given. None: those that are loaded.
            target_class: the class that every window explains; None: the one that it shows.
            person: find the person; False takes the whole picture.

        Raises:
            ConfigError: a method or class that the model has not, a rate that is none, pictures that are none.
            SourceError: the file cannot be read.
            BackendError: the engine does not take a method, or (ParityError) does not reproduce its recordings.
        """
        chosen = self.methods if methods is None else _chosen(self._bundle, methods)
        shown = shown_class(self.contract, target_class)
        explainers = [self._explainer(method) for method in chosen]
        with ExitStack() as stack:
            source = _source(frames, fps)
            stack.callback(source.close)
            tracker = self._tracker(stack) if person else None
            hop_s = self.contract.hop_s
            return explain_recording(source, self.contract, explainers, tracker, hop_s, target_class=shown)

    def stream(
        self,
        *,
        method: str | None = None,
        target_class: str | None = None,
        hop_s: float | None = None,
        person: bool = True,
        live: bool = False,
        name: str = "stream",
    ) -> Pipeline:
        """Explain pictures as they come. Close the stream, or use it in `with`: it holds what finds the person.

        Args:
            method: None: the default one.
            target_class: the class that every window explains; None: the one that it shows.
            hop_s: distance between windows; None: the model's.
            person: find the person; False takes the whole picture.
            live: the pictures come from a camera, which can hang or be covered: such windows are not valid.
            name: what records call the stream.

        Raises:
            ConfigError: a method or class that the model has not, or a hop that does not fit it.
            BackendError: as in `explain`.
        """
        explainer = self._explainer(self.methods[0] if method is None else method_named(self._bundle, method))
        shown = shown_class(self.contract, target_class)
        hop_s = self.contract.hop_s if hop_s is None else hop_s
        self.contract.input.hop_ticks(hop_s)
        stack = ExitStack()
        tracker = self._tracker(stack) if person else None
        return Pipeline(
            name, self.contract, explainer, hop_s, tracker, live=live, target_class=shown, on_close=stack.close
        )

    def _explainer(self, method: Method) -> Explainer:
        if method not in self._explainers:
            explainer = Explainer(self._bundle, self._backend, method)
            require_parity(self._bundle, self._backend, explainer)
            self._explainers[method] = explainer
        return self._explainers[method]

    def _tracker(self, stack: ExitStack) -> Tracker:
        return stack.enter_context(watching(masks=self.contract.input.region == "mask"))


def _chosen(bundle: Bundle, methods: Sequence[str] | None) -> tuple[Method, ...]:
    if methods is None:
        return methods_to_show(bundle)
    if not methods:
        raise ConfigError("methods is empty; give at least one method, or None for those that beat chance.")
    return methods_named(bundle, methods)


def _source(frames: Iterable[Image] | str | Path, fps: float | None) -> VideoFile | Pictures:
    if isinstance(frames, str | Path):
        if fps is not None:
            raise ConfigError("A video file has a rate of its own; leave out fps.")
        return VideoFile(Path(frames))
    if fps is None:
        raise ConfigError("Pictures have no rate of their own; give fps.")
    return Pictures(frames, fps)

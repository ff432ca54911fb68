"""Engine x precision x method: errors against float64, and what explaining costs over the forward pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_bench.pure import alternate, recorded_windows, runs
from stan_bench.result import SCHEMA, WHAT, machine
from stan_bench.statistics import intervals
from stan_edge.backends.base import PRECISIONS, Backend, engine_name
from stan_edge.backends.registry import ALL_BACKENDS, open_backend
from stan_edge.errors import BackendError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Method
from stan_edge.parity import ParityRow, replay
from stan_edge.pipeline.predictor import Explainer

PAUSE_S = 0.02
"""Between two engines: ONNX Runtime's threads spin for a while after a run and would slow down the next one."""


@dataclass(frozen=True)
class ComparisonRow:
    """One combination. Without parity there are no times."""

    backend: str
    precision: str
    method: Method
    parity: ParityRow | None
    refusal: str | None
    """Why it must not be used; None: it may."""
    forward_ms: list[float] = field(default_factory=list)
    explain_ms: list[float] = field(default_factory=list)

    @property
    def forward_median_ms(self) -> float | None:
        return statistics.median(self.forward_ms) if self.forward_ms else None

    @property
    def explain_median_ms(self) -> float | None:
        return statistics.median(self.explain_ms) if self.explain_ms else None

    @property
    def ratio(self) -> float | None:
        """Explaining (forward pass within) over the forward pass just before it, median of all rounds."""
        ratios = [explain / forward for forward, explain in zip(self.forward_ms, self.explain_ms, strict=True)]
        return statistics.median(ratios) if ratios else None

    def to_json(self) -> dict[str, Any]:
        parity = None if self.parity is None else asdict(self.parity) | {"passed": self.parity.passed}
        medians = {"forward_median_ms": self.forward_median_ms, "explain_median_ms": self.explain_median_ms}
        sure = {
            "forward_interval_ms": intervals(self.forward_ms)["p50"] if self.forward_ms else None,
            "explain_interval_ms": intervals(self.explain_ms)["p50"] if self.explain_ms else None,
        }
        return asdict(self) | {"parity": parity, **medians, **sure, "ratio": self.ratio}


@dataclass(frozen=True)
class Comparison:
    """All combinations that were asked for, and the ones that this machine does not have."""

    conditions: dict[str, str]
    rows: tuple[ComparisonRow, ...]
    missing: tuple[str, ...]
    """Sentences: engines and precisions that are not here."""

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "mode": "compare",
            "what": WHAT["compare"],
            "conditions": self.conditions,
            "rows": [row.to_json() for row in self.rows],
            "missing": self.missing,
        }


@dataclass
class _Loaded:
    backend: Backend
    forward: Callable[..., Any]
    explainers: list[Explainer]
    spent_ms: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    """Forward pass and explanation of each method."""

    def time(self, window: NDArray[np.uint8]) -> None:
        """Each method right after a forward pass of its own: what slows the machine down slows down both."""
        self.forward({"frames": window[None]})  # brings the engine's threads and weights back after another engine
        for explainer in self.explainers:
            forward_ms, explain_ms = self.spent_ms.setdefault(explainer.method, ([], []))
            spent = alternate(runs(self.forward, explainer, window), 1)
            forward_ms += spent["forward"]
            explain_ms += spent["explain"]


def compare(
    bundle: Bundle,
    methods: Sequence[Method],
    *,
    backends: Sequence[str] = ALL_BACKENDS,
    precisions: Sequence[str] = PRECISIONS,
    threads: int = 0,
    rounds: int,
) -> Comparison:
    """Check every combination against float64, then time those that pass, all in turn, `rounds` times."""
    rows: list[ComparisonRow] = []
    missing: list[str] = []
    engines: list[_Loaded] = []
    for name in backends:
        for precision in precisions:
            try:
                backend = open_backend(name, precision, threads=threads)
                loaded = _Loaded(backend, backend.load(bundle.forward(bundle.form(engine_name(backend)))), [])
            except BackendError as error:
                missing.append(str(error))
                continue
            found = [_checked(bundle, backend, method, loaded.explainers) for method in methods]
            rows += found
            engines.append(loaded)
    _time(engines, bundle, rounds)
    spent: dict[tuple[str, str], _Loaded] = {(one.backend.name, one.backend.precision): one for one in engines}
    conditions = {"mode": "compare", "model": bundle.contract.name, "model_digest": bundle.digest}
    made_of = {"threads": str(threads) if threads else "chosen by the engine", "machine": machine()}
    return Comparison(conditions | made_of, tuple(_timed(row, spent) for row in rows), tuple(dict.fromkeys(missing)))


def _checked(bundle: Bundle, backend: Backend, method: Method, passing: list[Explainer]) -> ComparisonRow:
    """A row without times; the explainer joins `passing` when float64 is reproduced."""
    try:
        explainer = Explainer(bundle, backend, method)
        parity = replay(bundle, backend, explainer)
    except BackendError as error:
        return ComparisonRow(backend.name, backend.precision, method, None, str(error))
    if parity.passed:
        passing.append(explainer)
        return ComparisonRow(backend.name, backend.precision, method, parity, None)
    errors = {"scores": parity.scores_error, "maps": parity.map_error, "logits": parity.logits_error}
    off = [f"{name} off by {error:.1e}" for name, error in errors.items() if not error <= parity.tolerance]
    return ComparisonRow(
        backend.name, backend.precision, method, parity, f"{', '.join(off)}, allowed {parity.tolerance:.0e}"
    )


def _time(engines: Sequence[_Loaded], bundle: Bundle, rounds: int) -> None:
    windows = recorded_windows(bundle)
    engines = [engine for engine in engines if engine.explainers]
    for number in range(rounds):  # the parity check has warmed the graphs up
        for engine in engines:
            time.sleep(PAUSE_S)
            engine.time(windows[number % len(windows)])


def _timed(row: ComparisonRow, spent: dict[tuple[str, str], _Loaded]) -> ComparisonRow:
    if row.refusal is not None:
        return row
    forward_ms, explain_ms = spent[row.backend, row.precision].spent_ms[row.method]
    return replace(row, forward_ms=forward_ms, explain_ms=explain_ms)

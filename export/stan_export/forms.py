"""Which form of a bundle's graphs each engine is fastest in: measured on this machine, not assumed."""

from __future__ import annotations

from functools import partial
from statistics import median

from stan_bench.pure import alternate, feeds, recorded_windows
from stan_edge.backends.base import PRECISIONS, Backend, engine_name
from stan_edge.backends.registry import BACKENDS, open_backend
from stan_edge.errors import BackendUnavailableError
from stan_edge.model.bundle import Bundle, methods_of
from stan_edge.model.contract import FORMS, Form

ROUNDS, WARM_UP_ROUNDS, PAUSE_S = 10, 2, 0.02
Times = dict[Form, float]


def measure_forms(bundle: Bundle) -> dict[str, Times]:
    """Milliseconds of every form on every engine that is here, by its name in the contract.

    The sum over the methods that run one copy of a window; of each the median of `ROUNDS` runs, all in turn.
    """
    found: dict[str, Times] = {}
    for name in BACKENDS:
        for precision in PRECISIONS:
            try:
                backend = open_backend(name, precision)
            except BackendUnavailableError:
                continue
            found[engine_name(backend)] = _measure(bundle, backend)
    return found


def _measure(bundle: Bundle, backend: Backend) -> Times:
    window = recorded_windows(bundle)[0]
    methods = [method for method in methods_of(bundle) if bundle.contract.methods[method].samples is None]
    runs = {
        f"{form} {method}": partial(backend.load(bundle.explain(method, form)), feeds(bundle, method, window))
        for form in FORMS
        for method in methods
    }
    alternate(runs, WARM_UP_ROUNDS, PAUSE_S)
    spent_ms = alternate(runs, ROUNDS, PAUSE_S)
    return {form: sum(median(spent_ms[f"{form} {method}"]) for method in methods) for form in FORMS}

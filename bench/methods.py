"""What each method costs over the forward pass, all graphs alternating in one process: python bench/methods.py"""

from __future__ import annotations

import time

import numpy as np

from stan_edge.backends import open_backend
from stan_edge.bundle import methods_of, open_bundle, shipped_bundle
from stan_edge.errors import BackendUnavailableError
from stan_edge.smoothgrad import noise

WARM_UP, RUNS = 5, 40


def main() -> None:
    bundle = open_bundle(shipped_bundle())
    with np.load(bundle.parity) as recorded:
        plain = {"frames": recorded["frames"][1:2], "class_index": np.array([-1])}
    methods = methods_of(bundle)
    drawn = [bundle.contract.methods[method].samples for method in methods]
    feeds = [plain, *(plain | ({"noise": noise(bundle.contract.input, n)} if n else {}) for n in drawn)]
    names = ("forward", *methods)
    print("| backend | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for name, precision in (("openvino", "f32"), ("openvino", "bf16"), ("onnxruntime", "f32")):
        try:
            backend = open_backend(name, precision)
        except BackendUnavailableError:
            continue
        form = bundle.form(backend)
        paths = (bundle.forward(form), *(bundle.explain(method, form) for method in methods))
        graphs = [backend.load(path) for path in paths]
        spent_ms = np.empty((WARM_UP + RUNS, len(graphs)))
        for run in range(WARM_UP + RUNS):
            for column, (graph, feed) in enumerate(zip(graphs, feeds, strict=True)):
                started_s = time.perf_counter()
                graph(feed)
                spent_ms[run, column] = (time.perf_counter() - started_s) * 1e3
        medians = np.median(spent_ms[WARM_UP:], axis=0)
        cells = " | ".join(f"{value:.1f} ms ({value / medians[0]:.2f})" for value in medians)
        print(f"| {name} {precision} | {cells} |")


if __name__ == "__main__":
    main()

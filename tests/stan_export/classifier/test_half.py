"""Networks that are not ours, traced by another exporter, in f16."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stan_edge.backends.tensorrt.build import build_engine
from stan_edge.model.bundle import Bundle, methods_of
from tests.stan_edge.backends.tensorrt.test_half import errors


@pytest.mark.parametrize("kind", ["timesformer", "vivit"])
def test_transformers_keep_their_meaning_in_f16_and_build(bundles: Callable[[str], Bundle], kind: str) -> None:
    trt = pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    bundle = bundles(kind)
    for method in methods_of(bundle):
        row = errors(bundle, "f16", method)
        assert row.passed, row
        assert build_engine(trt, bundle.explain(method), "f16").plan

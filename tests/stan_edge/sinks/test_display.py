from __future__ import annotations

import threading

import pytest

from stan_edge.errors import ConfigError
from stan_edge.model.bundle import Bundle
from stan_edge.sinks.display import Display


def test_a_display_without_a_screen_is_refused_by_its_flag(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigError, match="no screen here; leave it out") as refused:
        Display(tiny_bundle.contract, "vanilla", threading.Event())
    assert refused.value.field == "pictures.display"

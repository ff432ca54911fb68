"""What happens in a room, and which frames say so. `load` is the way in for programs; `stan-edge` for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stan_edge.api import Model, load

__all__ = ["Model", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stan_edge import api  # loading numerical libraries is for those who ask

    return getattr(api, name)

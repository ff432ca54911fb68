"""Optional parts of the installation."""

from __future__ import annotations

from importlib.util import find_spec

from stan_edge.errors import ConfigError


def need_extra(extra: str, *modules: str, field: str | None = None) -> None:
    """Raises ConfigError, about a field of the configuration, when a module of an optional extra is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is not installed; run: pip install 'stan-edge[{extra}]'.", field=field)

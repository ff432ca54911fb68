"""Where the value came from that an error is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stan_edge.config.run_config import option_of
from stan_edge.errors import StanEdgeError

if TYPE_CHECKING:
    from stan_edge.config.origins import Origins


@dataclass
class Blame:
    """Of one call of the command. It is the object of Typer's context."""

    origins: Origins | None = None
    """Of a verb that takes a whole configuration; the others have but their flags."""

    def sentence(self, error: StanEdgeError) -> str:
        """The error as people get it: file, line and field, flag or variable, then what is wrong."""
        field = error.field
        if field is None:
            return str(error)
        if self.origins is not None:
            origin = self.origins.of(field) if "." in field else field
        else:
            known = option_of(field) if "." in field else None
            origin = known.first_flag if known else field
        return f"{origin}: {error}" if origin else str(error)

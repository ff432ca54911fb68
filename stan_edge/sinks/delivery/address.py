"""Addresses of other systems, taken apart."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit


def split_url(url: str, schemes: Collection[str]) -> tuple[SplitResult, str]:
    """The parts of a URL, and its host as the network takes it.

    Raises:
        ValueError: another scheme, no usable host, or no usable port.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode()
    if parts.scheme not in schemes or not re.fullmatch(r"[A-Za-z0-9._:-]+", host) or parts.port == 0:
        raise ValueError("not such an address")
    return parts, host

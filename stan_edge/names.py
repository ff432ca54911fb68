"""What a camera or a class is called where only plain characters are safe: in topics, and as files and folders."""

from __future__ import annotations

import hashlib
import re

LONGEST_NAME = 80


def plain_name(text: str) -> str:
    """A name of ASCII letters, digits, `_` and `-`.

    Where letters are lost by that, or the end, it ends in six digits of its hash, so that no two fall together.
    """
    name = re.sub(r"[^A-Za-z0-9-]+", "_", text).strip("_")
    if not name or not text.isascii() or len(name) > LONGEST_NAME:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{name[:LONGEST_NAME]}_{digest[:6]}".strip("_")
    return name

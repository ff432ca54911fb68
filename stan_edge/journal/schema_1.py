"""Records of schema 1, which journals may still hold, in the words of schema 2 (see docs: record format)."""

from __future__ import annotations

from typing import Any

LOAD_LEVELS = {
    "fewer_looks": "half_rate_detection",
    "cheap": "cheaper_method",
    "alternate": "explain_every_second",
    "labels": "labels_only",
    "fewer": "every_second_window",
}
KEYS = {"start": {"explain_class": "target_class"}, "window": {"explained": "explained_class"}}


def upgraded(record: dict[str, Any]) -> dict[str, Any]:
    """A record as JSON in schema 2; one that is in it already comes back equal."""
    names = KEYS.get(record.get("type", ""), {})
    new = {names.get(key, key): value for key, value in record.items()}
    match new.get("type"):
        case "start":
            new["schema"] = 2
        case "load":
            new["level"] = LOAD_LEVELS.get(new["level"], new["level"])
        case "end" if isinstance(new.get("windows"), dict):
            new["windows"] = {"unexplained" if key == "labelled" else key: n for key, n in new["windows"].items()}
    return new

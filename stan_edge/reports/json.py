"""A recording's explanation as JSON, frame by frame, written while it is made."""

from __future__ import annotations

import json
from typing import Any, TextIO

from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Method
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.reports.recording import RecordingReport


class JsonReport:
    """Writes one object: the class that was explained, `frames` with each method's importance, then `events`.

    Frames go out as soon as every method has spoken, so that memory does not grow.
    """

    def __init__(
        self, file: TextIO, bundle: Bundle, source: str, target_class: str | None, methods: tuple[Method, ...]
    ) -> None:
        self._file, self._methods = file, methods
        self._open: dict[int, dict[Method, dict[str, Any]]] = {}
        self._separator, self._written = "\n", -1
        about = {
            "source": source,
            "model": bundle.contract.name,
            "model_digest": bundle.digest,
            "explained": target_class or "the label of each window",
            "thresholds": {method: bundle.contract.methods[method].thresholds for method in methods},
        }
        head = json.dumps(about, ensure_ascii=False, indent=1)
        self._file.write(f'{head[:-2]},\n "frames": [')

    def frame(self, method: Method, frame: TimelineFrame, important: bool) -> None:
        """Take a method's final word on a frame; frames come in order."""
        if frame.index <= self._written:
            return  # a slow camera's frame serves two ticks
        importance = None if frame.importance is None else round(frame.importance, 4)
        spoken = self._open.setdefault(frame.index, {})
        spoken.setdefault(method, {"importance": importance, "important": important})
        if len(spoken) == len(self._methods):
            del self._open[frame.index]
            self._written = frame.index
            by_method = {name: spoken[name] for name in self._methods}
            row = {"t_s": round(frame.t_s, 4), "index": frame.index, "label": frame.label, "methods": by_method}
            self._file.write(f"{self._separator}  {json.dumps(row, ensure_ascii=False)}")
            self._separator = ",\n"

    def finish(self, report: RecordingReport) -> None:
        """Write what is known at the end only."""
        tail = {
            "duration_s": round(report.duration_s, 4),
            "windows": report.windows,
            "invalid": report.invalid,
            "events": [event.to_json() for event in report.events],
        }
        self._file.write(f"\n ],{json.dumps(tail, ensure_ascii=False, indent=1)[1:]}\n")

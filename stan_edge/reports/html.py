"""A recording's explanation as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
from html import escape
from string import Template

from stan_edge.model.contract import Contract
from stan_edge.reports.charts import render
from stan_edge.reports.drawing import png
from stan_edge.reports.recording import RecordingReport
from stan_edge.reports.recording_charts import draw_recording

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$source</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1280px; padding: 0 1rem; color: #222; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; }
.frames { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { margin: 0; }
.note { color: #666; }
</style>
</head>
<body>
<h1>$source</h1>
<p>$summary</p>
<img alt="labels, events and importance over time" src="$charts">
<h2>Events</h2>
$events
<h2>Most important frames</h2>
$frames
<p class="note">$note</p>
</body>
</html>
""")


def html_report(report: RecordingReport, contract: Contract, source: str, digest: str, target_class: str | None) -> str:
    """The page; pictures are inside.

    Args:
        source: the recording's name.
        digest: the bundle's.
        target_class: the class that was explained; None: what each window shows.
    """
    methods = list(report.curves)
    what = "the class that each window shows" if target_class is None else f"“{target_class.replace('_', ' ')}”"
    invalid = f", {report.invalid} of them not valid" if report.invalid else ""
    events = "\n".join(
        f"<tr><td>{_words(event.label)}</td><td>{event.t_start_s:.1f} s</td><td>{event.t_end_s:.1f} s</td>"
        f"<td>{event.peak_probability:.2f}</td></tr>"
        for event in report.events
    )
    frames = "\n".join(
        f'<figure><img alt="" src="{_data_url(png(key.picture))}">'
        f"<figcaption>{key.frame.t_s:.1f} s, frame {key.frame.index}: {_words(key.frame.label or '')}, "
        f"importance {key.frame.importance:.2f}</figcaption></figure>"
        for key in report.key_frames
    )
    head = "<tr><th>what</th><th>from</th><th>to</th><th>at most</th></tr>"
    return _PAGE.substitute(
        source=escape(source),
        summary=escape(
            f"{report.duration_s:.1f} s, {report.frames} frames, {report.windows} windows{invalid}. "
            f"Explained: {what}, by {', '.join(methods)}; events and frames below are those of {methods[0]}."
        ),
        charts=_data_url(render(lambda: draw_recording(report, contract, key_frames=False))),
        events=f"<table>{head}\n{events}</table>" if events else "<p>None.</p>",
        frames=f'<div class="frames">\n{frames}\n</div>' if frames else "<p>No frame reaches its threshold.</p>",
        note=escape(
            f"Model {contract.name}, {digest}. Importance is a model's, not a clinician's: it says which frames the "
            "score depends on. Not a medical device."
        ),
    )


def _data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _words(label: str) -> str:
    return escape(label.replace("_", " "))

from __future__ import annotations

import io
import json
from collections.abc import Callable

from stan_edge.sinks.json_lines import JsonLines
from stan_edge.sources.scripted import Step


def test_json_lines_are_one_record_each(run: Callable[..., object], scene: list[Step]) -> None:
    out = io.StringIO()
    run([JsonLines(out, live=False)], *scene, live=False)
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [records[0]["type"], records[-1]["type"]] == ["start", "end"]
    assert {record["type"] for record in records} == {"start", "window", "event", "end"}
    assert all("at" not in record for record in records)
    assert records[-1]["windows"]["due"] == sum(record["type"] == "window" for record in records)


def test_json_lines_of_a_camera_say_when(run: Callable[..., object], scene: list[Step]) -> None:
    out = io.StringIO()
    run([JsonLines(out, live=True)], *scene)
    assert all(json.loads(line)["at"].endswith("+00:00") for line in out.getvalue().splitlines())

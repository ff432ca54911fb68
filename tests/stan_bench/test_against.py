from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stan_bench.against import Against, against, read_earlier, require_same_conditions
from stan_bench.result import BenchReport
from stan_edge.errors import ConfigError

EVEN = [10 + 0.1 * k for k in range(50)]
"""Median 12.45, its interval about 11.7 to 13.3."""


@pytest.fixture
def steady(pure_report: BenchReport) -> BenchReport:
    """A real report with times that no machine disturbs."""
    stages_ms = {"forward": EVEN, "explain": EVEN}
    return replace(pure_report, measured=replace(pure_report.measured, stages_ms=stages_ms))


@pytest.fixture
def judge(steady: BenchReport, tmp_path: Path) -> Callable[..., Against]:
    """Compares the report with a doctored one that was written earlier."""

    def compare(**stages_ms: list[float]) -> Against:
        path = tmp_path / "old.json"
        path.write_text(json.dumps(steady.to_json() | {"stages_ms": stages_ms}))
        earlier = read_earlier(path)
        require_same_conditions(path, earlier, steady.conditions)
        return against(path, earlier, steady)

    return compare


def times(factor: float, values: list[float] = EVEN) -> list[float]:
    return [factor * value for value in values]


def verdicts(found: Against) -> dict[str, str]:
    return {change.stage: change.verdict for change in found.changes}


def test_the_same_is_no_regression(judge: Callable[..., Against]) -> None:
    found = judge(forward=EVEN, explain=EVEN)
    assert verdicts(found) == {"forward": "same", "explain": "same"}
    assert found.regressions == ()


def test_what_was_faster_beyond_noise_is_a_regression(judge: Callable[..., Against]) -> None:
    found = judge(forward=EVEN, explain=times(0.5))
    assert verdicts(found) == {"forward": "same", "explain": "slower"}
    assert found.regressions == ("explain",)
    change = found.changes[1]
    assert change.ratio == pytest.approx(2)
    assert change.beyond_noise


def test_what_was_slower_is_none(judge: Callable[..., Against]) -> None:
    found = judge(forward=times(2), explain=times(3))
    assert verdicts(found) == {"forward": "faster", "explain": "faster"}
    assert found.regressions == ()


def test_a_difference_within_noise_is_none(judge: Callable[..., Against]) -> None:
    few = times(0.5)[:5]  # the median of five values has no bounds
    wide = [1.0] * 20 + [40.0] * 20
    assert judge(forward=few, explain=wide).regressions == ()


def test_a_difference_beyond_noise_but_of_less_than_a_tenth_is_none(judge: Callable[..., Against]) -> None:
    exact = [12.45 / 1.09] * 50
    found = judge(forward=exact, explain=exact)
    assert [change.beyond_noise for change in found.changes] == [True, True]
    assert verdicts(found) == {"forward": "same", "explain": "same"}


def test_a_stage_that_has_no_values_any_more_is_a_regression(
    judge: Callable[..., Against], steady: BenchReport, tmp_path: Path
) -> None:
    judge(forward=EVEN, explain=EVEN)
    shed = replace(steady, measured=replace(steady.measured, stages_ms={"forward": EVEN, "explain": []}))
    found = against(tmp_path / "old.json", read_earlier(tmp_path / "old.json"), shed)
    assert verdicts(found) == {"forward": "same", "explain": "gone"}
    assert found.regressions == ("explain",)


def test_stages_that_do_not_decide_are_only_shown(judge: Callable[..., Against], steady: BenchReport) -> None:
    found = judge(forward=EVEN, explain=EVEN, region=EVEN)
    assert verdicts(found)["region"] == "gone"
    assert found.regressions == ()


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("model_digest", "sha256:0"),
        ("method", "gradcam"),
        ("backend", "openvino"),
        ("precision", "bf16"),
        ("machine", "another one"),
        ("mode", "camera"),
        ("threads", "7"),
    ],
)
def test_other_conditions_are_refused_in_one_sentence(steady: BenchReport, key: str, other: str) -> None:
    earlier = steady.to_json()
    earlier["conditions"] = steady.conditions | {key: other}
    with pytest.raises(ConfigError, match="compare like with like") as refused:
        require_same_conditions(Path("old.json"), earlier, steady.conditions)
    said = str(refused.value)
    assert f"{key} {other!r} there and {steady.conditions[key]!r} here" in said
    assert said.count("\n") == 0
    assert said.count(" there and ") == 1


def test_another_version_of_an_engine_is_what_one_wants_to_compare(steady: BenchReport) -> None:
    earlier: dict[str, Any] = steady.to_json() | {"software": {"onnxruntime": "0.1"}}
    require_same_conditions(Path("old.json"), earlier, steady.conditions)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"schema": 0, "conditions": {}, "stages_ms": {}}',
        '{"schema": 1, "stages_ms": {}}',
        '{"schema": 1, "conditions": {}, "stages_ms": {"explain": ["fast"]}}',
        '{"schema": 1, "conditions": {}, "stages_ms": {"explain": [NaN]}}',
        '{"schema": 1, "conditions": {}, "stages_ms": [1]}',
    ],
)
def test_a_file_that_is_no_measurement_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"old\.json"):
        read_earlier(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_earlier(tmp_path / "none.json")

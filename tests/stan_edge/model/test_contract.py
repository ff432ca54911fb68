from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stan_edge.errors import ContractError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Contract, read_contract, write_contract

EVENT = {"enter": 0.6, "leave": 0.4, "min_duration_s": 0.4, "merge_gap_s": 1.0}


@pytest.fixture
def values(tiny_bundle: Bundle) -> dict[str, Any]:
    return json.loads(tiny_bundle.contract.model_dump_json())


def refusal(tmp_path: Path, values: Any) -> str:
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ContractError) as refused:
        read_contract(path)
    return str(refused.value)


def at(values: dict[str, Any], field: str) -> tuple[dict[str, Any], str]:
    *parents, last = field.split(".")
    for parent in parents:
        values = values[parent]
    return values, last


def test_a_contract_survives_writing_and_reading(tiny_bundle: Bundle, tmp_path: Path) -> None:
    write_contract(tmp_path / "contract.json", tiny_bundle.contract)
    assert read_contract(tmp_path / "contract.json") == tiny_bundle.contract


@pytest.mark.parametrize("field", sorted(set(Contract.model_fields) - {"forms"}))  # that changes no number
def test_a_missing_field_is_named(values: dict[str, Any], tmp_path: Path, field: str) -> None:
    del values[field]
    assert field in refusal(tmp_path, values)


@pytest.mark.parametrize(
    "field",
    ["input.window_s", "input.size_px", "input.mean", "input.view", "methods.vanilla.profile", "events.falling.leave"],
)
def test_a_missing_inner_field_is_named_with_its_path(values: dict[str, Any], tmp_path: Path, field: str) -> None:
    parent, last = at(values, field)
    del parent[last]
    assert f"'{field}'" in refusal(tmp_path, values)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", 5),
        ("classes", "falling"),
        ("hop_s", "0.2"),
        ("hop_s", 0.0),
        ("temperature", -1.0),
        ("temperature", float("inf")),
        ("input.frames", 20.5),
        ("input.frames", "20"),
        ("input.mean", float("nan")),
        ("input.std", 0.0),
        ("input.view", "both"),
        ("input.framing", "centre"),
        ("methods.vanilla.dealias", 1),
        ("methods.smoothgrad.samples", 0),
        ("methods.smoothgrad.samples", 8.0),
        ("methods.vanilla.thresholds.falling", 1.2),
        ("events.falling.enter", -0.1),
        ("provenance", {"clips": 3}),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(values: dict[str, Any], tmp_path: Path, field: str, wrong: Any) -> None:
    parent, last = at(values, field)
    parent[last] = wrong
    assert f"'{field}" in refusal(tmp_path, values)


@pytest.mark.parametrize("schema", [1, 3, "2", None])
def test_another_schema_is_refused_by_its_number(values: dict[str, Any], tmp_path: Path, schema: Any) -> None:
    message = refusal(tmp_path, values | {"schema_version": schema})
    assert "schema_version" in message
    assert repr(schema) in message


def test_an_unknown_field_is_refused_by_name(values: dict[str, Any], tmp_path: Path) -> None:
    assert "'colour_order'" in refusal(tmp_path, values | {"colour_order": "BGR"})


def test_an_unknown_method_is_refused_by_name(values: dict[str, Any], tmp_path: Path) -> None:
    values["methods"]["lime"] = values["methods"]["staa"]
    assert "lime" in refusal(tmp_path, values)


@pytest.mark.parametrize(
    ("field", "wrong", "says"),
    [
        ("classes", ["background", "falling", "falling"], "classes holds a name twice"),
        ("alarms", ["flying"], "alarms names 'flying'"),
        ("background", "nothing", "background names 'nothing'"),
        ("hop_s", 0.25, "hop_s 0.25 s must be a multiple of 0.1 s, from 0.1 to 2 s"),
        ("hop_s", 2.1, "hop_s 2.1 s must be a multiple of 0.1 s, from 0.1 to 2 s"),
        ("alarms", ["background"], "background cannot be one of alarms"),
        ("methods.gradcam.profile", [1.0] * 19, "methods.gradcam.profile has 19 values for 20 frames"),
        ("methods.gradcam.profile", [0.0] + [1.0] * 19, "methods.gradcam.profile holds a value that is not positive"),
        ("methods.staa.scale", [2.0, 2.0], "methods.staa.scale must rise"),
        ("methods.staa.samples", 8, "methods.staa.samples is 8"),
        ("methods.smoothgrad.samples", None, "methods.smoothgrad.samples is None"),
        ("events.falling.leave", 0.9, "leave (0.9) must not exceed enter (0.6)"),
        ("events.background", EVENT, "events has ['background', 'chest_pain'"),
        ("methods.staa.thresholds.background", 0.5, "methods.staa.thresholds has ['background'"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(
    values: dict[str, Any], tmp_path: Path, field: str, wrong: Any, says: str
) -> None:
    parent, last = at(values, field)
    parent[last] = wrong
    assert says in refusal(tmp_path, values)


def test_a_model_may_have_no_background_and_no_calibration(values: dict[str, Any], tmp_path: Path) -> None:
    values["background"] = None
    for method in values["methods"].values():
        method["scale"] = None
        method["thresholds"]["background"] = 0.5
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(values))
    assert read_contract(path).background is None


def test_a_contract_from_before_smoothgrad_is_read(values: dict[str, Any], tmp_path: Path) -> None:
    for later in ("smoothgrad", "streaming", "staa-grad"):
        del values["methods"][later]
    for method in values["methods"].values():
        del method["samples"]
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(values))
    assert set(read_contract(path).methods) == {"vanilla", "gradcam", "staa"}


@pytest.mark.parametrize("field", ["events", "methods.gradcam.thresholds"])
def test_figures_that_lack_a_class_are_refused_with_the_field(
    values: dict[str, Any], tmp_path: Path, field: str
) -> None:
    parent, last = at(values, field)
    del parent[last]["headache"]
    message = refusal(tmp_path, values)
    assert f"{field} has ['chest_pain', 'compensation', 'falling']" in message
    assert "'headache'" in message


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_what_is_not_a_contract_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "contract.json"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=r"contract\.json"):
        read_contract(path)


def test_a_contract_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="cannot be read"):
        read_contract(tmp_path / "contract.json")

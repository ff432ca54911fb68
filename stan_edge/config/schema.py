"""The JSON schema of a configuration file, for editors and other programs."""

from __future__ import annotations

from typing import Any

from stan_edge.config.run_config import RunConfig


def toml_schema() -> dict[str, Any]:
    """The schema of `RunConfig` in the form of a file: `camera` is a table, or an array of at least one."""
    schema: dict[str, Any] = _without_null(RunConfig.model_json_schema())
    schema |= {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "stan-edge run"}
    schema["description"] = (
        "What `stan-edge run --config FILE` reads, a TOML file; relative paths start from its folder."
    )
    sections = schema["properties"]
    cameras = sections.pop("cameras")
    schema["properties"] = {"camera": {"anyOf": [cameras["items"], cameras | {"minItems": 1}]}, **sections}
    source = schema["$defs"]["CameraConfig"]["properties"]["source"]
    text = {name: source.pop(name) for name in ("type", "minLength")}
    source["anyOf"] = [text, {"type": "integer", "minimum": 0, "maximum": 999}]
    return schema


def _without_null(schema: Any) -> Any:
    """TOML has no null: what is not there has its default."""
    if isinstance(schema, list):
        return [_without_null(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _without_null(value) for name, value in schema.items() if not (name == "default" and value is None)}
    if {"type": "null"} in kept.get("anyOf", []):
        (kind,) = (one for one in kept.pop("anyOf") if one != {"type": "null"})
        kept |= kind
    return kept

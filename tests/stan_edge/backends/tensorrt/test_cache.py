from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from stan_edge.backends.cuda import Gpu
from stan_edge.backends.tensorrt.cache import AHEAD_OF_TIME, EngineKey, engine_key, engines_folder, load, store
from stan_edge.errors import BackendError, EngineFileError

ORIN = Gpu("Orin", "8.7")
PLAN = bytes(range(256)) * 40 + b"\n\n"
AGAIN = "stan-edge engine model --force"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "forward.onnx").write_bytes(b"a graph")
    (tmp_path / "weights.bin").write_bytes(b"its weights")
    return tmp_path / "forward.onnx"


@pytest.fixture
def key(graph: Path) -> EngineKey:
    return engine_key("tensorrt", "10.3.0", ORIN, "f16", graph)


def test_what_was_kept_is_what_is_found(tmp_path: Path, key: EngineKey) -> None:
    assert load(tmp_path, key, AGAIN) is None
    path = store(tmp_path, key, PLAN)
    assert path.relative_to(tmp_path).parts[0] == "tensorrt-10.3.0-f16-Orin-compute-capability-8.7"
    assert load(tmp_path, key, AGAIN) == PLAN


@pytest.mark.parametrize(
    "other",
    [
        {"library": "tensorrt-rtx"},
        {"version": "10.16.1"},
        {"gpu": str(Gpu("Orin Nano", "8.7"))},
        {"gpu": AHEAD_OF_TIME},
        {"precision": "f32"},
        {"graph_digest": "sha256:0"},
        {"stan_edge": "99.0"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_an_engine_is_for_one_gpu_library_precision_graph_and_release(
    tmp_path: Path, key: EngineKey, other: dict[str, str]
) -> None:
    path = store(tmp_path, key, PLAN)
    wanted = replace(key, **other)
    assert load(tmp_path, wanted, AGAIN) is None
    wanted.path(tmp_path).parent.mkdir(exist_ok=True)
    path.replace(wanted.path(tmp_path))  # put there by hand
    with pytest.raises(EngineFileError, match="is for something else") as refused:
        load(tmp_path, wanted, AGAIN)
    (name,) = other
    assert f"needed is {name} {other[name]!r}, not {getattr(key, name)!r}" in str(refused.value)
    assert str(refused.value).endswith(f"run: {AGAIN}.")


@pytest.mark.parametrize("changed", ["forward.onnx", "weights.bin"])
def test_another_graph_or_other_weights_need_another_engine(graph: Path, key: EngineKey, changed: str) -> None:
    graph.with_name(changed).write_bytes(b"changed")
    assert engine_key("tensorrt", "10.3.0", ORIN, "f16", graph).path(graph.parent) != key.path(graph.parent)


def test_the_same_model_in_another_folder_needs_no_other_engine(graph: Path, key: EngineKey, tmp_path: Path) -> None:
    other = tmp_path / "copy"
    other.mkdir()
    for name in ("forward.onnx", "weights.bin"):
        (other / name).write_bytes(graph.with_name(name).read_bytes())
    assert engine_key("tensorrt", "10.3.0", ORIN, "f16", other / graph.name) == key


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: content[:-100], "its digest is wrong"),
        (lambda content: content[:-1] + b"\xff", "its digest is wrong"),
        (lambda content: content + b"more", "its digest is wrong"),
        (lambda _: b"", "is no engine that stan-edge wrote"),
        (lambda _: PLAN, "is no engine that stan-edge wrote"),
        (lambda content: content[:60], "is no engine that stan-edge wrote"),
        (lambda content: content.replace(b'"gpu"', b'"cpu"'), "its header cannot be read"),
        (lambda content: content.replace(b"{", b"[", 1), "its header cannot be read"),
    ],
    ids=["cut off", "one bit", "longer", "empty", "a bare plan", "half a header", "a field gone", "no JSON"],
)
def test_a_damaged_engine_is_refused_in_one_sentence(tmp_path: Path, key: EngineKey, damage: object, says: str) -> None:
    path = store(tmp_path, key, PLAN)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EngineFileError, match=says) as refused:
        load(tmp_path, key, AGAIN)
    assert isinstance(refused.value, BackendError)
    assert "\n" not in str(refused.value)
    assert AGAIN in str(refused.value)


def test_a_disk_that_gets_full_leaves_the_earlier_engine_and_nothing_else(
    tmp_path: Path, key: EngineKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "engines"
    path = store(folder, key, PLAN)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store(folder, key, b"another plan")
    assert [found for found in folder.rglob("*") if found.is_file()] == [path]
    assert load(folder, key, AGAIN) == PLAN


def test_engines_are_kept_with_the_other_things_that_can_be_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engines_folder() == tmp_path / "stan-edge" / "engines"

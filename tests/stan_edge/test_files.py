"""Files that are there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from stan_edge.errors import ConfigError
from stan_edge.files import replacing, write_whole


def test_a_file_is_whole_or_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    write_whole(path, b"old", "--json")
    write_whole(path, b"new", "--json")
    assert path.read_bytes() == b"new"
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be written") as refused:
        write_whole(path, b"newer", "--json")
    assert refused.value.field == "--json"
    assert [entry.name for entry in tmp_path.iterdir()] == ["bench.json"]


def test_what_fails_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(OSError, match="gone"), replacing(path) as part:
        part.write_text("half of the n")
        raise OSError("gone")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]

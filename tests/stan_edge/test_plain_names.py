"""Names that are safe in topics and as files."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from stan_edge.files import plain_name


@given(st.lists(st.text(st.characters(min_codepoint=128)), min_size=2, max_size=2, unique=True), st.text())
def test_any_camera_has_a_name_of_its_own(foreign: list[str], anything: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", plain_name(anything))
    assert plain_name(foreign[0]) != plain_name(foreign[1])
    assert plain_name("film.mp4") == "film_mp4"
    assert len(plain_name("x" * 5000)) < 100

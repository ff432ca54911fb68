from __future__ import annotations

import numpy as np

from stan_edge.reports.heat_colors import add_heat
from stan_edge.types import Square

IMAGE = np.full((90, 160, 3), 100, np.uint8)
HOT = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)


def test_heat_lies_where_its_square_of_the_source_frame_does() -> None:
    # the picture is half as large as the frame, and the square's middle is at (200, 100) of that
    seen = add_heat(IMAGE, 0.5, HOT, Square(140, 40, 120), 1.0).astype(int)
    changed = np.abs(seen - IMAGE).sum(axis=-1)
    y, x = np.unravel_index(changed.argmax(), changed.shape)
    assert abs(x - 100) <= 10
    assert abs(y - 50) <= 10
    outside = np.ones_like(changed, bool)
    outside[20:80, 70:130] = False
    assert changed[outside].max() == 0


def test_a_square_that_reaches_out_of_the_picture_is_cut() -> None:
    seen = add_heat(IMAGE, 1.0, HOT, Square(-60, -60, 120), 1.0)
    assert seen.shape == IMAGE.shape
    assert (seen[:20, :20] != IMAGE[:20, :20]).any()


def test_less_strength_is_less_colour_and_none_leaves_the_picture_as_it_is() -> None:
    square = Square(20, 0, 90)
    weak, strong = (np.abs(add_heat(IMAGE, 1.0, HOT, square, s).astype(int) - IMAGE).sum() for s in (0.3, 1.0))
    assert 0 < weak < strong
    assert add_heat(IMAGE, 1.0, HOT, square, 0.0) is IMAGE
    assert add_heat(IMAGE, 1.0, np.zeros_like(HOT), square, 1.0) is IMAGE

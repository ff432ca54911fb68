"""Rendered clips: what their labels, boxes and times promise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from stan_train.synthetic import ACTIVITIES, SyntheticClip, render_clip

SIZE_PX = (160, 120)


@lru_cache(maxsize=64)
def clip(activity: str, seed: int, fps: float = 3.0) -> SyntheticClip:
    return render_clip(activity, seed, fps=fps, size_px=SIZE_PX)


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_shapes_types_times_and_boxes(activity: str) -> None:
    rendered = clip(activity, 3)
    assert rendered.frames.shape == (18, 120, 160, 3)
    assert rendered.frames.dtype == np.uint8
    assert rendered.times_s.dtype == np.float64
    assert np.array_equal(rendered.times_s, np.arange(18) / 3.0)
    assert rendered.important.dtype == np.bool_
    assert rendered.important.shape == (18,)
    assert rendered.boxes_px.dtype == np.float32
    seen = rendered.boxes_px[~np.isnan(rendered.boxes_px).any(axis=1)]
    assert len(seen) > 12
    assert (seen[:, :2] >= 0).all()
    assert (seen[:, 2:] <= np.array(SIZE_PX)).all()
    assert (seen[:, 2:] >= seen[:, :2]).all()
    assert rendered.label == activity
    assert rendered.description.startswith(activity.replace("_", " "))


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_a_seed_is_a_clip(activity: str) -> None:
    first = clip(activity, 3)
    again = render_clip(activity, 3, fps=3.0, size_px=SIZE_PX)
    other = clip(activity, 4)
    assert np.array_equal(first.frames, again.frames)
    assert np.array_equal(first.boxes_px, again.boxes_px, equal_nan=True)
    assert not np.array_equal(first.frames, other.frames)


def test_the_frame_rate_does_not_change_the_event() -> None:
    slow = render_clip("falling", 5, duration_s=2.5, fps=10.0, size_px=SIZE_PX)
    fast = render_clip("falling", 5, duration_s=2.5, fps=30.0, size_px=SIZE_PX)
    for pick in (0, -1):
        a, b = slow.times_s[slow.important][pick], fast.times_s[fast.important][pick]
        assert abs(a - b) <= 0.1 + 1e-9
    assert np.allclose(slow.boxes_px, fast.boxes_px[::3], atol=1e-3, equal_nan=True)


def test_the_size_does_not_change_the_event() -> None:
    small, large = clip("falling", 6), render_clip("falling", 6, fps=3.0, size_px=(320, 240))
    assert np.allclose(2.0 * small.boxes_px, large.boxes_px, atol=3.0, equal_nan=True)
    assert np.array_equal(small.important, large.important)


def test_the_box_drops_in_a_fall() -> None:
    drops = []
    for seed in range(3, 7):
        rendered = clip("falling", seed)
        middle = 0.5 * (rendered.boxes_px[:, 1] + rendered.boxes_px[:, 3])
        tall = rendered.boxes_px[:, 3] - rendered.boxes_px[:, 1]
        at = np.flatnonzero(rendered.important)
        drops.append((middle[at[-1]] - middle[at[0]]) / tall[at[0]])
    assert np.nanmedian(drops) > 0.2


def test_an_empty_room_has_no_boxes() -> None:
    rendered = render_clip("background", 29, fps=1.0, size_px=SIZE_PX)
    assert "empty room" in rendered.description
    assert np.isnan(rendered.boxes_px).all()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"activity": "dancing"}, "activity"),
        ({"seed": -1}, "seed"),
        ({"fps": 0.0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"duration_s": 0.5}, "duration_s"),
        ({"size_px": (100, 100)}, "size_px"),
    ],
)
def test_nonsense_is_refused_by_name(changes: dict[str, object], named: str) -> None:
    arguments: dict[str, object] = {"activity": "falling", "seed": 0, **changes}
    with pytest.raises(ValueError, match=f"^{named} is"):
        render_clip(**arguments)  # type: ignore[arg-type]

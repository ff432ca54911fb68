"""Motion without pixels: hundreds of plans take a second."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import stan_train.synthetic.motion
from stan_train.synthetic import ACTIVITIES
from stan_train.synthetic.motion.activities import PLANS
from stan_train.synthetic.motion.body import random_physique
from stan_train.synthetic.motion.skeleton import solve


@pytest.mark.parametrize("activity", ACTIVITIES)
@pytest.mark.parametrize("duration_s", [3.0, 6.0])
def test_the_activity_lies_inside_the_clip(activity: str, duration_s: float) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        plan = PLANS[activity](rng, random_physique(rng), duration_s)
        if activity == "background":
            assert plan.important_s == ()
            continue
        length_s = sum(end - start for start, end in plan.important_s)
        inside_s = sum(max(0.0, min(end, duration_s) - max(start, 0.0)) for start, end in plan.important_s)
        assert inside_s >= 0.7 * length_s
        assert (0.8 if activity == "falling" else 0.5) <= length_s <= 4.8


def test_a_fall_takes_the_trunk_to_the_floor() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        body = random_physique(rng)
        plan = PLANS["falling"](rng, body, 6.0)
        assert plan.pose_at is not None
        ((start_s, end_s),) = plan.important_s
        before, after = solve(plan.pose_at(start_s), body), solve(plan.pose_at(end_s), body)
        assert before.neck[2] - after.neck[2] > 0.35 * body.stature_m
        assert after.outline[:, 2].max() < 0.45 * body.stature_m
        # and rests there
        later = solve(plan.pose_at(end_s + 1.0), body)
        assert np.abs(later.outline - after.outline).max() < 0.12


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_nobody_sinks_into_the_floor(activity: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        body = random_physique(rng)
        plan = PLANS[activity](rng, body, 6.0)
        if plan.pose_at is None:
            continue
        for t_s in np.arange(0.0, 6.0, 0.25):
            assert solve(plan.pose_at(float(t_s)), body).outline[:, 2].min() > 0.0


def test_motion_knows_nothing_of_pictures() -> None:
    (folder,) = stan_train.synthetic.motion.__path__
    for path in Path(folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                module = str(node.module)
                assert "render" not in module
                assert module.startswith(("stan_train.synthetic.motion", "__future__", "collections", "dataclasses"))
            elif isinstance(node, ast.Import):
                assert {name.name for name in node.names} <= {"numpy", "numpy.typing"}

"""The activities, by name: each plans its motion for a body and a duration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stan_train.synthetic.motion.body import Physique
from stan_train.synthetic.motion.daily import background
from stan_train.synthetic.motion.falls import falling
from stan_train.synthetic.motion.gestures import chest_pain, compensation, headache
from stan_train.synthetic.motion.script import Plan

PLANS: dict[str, Callable[[np.random.Generator, Physique, float], Plan]] = {
    "background": background,
    "falling": falling,
    "headache": headache,
    "chest_pain": chest_pain,
    "compensation": compensation,
}
ACTIVITIES = tuple(PLANS)

"""Synthetic videos of people in five activities, with exact frame labels: training without private recordings."""

from stan_train.synthetic.clip import SyntheticClip, render_clip
from stan_train.synthetic.motion.activities import ACTIVITIES

__all__ = ["ACTIVITIES", "SyntheticClip", "render_clip"]

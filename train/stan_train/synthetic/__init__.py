"""Drawn videos of people doing five activities, with exact frame labels, for training without private recordings."""

from stan_train.synthetic.clip import ACTIVITIES, SyntheticClip, draw_clip

__all__ = ["ACTIVITIES", "SyntheticClip", "draw_clip"]

"""Verbs of evaluation and calibration."""

"""Verbs of benchmarks."""

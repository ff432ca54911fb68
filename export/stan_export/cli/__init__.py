"""Verbs of export."""

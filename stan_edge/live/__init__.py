"""Cameras watched as they run: threads, one engine, and less work where time is short."""

"""From frames to records: no threads, no clock, no input or output."""

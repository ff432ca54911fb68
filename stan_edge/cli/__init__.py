"""The command `stan-edge`: one verb a file."""

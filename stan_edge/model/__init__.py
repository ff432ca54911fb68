"""A model on disk: what it expects and means, and its files."""

"""Where records and pictures go."""

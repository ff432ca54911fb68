"""What bodies do: activities as joints in metres along time, without a pixel."""

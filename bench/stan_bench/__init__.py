"""How long everything takes, from a camera's picture to an alarm, and whether the numbers may be believed."""

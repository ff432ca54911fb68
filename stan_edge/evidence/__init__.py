"""A folder for every alarm: what was seen before and after, and why it was one."""

"""How often the person is looked for: the rate of the person search."""

# Measured on 13 + 20 falls (GMDCSA24, URFD; 640x480, 1280x720, 320x240), share of frames "tracked":
#                              5 Hz    10 Hz   15 Hz   30 Hz
#   GMDCSA24 first 2 s of fall 0.967   0.982   0.980   0.980     longest miss 0.6 s at 5 Hz, 0.2 s at 10 Hz
#   URFD falling               0.993   1.000   1.000   0.998
#   URFD on the ground         0.983   0.991   0.981   0.969
# 10 Hz is the lowest rate that holds the fall; more costs CPU and brings nothing.
DETECTION_HZ = 10.0
REDUCED_DETECTION_HZ = 5.0
"""Where time is short."""

"""Where the person is in a frame, and how people are made unrecognisable."""

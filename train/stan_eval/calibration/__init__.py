"""`stan-edge calibrate`: what a bundle says of labelled clips becomes the numbers in its contract."""

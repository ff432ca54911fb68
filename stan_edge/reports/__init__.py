"""A whole recording explained: in one pass, by several methods, as data, a picture or a page."""

"""Surfaces drawn with numpy and OpenCV."""

SURFACES_VERSION = 8  # of all that is drawn here: runs and tiles of another one are never mixed

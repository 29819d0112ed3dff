"""Polygons of outlines as the pixels whose middles lie in them, by matplotlib."""

import numpy as np
from matplotlib.path import Path


def filled(polygons, shape):
    """Returns where, of (height, width) pixels, one of the polygons is: outer rings less their holes."""
    height, width = shape
    middles = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1).reshape(-1, 2)
    found = np.zeros(len(middles), bool)
    for outer, *holes in polygons:
        within = Path(outer).contains_points(middles)
        for hole in holes:
            within &= ~Path(hole).contains_points(middles)
        found |= within
    return found.reshape(shape)

"""Trained models in use: `classifier` saves one, loads it and asks it about image files."""

"""Surfaces drawn with numpy and OpenCV."""

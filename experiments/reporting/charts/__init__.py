"""The charts of a comparison; `draw` knows which there are."""

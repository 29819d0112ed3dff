"""Recipes: a model with its arguments and how it is trained. Published ones, files, and one for any model."""

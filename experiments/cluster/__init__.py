"""Runs and trials as tasks of a Ray cluster: `driver` sends them, `node` carries them out."""

"""Searching hyper-parameters with keras-tuner: `start` sets a search up, each trial is a process."""

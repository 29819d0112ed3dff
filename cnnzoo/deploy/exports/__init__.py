"""Models for other programs: `write` makes the files, `runtimes` runs them, `compare` says what changed."""

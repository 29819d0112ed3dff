"""Architectures: `families/` has them, `registry` lists them, `catalogue` builds one by its name."""

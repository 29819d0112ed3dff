"""How numbers, names, charts and contact sheets look."""

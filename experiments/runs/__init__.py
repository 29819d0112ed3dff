"""Runs: what one is asked (`spec`), who starts it (`dispatch`), its process (`train`), what it leaves."""

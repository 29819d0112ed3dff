"""Training: `config` says how, `fit` does it, `progress` tells how far, `search` what can be searched."""

"""Where cnnzoo keeps what it can make again: drawn images, downloads, resized copies."""

import os
from pathlib import Path

import platformdirs


def cache_dir(*parts: str) -> Path:
    """Returns the folder `parts` below the cache, which `CNNZOO_CACHE` moves, and creates it."""
    root = os.environ.get("CNNZOO_CACHE") or platformdirs.user_cache_dir("cnnzoo")
    folder = Path(root, *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""`cnnzoo demo`: its command, what it answers about a picture, its words, its page and its server."""

from experiments.demo.command import main

__all__ = ["main"]

"""The command line: ``personaclick``."""

from personaclick_async.cli.process import main

__all__ = ["main"]

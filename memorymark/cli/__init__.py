"""The command line: a thin client of the same functions that the app and Python use."""

from __future__ import annotations

from memorymark.cli.main import main

__all__ = ["main"]

"""A console that shows words as they are: paths and devices have brackets and colons in their names."""

from __future__ import annotations

from rich.console import Console

__all__ = ["plain_console"]


def plain_console() -> Console:
    """Return one to which no word is markup: `[work]` would be left out, and `[/x]` would raise."""
    return Console(markup=False, emoji=False)

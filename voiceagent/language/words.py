"""Word lists, written as one would write them on paper."""

from __future__ import annotations

__all__ = ["word_set"]


def word_set(*lines: str) -> frozenset[str]:
    """Return the words of all lines, which are separated by white space."""
    return frozenset(word for line in lines for word in line.split())

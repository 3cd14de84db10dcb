"""Deadlines: the instants at which something is due; most of them are not set most of the time."""

from __future__ import annotations

__all__ = ["earliest"]


def earliest(*deadlines_ms: int | None) -> int | None:
    """Return the first of these instants; None where none of them is set."""
    first_ms: int | None = None
    for at_ms in deadlines_ms:
        if at_ms is not None and (first_ms is None or at_ms < first_ms):
            first_ms = at_ms
    return first_ms

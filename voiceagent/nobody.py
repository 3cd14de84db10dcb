"""Nobody: who is told when whoever was told is gone."""

from __future__ import annotations

__all__ = ["to_nobody"]


def to_nobody(_: object) -> None:
    """Tell nobody."""

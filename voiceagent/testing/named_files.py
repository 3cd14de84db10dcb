"""Files that a script names: beside it, or not there at all, whatever the name is."""

from __future__ import annotations

from pathlib import Path

__all__ = ["named_file"]


def named_file(name: str, *, beside: Path) -> Path | None:
    """Return the file of this name, relative to the folder of `beside`; None where there is none.

    No file has a name that is too long for the disk or has a NUL in it, and asking for one is an error there.
    """
    try:
        path = beside.parent / name
        return path if path.resolve().is_file() else None
    except (OSError, ValueError):
        return None

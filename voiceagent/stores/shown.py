"""How the name of shared state is shown: an address may have a password in it, and nobody reads it in a log."""

from __future__ import annotations

__all__ = ["shown"]


def shown(name: str) -> str:
    """Return a name without what may be a password in it."""
    return repr(name if "@" not in name else name.partition(":")[0] + "://…")

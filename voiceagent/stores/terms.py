"""How long a worker owns a call without a word of it, and how long a shared journal is kept."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LEASE_MS", "RETENTION_MS", "Terms"]

LEASE_MS = 10_000
"""Three renewals may fail before a call is taken for abandoned."""
RETENTION_MS = 24 * 60 * 60 * 1_000
"""From the last line on. The copy is there so that a call goes on; the record is the file."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Both, in milliseconds."""

    lease_ms: int = LEASE_MS
    retention_ms: int = RETENTION_MS

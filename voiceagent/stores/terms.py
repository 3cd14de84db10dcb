"""How long a worker owns a call without a word of it, and how long a shared journal is kept."""

from __future__ import annotations

from dataclasses import dataclass

from voiceagent.ports import CALL_LEASE_MS

__all__ = ["RETENTION_MS", "Terms"]

RETENTION_MS = 24 * 60 * 60 * 1_000
"""From the last line on. The copy is there so that a call goes on; the record is the file."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Both, in milliseconds."""

    lease_ms: int = CALL_LEASE_MS
    retention_ms: int = RETENTION_MS

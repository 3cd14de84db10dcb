"""How long a worker owns a call without a word of it, and how long a shared journal is kept."""

from __future__ import annotations

from dataclasses import dataclass

from voiceagent.ports import CALL_LEASE_MS

__all__ = ["RETENTION_MS", "Terms"]

RETENTION_MS = 24 * 60 * 60 * 1_000
"""From the last line on, of a call that has not come to its end. The copy is there so that a call goes on; the record
is the file. Of one that has ended its id is kept for as long, so that it begins no second time."""


_LEAST_MS = 10 * 60 * 1_000
"""A call whose connection broke has to be there to be gone on with."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Both, in milliseconds."""

    lease_ms: int = CALL_LEASE_MS
    retention_ms: int = RETENTION_MS

    @classmethod
    def where_journals_are_kept(cls, days: int | None) -> Terms:
        """Return what goes with journals that are kept for so many days; None is for ever. A copy outlives none."""
        if days is None:
            return cls()
        return cls(retention_ms=min(RETENTION_MS, max(_LEAST_MS, days * RETENTION_MS)))

"""Consultations: somebody is called for a caller who waits, and is told who it is before the two are connected.

The carrier's webhooks about it may come to any worker, so what they need to know is shared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from voiceagent.ports import Announcement, SharedState

__all__ = ["NOBODY_THERE", "RING_S", "Consultation", "Consultations"]

RING_S = 25
"""How long somebody's telephone rings. With the announcement after it, a caller is back within the minute in which a
call that was broken off may go on."""
NOBODY_THERE = Announcement(
    "I am sorry, nobody can be reached at the moment. Please call again later. Goodbye.", "en-US"
)
"""What the carrier's own voice says where a caller cannot come back to their agent."""
_KEPT_MS = 120_000


@dataclass(frozen=True, slots=True)
class Consultation:
    """Somebody is called on a caller's behalf."""

    announcement: Announcement
    peer: str | None = None
    """The provider's id of that call, where we have placed it."""
    connected: bool = False


_consultation: TypeAdapter[Consultation] = TypeAdapter(Consultation)


class Consultations:
    """What is under way for which caller, by the provider's id of the caller's call. All raise StateUnavailable."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    async def begin(self, call: str, announcement: Announcement) -> None:
        """Note what whoever answers is to be told."""
        await self._note(call, Consultation(announcement))

    async def placed(self, call: str, peer: str) -> None:
        """Note which call it is."""
        consultation = await self.of(call)
        if consultation is not None:
            await self._note(call, replace(consultation, peer=peer))

    async def connected(self, call: str) -> None:
        """Note that the two are connected."""
        consultation = await self.of(call)
        if consultation is not None:
            await self._note(call, replace(consultation, connected=True))

    async def of(self, call: str) -> Consultation | None:
        """Return what is under way for a caller."""
        return _read(await self._state.noted(_key(call)))

    async def end(self, call: str) -> Consultation | None:
        """Return what was under way, and have it so no more: of several who ask, one is told."""
        return _read(await self._state.take(_key(call)))

    async def _note(self, call: str, consultation: Consultation) -> None:
        await self._state.note(_key(call), _consultation.dump_json(consultation).decode(), ttl_ms=_KEPT_MS)


def _read(noted: str | None) -> Consultation | None:
    if noted is None:
        return None
    try:
        return _consultation.validate_json(noted)
    except ValidationError:  # of another version of this program
        return None


def _key(call: str) -> str:
    return f"consultation:{call}"

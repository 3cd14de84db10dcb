"""Consultations: somebody is called for a caller who waits, and may be told who it is before the two are connected.

The carrier's webhooks about it may come to any worker, so what they need to know is shared.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from voiceagent.errors import StateUnavailable
from voiceagent.json_reader import JsonReader
from voiceagent.ports import Announcement, SharedState

__all__ = ["ACCEPTED_BY", "ACCEPT_WITHIN_S", "NOBODY_THERE", "RING_S", "Consultation", "Consultations"]

RING_S = 25
"""How long somebody's telephone rings. With the announcement and the question after it, a caller is back within the
minute in which a call that was broken off may go on."""
ACCEPTED_BY = "1"
"""The key by which somebody takes a caller where they are asked to: another one refuses, as hanging up does."""
ACCEPT_WITHIN_S = 10
"""After the question; an answering machine presses nothing, and takes nobody."""
NOBODY_THERE = Announcement(
    "I am sorry, nobody can be reached at the moment. Please call again later. Goodbye.", "en-US"
)
"""What the carrier's own voice says where a caller cannot come back to their agent, and nobody knows its words."""
_KEPT_MS = 120_000
_WORDS_KEPT_MS = 300_000
"""Longer than somebody rings and is told something."""


@dataclass(frozen=True, slots=True)
class Consultation:
    """Somebody is called on a caller's behalf."""

    announcement: Announcement | None
    """What whoever answers is told; without one the provider connects the two by itself."""
    peer: str | None = None
    """The provider's id of that call, once anybody has said it."""
    connected: bool = False
    """Whether we have had the two connected."""

    def is_with(self, peer: str) -> bool:
        """Whether it is this call that is meant, as far as is known: an earlier one may have been given up."""
        return self.peer in (None, peer)


_to_json: TypeAdapter[Consultation] = TypeAdapter(Consultation)
_from_json = JsonReader(Consultation)
_words_to_json: TypeAdapter[Announcement] = TypeAdapter(Announcement)
_words_from_json = JsonReader(Announcement)


class Consultations:
    """What is under way for which caller, by the provider's id of the caller's call.

    All but what is said to a caller raise StateUnavailable.
    """

    def __init__(self, state: SharedState) -> None:
        self._state = state

    async def begin(self, call: str, announcement: Announcement | None) -> None:
        """Note what whoever answers is to be told."""
        for key in _by_provider(call):
            await self._state.take(key)
        await self._note(call, Consultation(announcement))

    async def will_say(self, call: str, sorry: Announcement) -> None:
        """Note what is said to a caller who cannot come back. Where that fails they hear words for anybody."""
        with suppress(StateUnavailable):
            await self._state.note(_words_key(call), _words_to_json.dump_json(sorry).decode(), ttl_ms=_WORDS_KEPT_MS)

    async def sorry_for(self, call: str) -> Announcement:
        """Return what is said to a caller who cannot come back to their agent; there always is something."""
        try:
            noted = await self._state.noted(_words_key(call))
            return NOBODY_THERE if noted is None else _words_from_json.read(noted)
        except (StateUnavailable, ValidationError):  # the second: of another version of this program
            return NOBODY_THERE

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

    async def answered(self, call: str) -> None:
        """Note that somebody has picked up for a caller whom the provider connects by itself."""
        await self._state.note(_by_provider(call)[0], "", ttl_ms=_KEPT_MS)

    async def bridged(self, call: str) -> None:
        """Note that the provider has connected them, if only to hear it ring: that may be said before `answered`."""
        await self._state.note(_by_provider(call)[1], "", ttl_ms=_KEPT_MS)

    async def is_taken(self, call: str, consultation: Consultation) -> bool:
        """Whether the caller has somebody to talk to."""
        if consultation.connected:
            return True
        return all([await self._state.noted(key) is not None for key in _by_provider(call)])

    async def of(self, call: str) -> Consultation | None:
        """Return what is under way for a caller."""
        return _read(await self._state.noted(_key(call)))

    async def end(self, call: str) -> Consultation | None:
        """Return what was under way, and have it so no more: of several who ask, one is told."""
        return _read(await self._state.take(_key(call)))

    async def _note(self, call: str, consultation: Consultation) -> None:
        await self._state.note(_key(call), _to_json.dump_json(consultation).decode(), ttl_ms=_KEPT_MS)


def _read(noted: str | None) -> Consultation | None:
    if noted is None:
        return None
    try:
        return _from_json.read(noted)
    except ValidationError:  # of another version of this program
        return None


def _key(call: str) -> str:
    return f"consultation:{call}"


def _words_key(call: str) -> str:
    return f"sorry:{call}"


def _by_provider(call: str) -> tuple[str, str]:
    """Two notes, since two workers may be told of the two at the same time."""
    return f"consultation answered:{call}", f"consultation bridged:{call}"

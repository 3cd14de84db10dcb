"""Transfers: a caller is handed over when the media stream has ended and the carrier asks what comes next.

The media stream itself has no word for it. Our answer to the carrier's webhook therefore goes on after the stream with
a redirect to us (Twilio: `<Redirect>` after `<Connect>`), and what we say there is noted here, before the stream ends.
What the person who takes the caller is told is noted as well: whichever worker is asked for it knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from voiceagent.errors import CallLost, StateUnavailable
from voiceagent.json_reader import JsonReader
from voiceagent.ports import Announcement, Clock, SharedState
from voiceagent.telephony.consultations import Consultations

__all__ = ["ASKED_WITHIN_MS", "Handover", "Transfers"]

_log = logging.getLogger(__name__)

ASKED_WITHIN_MS = 20_000
"""The carrier asks within a second or two of the stream's end, and is answered the same if it asks again."""


@dataclass(frozen=True, slots=True)
class Handover:
    """To whom a caller goes."""

    number: str
    announcement: Announcement | None = None


_to_json: TypeAdapter[Handover] = TypeAdapter(Handover)
_from_json = JsonReader(Handover)


_LEFT_MS = 60_000
"""The stream of a call that is handed over by a command ends within seconds."""
_LEAVING, _MOVED = "leaving", "moved"


@dataclass(slots=True)
class _Expected:
    handover: Handover
    forget: Callable[[], None]
    asked: bool = False


class Transfers:
    """Whom the carrier is to dial for which call; whichever worker it asks knows."""

    def __init__(self, targets: Mapping[str, str], clock: Clock, state: SharedState) -> None:
        """`targets`: what flows call a target → the telephone number that it is."""
        self._targets = targets
        self._clock = clock
        self._state = state
        self._expected: dict[str, _Expected] = {}  # of this worker's calls, by the carrier's id
        self._complaints: set[asyncio.Task[None]] = set()
        self._none_waits = asyncio.Event()
        self._none_waits.set()
        self.consultations = Consultations(state)
        """Those who are called for a caller by commands, and not by a document."""
        self._unannounced: set[str] = set()

    def number_of(self, target: str) -> str:
        """Return the number of a target. Raises CallLost where it has none."""
        number = self._targets.get(target)
        if number is None:
            raise CallLost(f"no number is given for {target}")
        return number

    def cannot_announce(self, dialect: str) -> None:
        """Say, once for each dialect, that its callers are handed over without the words that their flow has for it."""
        if dialect not in self._unannounced:
            self._unannounced.add(dialect)
            _log.warning("%s cannot announce whom it hands over: whoever takes them is told nothing", dialect)

    async def expect(self, call: str, handover: Handover, *, drained_ms: int = 0) -> None:
        """Note who is to be dialled when the carrier asks about this call. Raises CallLost where that cannot be.

        `drained_ms` is how long the caller may still listen before the stream ends.
        """
        within_ms = drained_ms + ASKED_WITHIN_MS
        try:
            if handover.announcement is not None:
                await self.consultations.begin(call, handover.announcement)
            else:  # what came of an earlier one says nothing of whoever is dialled now
                await self.consultations.end(call)
            await self._state.note(_key(call), _to_json.dump_json(handover).decode(), ttl_ms=within_ms)
        except StateUnavailable as exc:
            raise CallLost(f"nobody can be told where the caller is to go: {exc}") from exc
        known = self._expected.pop(call, None)
        if known is not None:
            known.forget()
        forget = self._clock.call_at(self._clock.now_ms() + within_ms, lambda: self._time_is_up(call))
        self._expected[call] = _Expected(handover, forget)
        self._none_waits.clear()

    async def withdraw(self, call: str) -> None:
        """Have nobody dialled for this call: it goes on, or is simply over."""
        known = self._expected.pop(call, None)
        if known is not None:
            known.forget()
            self._look_who_waits()
        with suppress(StateUnavailable):  # it is forgotten by itself, a little later
            await self._state.take(_key(call))
            await self.consultations.end(call)

    async def next_of(self, call: str) -> Handover | None:
        """Return whom to dial for a call whose stream has ended; None where the call is simply over.

        Raises StateUnavailable where nobody knows.
        """
        expected = self._expected.get(call)
        if expected is not None:
            expected.asked = True
            self._look_who_waits()
            return expected.handover
        noted = await self._state.noted(_key(call))
        if noted is None:
            return None
        await self._state.once(_asked_key(call), ttl_ms=2 * ASKED_WITHIN_MS)
        try:
            return _from_json.read(noted)
        except ValidationError:  # of another version of this program
            return None

    async def dialled(self, call: str) -> None:
        """Somebody has been dialled for this call: that is not to be done again. Raises StateUnavailable."""
        known = self._expected.pop(call, None)
        if known is not None:
            known.forget()
            self._look_who_waits()
        await self._state.take(_key(call))

    async def leaves(self, call: str) -> None:
        """Note that a caller is handed over by a command. Raises CallLost where that cannot be noted."""
        try:
            await self._state.note(_left_key(call), _LEAVING, ttl_ms=_LEFT_MS)
        except StateUnavailable as exc:
            raise CallLost(f"nobody could be told that the caller is handed over: {exc}") from exc

    async def moved(self, call: str) -> None:
        """The caller is elsewhere by now."""
        with suppress(StateUnavailable):  # whoever waits to hear it waits a bounded time
            await self._state.note(_left_key(call), _MOVED, ttl_ms=_LEFT_MS)

    async def stays(self, call: str) -> None:
        """The command was refused."""
        with suppress(StateUnavailable):
            await self._state.take(_left_key(call))

    async def has_left(self, call: str) -> bool:
        """Return whether a caller was handed over by a command a moment ago. Raises StateUnavailable."""
        return await self._state.noted(_left_key(call)) is not None

    async def is_leaving(self, call: str) -> bool:
        """Whether a caller is being handed over by a command, and nobody knows yet what comes of it.

        Raises StateUnavailable.
        """
        return await self._state.noted(_left_key(call)) == _LEAVING

    async def all_asked(self) -> None:
        """Return when no carrier is still to ask, as far as this worker knows: at the latest when time is up."""
        await self._none_waits.wait()

    def _time_is_up(self, call: str) -> None:
        if not self._expected.pop(call).asked:
            complaint = asyncio.ensure_future(self._complain(call))
            self._complaints.add(complaint)
            complaint.add_done_callback(self._complaints.discard)
        self._look_who_waits()

    async def _complain(self, call: str) -> None:
        """Say that a caller has not been handed over, unless another worker has been asked."""
        try:
            asked = not await self._state.once(_asked_key(call), ttl_ms=ASKED_WITHIN_MS)
        except StateUnavailable:
            return  # nobody knows
        if not asked:
            _log.error("call %s was not handed over: the carrier has not asked what comes after the stream", call)

    def _look_who_waits(self) -> None:
        if all(expected.asked for expected in self._expected.values()):
            self._none_waits.set()


def _key(call: str) -> str:
    return f"transfer:{call}"


def _left_key(call: str) -> str:
    return f"left by transfer:{call}"


def _asked_key(call: str) -> str:
    return f"transfer asked:{call}"

"""Transfers: a caller is handed over when the media stream has ended and the carrier asks what comes next.

The media stream itself has no word for it. Our answer to the carrier's webhook therefore goes on after the stream with
a redirect to us (Twilio: `<Redirect>` after `<Connect>`), and what we say there is noted here, before the stream ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from voiceagent.errors import CallLost
from voiceagent.ports import Clock

__all__ = ["ASKED_WITHIN_MS", "Transfers"]

_log = logging.getLogger(__name__)

ASKED_WITHIN_MS = 20_000
"""The carrier asks within a second or two of the stream's end, and is answered the same if it asks again."""


@dataclass(slots=True)
class _Expected:
    number: str
    forget: Callable[[], None]
    asked: bool = False


class Transfers:
    """Whom the carrier is to dial for which call, in the memory of this process."""

    def __init__(self, targets: Mapping[str, str], clock: Clock) -> None:
        """`targets`: what flows call a target → the telephone number that it is."""
        self._targets = targets
        self._clock = clock
        self._expected: dict[str, _Expected] = {}  # by the carrier's id of the call
        self._none_waits = asyncio.Event()
        self._none_waits.set()

    def number_of(self, target: str) -> str:
        """Return the number of a target. Raises CallLost where it has none."""
        number = self._targets.get(target)
        if number is None:
            raise CallLost(f"no number is given for {target}")
        return number

    def expect(self, call: str, number: str) -> None:
        """Note what is to be dialled when the carrier asks about this call."""
        known = self._expected.pop(call, None)
        if known is not None:
            known.forget()
        forget = self._clock.call_at(self._clock.now_ms() + ASKED_WITHIN_MS, lambda: self._forget(call))
        self._expected[call] = _Expected(number, forget)
        self._none_waits.clear()

    def next_of(self, call: str) -> str | None:
        """Return the number to dial for a call whose stream has ended; None where the call is simply over."""
        expected = self._expected.get(call)
        if expected is None:
            return None
        expected.asked = True
        self._look_who_waits()
        return expected.number

    async def all_asked(self) -> None:
        """Return when no carrier is still to ask."""
        await self._none_waits.wait()

    def _forget(self, call: str) -> None:
        if not self._expected.pop(call).asked:
            _log.error("call %s was not handed over: the carrier has not asked what comes after the stream", call)
        self._look_who_waits()

    def _look_who_waits(self) -> None:
        if all(expected.asked for expected in self._expected.values()):
            self._none_waits.set()

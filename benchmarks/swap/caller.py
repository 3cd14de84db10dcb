"""Callers who go from phase to phase, and what they hear: when the last of the old was over and the new began.

The ear plays what arrives at once and one after the other, as a carrier does, and sends the marks back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic_ns

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.swap.moments import (
    BACKGROUND,
    BARE,
    BEHIND,
    INTO,
    NEW,
    OLD,
    SPOKEN_INTO,
    Run,
    audio_of,
    runs_in,
    serial_of,
)
from benchmarks.swap.provider import BARE_MS, NEW_MS
from voiceagent.audio import FRAME_MS
from voiceagent.testing.twilio_stream import Clear, Mark, Media, TwilioStream

__all__ = ["Caller", "Round", "call_in_turns"]

_NS = 1_000_000
_SPEAKS_MS = 500
_SPEAKS_INTO_MS = 600
_QUIET_MS = 400
_QUIET_AFTER_INTO_MS = 1_600
"""By then a provider has taken the turn for over, and answered it or not."""
_GIVES_UP_MS = 20_000


@dataclass(slots=True)
class Round:
    """One change of phase, as the caller heard it."""

    request: int
    old_serial: int | None = None
    old_ended_ns: int = 0
    new_serial: int | None = None
    new_began_ns: int | None = None
    silent_ns: int = 0
    """Between the last of the old and the first of the new: time in which nothing was played."""


class _Ear:
    """Plays one thing after the other."""

    def __init__(self) -> None:
        self.free_ns = 0
        self.pieces: list[tuple[int, int, int]] = []
        """What, when it begins and when it is over."""

    def play(self, audio: bytes, now_ns: int) -> list[Run]:
        runs = list(runs_in(audio))
        for run in runs:
            begin_ns = max(self.free_ns, now_ns)
            self.free_ns = begin_ns + run.length * _NS
            self.pieces.append((run.tag, begin_ns, self.free_ns))
        return runs

    def clear(self, now_ns: int) -> None:
        self.pieces = [(tag, begin, min(end, now_ns)) for tag, begin, end in self.pieces if begin < now_ns]
        self.free_ns = min(self.free_ns, now_ns)


class Caller:
    """One call."""

    def __init__(self, name: str, requests: Sequence[int], *, phases_change: bool = True) -> None:
        """`requests` are what it says, one after the other; where no phase changes they are only answered."""
        self.name = name
        self.asks_from_ms = 0
        """When it first spoke: what came before was heard by nobody where the line was still being opened."""
        self.rounds: list[Round] = []
        self.unanswered = 0
        self.late_ms: list[float] = []
        """How late its own frames were."""
        self.spoken: list[tuple[int, int, int]] = []
        """Everything it has said, silence included: what, first and last millisecond."""
        self._requests = list(requests)
        self._phases_change = phases_change
        self._stream = TwilioStream()
        self._ear = _Ear()
        self._at_ms = 0
        self._speaking = (BACKGROUND, 0)
        """What it says, and until when on its own clock."""
        self._round: Round | None = None
        self._round_began_ms = 0
        self._has_spoken_into = False
        self._greeted = False
        self._quiet_since_ms = 0

    async def call(self, url: str) -> None:
        """Go through all changes, then hang up."""
        async with connect(url, compression=None) as connection:
            await connection.send(self._stream.connected())
            await connection.send(self._stream.start({"name": self.name}))
            listening = asyncio.create_task(self._listen(connection))
            with suppress(ConnectionClosed):
                await self._speak(connection)
                await connection.send(self._stream.stop())
            listening.cancel()

    # --- listening ---

    async def _listen(self, connection: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionClosed):
            async for message in connection:
                now_ns = monotonic_ns()
                match self._stream.read(message):
                    case Media(audio):
                        self._heard(self._ear.play(audio, now_ns))
                    case Mark(name):
                        wait_s = max(0, self._ear.free_ns - now_ns) / 1e9
                        loop.call_later(wait_s, self._send_mark, connection, name)
                    case Clear():
                        self._ear.clear(now_ns)
                    case other:
                        raise AssertionError(other)

    def _send_mark(self, connection: ClientConnection, name: str) -> None:
        task = asyncio.ensure_future(connection.send(self._stream.mark(name)))
        task.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)

    def _heard(self, runs: list[Run]) -> None:
        for run in runs:
            part, serial = serial_of(run.tag)
            if part == NEW and run.last == NEW_MS - 1:
                self._greeted = True
            if self._round is None:
                continue
            if part == OLD:
                self._round.old_serial = serial
            elif part == NEW and (self._round.old_serial is not None or not self._phases_change):
                self._round.new_serial = self._round.new_serial or serial

    # --- speaking ---

    async def _speak(self, connection: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._requests or self._round is not None:
            due = began + self._at_ms / 1_000
            await asyncio.sleep(due - loop.time())
            self.late_ms.append((loop.time() - due) * 1_000)
            self._decide()
            tag, until_ms = self._speaking
            if self._at_ms >= until_ms:
                tag = BACKGROUND
            self._note(tag)
            await connection.send(self._stream.media(audio_of(tag, self._at_ms, FRAME_MS), self._at_ms))
            self._at_ms += FRAME_MS

    def _note(self, tag: int) -> None:
        last = self.spoken[-1] if self.spoken else None
        if last is not None and last[0] == tag:
            self.spoken[-1] = (tag, last[1], self._at_ms + FRAME_MS - 1)
        else:
            self.spoken.append((tag, self._at_ms, self._at_ms + FRAME_MS - 1))

    def _decide(self) -> None:
        quiet = self._ear.free_ns <= monotonic_ns() and self._at_ms >= self._speaking[1]
        if not quiet:
            self._quiet_since_ms = self._at_ms
        quiet_ms = self._at_ms - self._quiet_since_ms
        if self._round is None:
            if self._greeted and quiet_ms >= _QUIET_MS:
                self._begin()
            return
        self._speak_into(self._round)
        over = self._at_ms - self._round_began_ms > _GIVES_UP_MS
        needs_ms = _QUIET_AFTER_INTO_MS if self._round.request == SPOKEN_INTO else _QUIET_MS
        if over or (self._round.new_serial is not None and quiet_ms >= needs_ms):
            self._end(self._round)

    def _begin(self) -> None:
        if not self._requests:
            return
        request = self._requests.pop(0)
        self.asks_from_ms = self.asks_from_ms or self._at_ms
        self._round, self._round_began_ms, self._has_spoken_into = Round(request), self._at_ms, False
        self._ear.pieces.clear()
        self._speaking = (request, self._at_ms + _SPEAKS_MS)

    def _speak_into(self, now: Round) -> None:
        """Go on speaking from the moment at which the old voice has said its last."""
        if now.request != SPOKEN_INTO or self._has_spoken_into or now.old_serial is None:
            return
        heard_ms = sum(end - begin for tag, begin, end in self._ear.pieces if serial_of(tag)[0] == OLD) // _NS
        if heard_ms >= BARE_MS and self._ear.free_ns <= monotonic_ns():
            self._has_spoken_into = True
            self._speaking = (INTO, self._at_ms + _SPEAKS_INTO_MS)

    def _end(self, over: Round) -> None:
        self._round = None
        self._quiet_since_ms = self._at_ms
        if not self._phases_change and over.new_serial is not None:
            return
        heard = [(*serial_of(tag), begin, end) for tag, begin, end in self._ear.pieces]
        old = [end for part, serial, _, end in heard if part == OLD and serial == over.old_serial]
        new = [begin for part, serial, begin, _ in heard if part == NEW and serial == over.new_serial]
        if not old or not new:
            self.unanswered += 1
            return
        over.old_ended_ns, over.new_began_ns = max(old), min(new)
        between = [(begin, end) for part, _, begin, end in heard if part not in (OLD, NEW)]
        filled_ns = sum(max(0, min(end, over.new_began_ns) - max(begin, over.old_ended_ns)) for begin, end in between)
        over.silent_ns = max(0, over.new_began_ns - over.old_ended_ns - filled_ns)
        self.rounds.append(over)


def call_in_turns(rounds: int, shift: int) -> list[int]:
    """Return the requests of one call, every second one for a bare change; `shift` has calls begin differently."""
    kinds = (BARE, BEHIND, BARE, SPOKEN_INTO)
    return [kinds[(number + shift) % len(kinds)] for number in range(rounds)]

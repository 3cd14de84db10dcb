"""How a connection to the caller stands: what reading it, playing on it and ending it have in common."""

from __future__ import annotations

import asyncio
from collections import Counter

from voiceagent.errors import CallLost
from voiceagent.ports import Clock
from voiceagent.telephony.codec import Command, Dialect, Started
from voiceagent.telephony.inbound import Allowance, InboundLine
from voiceagent.telephony.leg_socket import LegSocket
from voiceagent.telephony.pacing import Pacer, silence_byte
from voiceagent.telephony.reordering import Reordering

__all__ = ["LegState", "OpenLeg"]

MAX_UNSENT_BYTES = 16_384
"""Bytes that may wait in the socket before audio is held back here, where a clear can still drop it."""
MAX_DIGITS_PER_SECOND = 20


class OpenLeg:
    """What a leg has once the far side has said which audio it speaks."""

    __slots__ = ("digits", "line", "order", "pacer", "plays", "quiet_ms", "started")

    def __init__(self, started: Started, *, pacer: Pacer, now_ms: int) -> None:
        self.started = started
        self.pacer = pacer
        self.plays = False
        """Something is still to be sent or to be heard of, as far as was known in the last beat.

        A beat reads this of every leg, and nothing else of one that is silent: what a pacer is made of lies far apart.
        """
        self.order: Reordering[bytes] | None = None
        """Of audio that comes with its place; None where it comes without."""
        self.line = InboundLine(started.audio_in, now_ms=now_ms)
        self.digits = Allowance(per_second=MAX_DIGITS_PER_SECOND, at_once=3 * MAX_DIGITS_PER_SECOND, now_ms=now_ms)
        self.quiet_ms = silence_byte(started.audio_in) * started.audio_in.bytes_per_ms


class LegState:
    """One connection, its dialect, and what has become of both."""

    __slots__ = (
        "all_heard",
        "broken",
        "clock",
        "counts",
        "dialect",
        "end",
        "ended",
        "hanging_up",
        "open",
        "over",
        "socket",
    )

    def __init__(self, *, socket: LegSocket, dialect: Dialect, clock: Clock) -> None:
        self.socket = socket
        self.dialect = dialect
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self.open: OpenLeg | None = None
        """None before the far side has started."""
        self.end: tuple[int, str] | None = None
        """With what code and words the socket is closed, once that is decided."""
        self.over = False
        """The socket has ended."""
        self.ended = asyncio.Event()
        """The same, for whoever waits for it."""
        self.broken = False
        """It is the connection that is over, and not the caller who has left."""
        self.hanging_up = False
        """The agent says nothing more on this leg."""
        self.all_heard = asyncio.Event()
        """Nothing that was said before hanging up is left to be heard."""

    @property
    def opened(self) -> OpenLeg:
        """Raises CallLost before the far side has started."""
        if self.open is None:
            raise CallLost("the far side has not started")
        return self.open

    @property
    def caller_left(self) -> bool:
        """The socket has ended, and the call with it."""
        return self.over and not self.broken

    def count(self, what: str, times: int = 1) -> None:
        """Note what was refused, ignored or dropped."""
        self.counts[what] += times

    def send(self, command: Command) -> None:
        """Say it to the far side, in its own words."""
        for message in self.dialect.send(command):
            self.socket.write(message)

    def advance(self, leg: OpenLeg, now_ms: int) -> None:
        """Send what is due of what is queued."""
        leg.pacer.advance(now_ms, may_send=self.socket.unsent_bytes < MAX_UNSENT_BYTES)
        leg.plays = leg.pacer.busy
        self.see_whether_all_heard()

    def clear(self) -> None:
        """Be silent: the far side is told at once."""
        if self.open is not None and not self.over:
            self.open.pacer.clear(self.clock.now_ms())
            self.see_whether_all_heard()

    def speak_again(self) -> None:
        """Hanging up has come to nothing: the agent is heard on this leg once more."""
        self.hanging_up = False
        self.all_heard.clear()

    def see_whether_all_heard(self) -> None:
        """Tell whoever waits to hang up, if nothing is left to be heard."""
        if self.hanging_up and self.open is not None and not self.open.pacer.busy:
            self.all_heard.set()

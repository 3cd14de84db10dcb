"""One driver for all carriers: it reads what the caller sends, plays what the agent says, and knows what was heard.

The carrier's socket is read by the coroutine that runs `SocketLeg.run`. Everything that goes out is written where it is
decided, without a queue or a task in between, so that a `clear` never waits behind audio; the pacer holds back what
is not due yet, and so little is under way at any time that writing need not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import assert_never

from voiceagent.core.events import DigitsPressed, Event, LegLost
from voiceagent.core.ids import LegId, UtteranceId
from voiceagent.errors import CallLost
from voiceagent.ports import AudioFormat, Clock, LegEvents, LegFeatures
from voiceagent.telephony.call_control import CallControl
from voiceagent.telephony.codec import (
    Answer,
    BufferFree,
    BufferFull,
    Command,
    Dialect,
    Digit,
    HangUp,
    Ignored,
    Mark,
    Media,
    Refused,
    SendDigits,
    Started,
    Stopped,
)
from voiceagent.telephony.early import EarlyEvents
from voiceagent.telephony.inbound import Allowance, InboundLine
from voiceagent.telephony.leg_socket import LegSocket
from voiceagent.telephony.pacing import MARK_GRACE_MS, Pacer, silence_byte
from voiceagent.telephony.ticker import Ticker
from voiceagent.telephony.transfers import Transfers

__all__ = [
    "MAX_EARLY_MS",
    "MAX_REFUSED",
    "SEND_DEADLINE_MS",
    "SETTLE_MS",
    "START_DEADLINE_MS",
    "SocketLeg",
]

_log = logging.getLogger(__name__)

START_DEADLINE_MS = 10_000
"""A socket that has not named its call by then is closed."""
SEND_DEADLINE_MS = 20_000
"""A far side that has taken nothing for so long is gone, whatever its socket says. Until then speech is dropped as its
time passes: a carrier that reads nothing for ten seconds loses these, and not the call."""
SETTLE_MS = 200
"""Between the last mark and hanging up: what the carrier has played is still on its way to the ear."""
MAX_UNSENT_BYTES = 16_384
"""Bytes that may wait in the socket before audio is held back here, where a clear can still drop it."""
MAX_EARLY_MS = 10_000
"""Caller audio kept for a call that is not attached yet."""
MAX_REFUSED = 100
"""Messages of one connection that may be refused, before the connection is: so many at once, and one more a second."""
MAX_MESSAGES_PER_SECOND = 1_000
"""Twenty times what a call needs, and twice as many at once where a network was held up; what is more is dropped."""
MAX_DIGITS_PER_SECOND = 20

_NORMAL, _GOING_AWAY, _POLICY = 1000, 1001, 1008


class _Open:
    """What a leg has once the far side has said which audio it speaks."""

    __slots__ = ("digits", "line", "pacer", "quiet_ms", "started")

    def __init__(self, started: Started, *, pacer: Pacer, now_ms: int) -> None:
        self.started = started
        self.pacer = pacer
        self.line = InboundLine(started.audio_in, now_ms=now_ms)
        self.digits = Allowance(per_second=MAX_DIGITS_PER_SECOND, at_once=3 * MAX_DIGITS_PER_SECOND, now_ms=now_ms)
        self.quiet_ms = silence_byte(started.audio_in) * started.audio_in.bytes_per_ms


class SocketLeg:
    """A leg over a message socket: fulfils the port `Leg` for every dialect.

    An utterance that a clear has stopped stays stopped: audio of it that comes later is dropped and counted.
    """

    def __init__(
        self,
        leg: LegId,
        *,
        socket: LegSocket,
        dialect: Dialect,
        clock: Clock,
        ticker: Ticker,
        lead_ms: int,
        transfers: Transfers,
        controls: Mapping[str, CallControl] | None = None,
    ) -> None:
        """`controls` are the providers' REST interfaces, by dialect: what the dialect has no message for."""
        self._id = leg
        self._socket = socket
        self._dialect = dialect
        self._clock = clock
        self._ticker = ticker
        self._transfers = transfers
        self._controls = controls or {}
        self._requests: set[asyncio.Task[None]] = set()
        self._lead_ms = min(lead_ms, dialect.buffer_ms // 2)
        self._counts: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._events: LegEvents | None = None
        self._early: EarlyEvents | None = None
        self._open: _Open | None = None
        self._messages = Allowance(
            per_second=MAX_MESSAGES_PER_SECOND, at_once=2 * MAX_MESSAGES_PER_SECOND, now_ms=clock.now_ms()
        )
        self._refusals = Allowance(per_second=1, at_once=MAX_REFUSED, now_ms=clock.now_ms())
        self._end: tuple[int, str] | None = None
        self._goodbye = (_NORMAL, "agent hung up")
        self._over = False
        self._given_up = False
        """It is the connection that is over, and not the caller who has left."""
        self._hanging_up = False
        self._blocked_since_ms: int | None = None
        self._all_heard = asyncio.Event()
        self._reading: asyncio.Timeout | None = None

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def id(self) -> LegId:
        """Unique within the process."""
        return self._id

    @property
    def features(self) -> LegFeatures:
        """The dialect's row."""
        return self._dialect.features

    @property
    def audio_in(self) -> AudioFormat:
        """Format of what the caller sends. Raises CallLost before the far side has started."""
        return self._opened.started.audio_in

    @property
    def audio_out(self) -> AudioFormat:
        """Format that `play` takes. Raises CallLost before the far side has started."""
        return self._opened.started.audio_out

    @property
    def counts(self) -> Mapping[str, int]:
        """What was refused, ignored or dropped, and how often."""
        passed_over = self._open.pacer.passed_over_ms if self._open is not None else 0
        return self._counts + self._ignored + Counter({"ms of speech not taken": passed_over})

    @property
    def _opened(self) -> _Open:
        if self._open is None:
            raise CallLost("the far side has not started")
        return self._open

    def _count(self, what: str) -> None:
        self._counts[what] += 1

    # --- the reader --------------------------------------------------------------------------------------------------

    async def run(self, on_start: Callable[[Started], str | None]) -> tuple[int, str]:
        """Read the socket to its end. `on_start` is told the call once, and may return why it is refused.

        Returns when the leg is over, LegLost has been posted then: with what code and words to close the socket.
        """
        not_started = self._clock.call_at(self._clock.now_ms() + START_DEADLINE_MS, self._start_overdue)
        try:
            async with asyncio.timeout(None) as self._reading:
                async for message in self._socket:
                    self._receive(message, on_start)
                    if self._end is not None:
                        break
        except TimeoutError:  # it was ended from outside
            pass
        finally:
            not_started()
            self._finish()
        return self._end or (_NORMAL, "")

    def end(self, reason: str) -> None:
        """Read no more: the leg is lost for this reason, and its socket is closed with it in good order."""
        if self._end is None:
            self._end = (_POLICY, reason)
        if self._reading is not None and not self._over and not self._reading.expired():
            self._reading.reschedule(0)

    def give_up(self, reason: str) -> None:
        """End a leg whose connection is of no use any more, though the caller has not left."""
        self._given_up = self._given_up or self._end is None
        self.end(reason)

    def leave(self) -> None:
        """The server is about to go: when the agent hangs up from now on, the far side is told so (1001)."""
        self._goodbye = (_GOING_AWAY, "server is going away")

    def _start_overdue(self) -> None:
        if self._open is None:
            self.end("no start")

    def _receive(self, message: str | bytes, on_start: Callable[[Started], str | None]) -> None:
        now_ms = self._clock.now_ms()
        if not self._messages.take(now_ms):
            self._count("message faster than any call")  # not even read: that is what would cost the other calls
            return
        for event in self._dialect.receive(message):
            if isinstance(event, Started):
                self._begin(event, on_start, now_ms)
            elif isinstance(event, Refused):
                self._refuse(event.why, fatal=event.fatal)
            elif isinstance(event, Ignored):
                self._ignored[event.why] += 1
            elif self._open is None:
                self._refuse("before start")
            elif isinstance(event, Media):
                self._hear(self._open, event.audio, now_ms)
            else:
                self._take(self._open, event, now_ms)

    def _take(self, leg: _Open, event: Mark | Digit | BufferFull | BufferFree | Stopped, now_ms: int) -> None:
        match event:
            case Mark(name):
                if not leg.pacer.mark_returned(name, now_ms):
                    self._count("mark of no meaning")
                self._see_whether_all_heard()
            case Digit(digit):
                if leg.digits.take(now_ms):
                    self._post(DigitsPressed(digit))
                else:
                    self._count("digit faster than fingers")
            case BufferFull():
                leg.pacer.held = True
                self._count("pause asked for")
            case BufferFree():
                leg.pacer.held = False
            case Stopped(reason):
                self._end = (_NORMAL, reason)
            case _:
                assert_never(event)

    def _refuse(self, why: str, *, fatal: bool = False) -> None:
        self._counts[why] += 1
        self._counts["refused"] += 1
        if fatal:
            self._end = (_POLICY, why)
        elif not self._refusals.take(self._clock.now_ms()):
            self._end = (_POLICY, "too many refused messages")

    def _begin(self, started: Started, on_start: Callable[[Started], str | None], now_ms: int) -> None:
        if self._open is not None:
            self._refuse("second start")
            return
        pacer = Pacer(
            started.audio_out,
            lead_ms=self._lead_ms,
            marks=self.features.marks,
            send=self._send,
            post=self._post,
            frame_ms=started.frame_ms,
        )
        self._open = _Open(started, pacer=pacer, now_ms=now_ms)
        self._early = EarlyEvents(most_audio_bytes=MAX_EARLY_MS * started.audio_in.bytes_per_ms, dropped=self._count)
        self._events = self._early
        if (refusal := on_start(started)) is not None:
            self._end = (_POLICY, refusal)
        else:
            self._ticker.join(self._tick, failed=self._fail)

    def _finish(self) -> None:
        """The socket has ended, or has to: tell the call, once."""
        self._over = True
        self._ticker.leave(self._tick)
        if self._open is not None:
            self._open.pacer.abandon(self._clock.now_ms())
        if self._end is None and self.features.close_is_hang_up and self._socket.closed_in_order:
            self._end = (_NORMAL, "caller hung up")
        reason = self._end[1] if self._end is not None else self._socket.end
        may_return = not self._hanging_up and (self._end is None or self._given_up)
        counts = self.counts
        if self._counts or counts["ms of speech not taken"]:
            _log.info("leg %s over (%s): %s", self._id, reason, dict(counts))
        self._post(LegLost(self._id, reason, may_return=may_return))
        self._all_heard.set()

    def _fail(self) -> None:
        self._lose("internal error")

    def _lose(self, reason: str) -> None:
        self.give_up(reason)
        self._socket.abort()

    # --- from the caller ---------------------------------------------------------------------------------------------

    def attach(self, events: LegEvents) -> None:
        """Start reporting; audio and digits that came before are handed over first."""
        self._events = events
        if self._early is not None:
            self._early.hand_over(events)

    def _hear(self, leg: _Open, audio: bytes, now_ms: int) -> None:
        if self._events is not None and leg.line.accept(audio, now_ms):
            self._events.audio_arrived(audio)
        else:
            self._count("audio faster than time")

    def _post(self, event: Event) -> None:
        if self._events is not None:
            self._events.post(event)

    # --- time --------------------------------------------------------------------------------------------------------

    def _tick(self, now_ms: int) -> bool:
        """Once per frame, in one beat with all other legs, for as long as this one is open."""
        leg = self._opened
        due_ms = leg.line.silence_due_ms(now_ms)
        if due_ms and self._events is not None:
            self._events.audio_arrived(leg.quiet_ms * due_ms)
        if leg.pacer.busy:
            self._advance(leg, now_ms)
        self._check_that_it_takes(leg, now_ms)
        return not self._over

    def _advance(self, leg: _Open, now_ms: int) -> None:
        leg.pacer.advance(now_ms, may_send=self._socket.unsent_bytes < MAX_UNSENT_BYTES)
        self._see_whether_all_heard()

    def _check_that_it_takes(self, leg: _Open, now_ms: int) -> None:
        if self._socket.unsent_bytes == 0 and not leg.pacer.held:
            self._blocked_since_ms = None
        elif self._blocked_since_ms is None:
            self._blocked_since_ms = now_ms
        elif now_ms - self._blocked_since_ms >= SEND_DEADLINE_MS:
            self._lose("the far side takes nothing")

    # --- to the caller -----------------------------------------------------------------------------------------------

    def answer(self) -> None:
        """Take the call: a far side that lets it ring until then answers it."""
        if self._open is not None and not self._over and self._end is None:
            self._send(Answer())

    def play(self, utterance: UtteranceId, audio: bytes) -> None:
        """Queue audio of the utterance's current clause."""
        leg = self._opened
        if self._over or self._hanging_up or not leg.pacer.play(utterance, audio):
            self._count("speech dropped")
        else:
            self._advance(leg, self._clock.now_ms())

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool) -> None:
        """Mark the end of a clause: PlayoutReached follows once it has been heard."""
        leg = self._opened
        if self._over or self._hanging_up or not leg.pacer.end_clause(utterance, clause, last=last):
            self._count("speech dropped")
        else:
            self._advance(leg, self._clock.now_ms())

    def clear(self) -> None:
        """Be silent: the far side is told at once, PlayoutStopped follows for every unfinished utterance."""
        if self._open is not None and not self._over:
            self._open.pacer.clear(self._clock.now_ms())
            self._see_whether_all_heard()

    def _send(self, command: Command) -> None:
        for message in self._dialect.send(command):
            self._socket.write(message)

    def send_digits(self, digits: str) -> None:
        """Press keys towards the far side; where neither dialect nor provider can, they are only counted."""
        control = self._control(self.features.digits_out)
        if self._open is None or self._over or not (control or self.features.digits_out == "in_band"):
            self._counts["digits not sent"] += len(digits)
        elif control is None:
            self._send(SendDigits(digits))
        else:
            request = asyncio.ensure_future(self._ask(control.send_digits(self._open.started.call, digits)))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)

    def _control(self, way: str) -> CallControl | None:
        """Return the provider's REST interface, where a thing is done by that and there is one."""
        return self._controls.get(self.features.dialect) if way == "rest" else None

    async def _ask(self, request: Awaitable[None]) -> None:
        try:
            await request
        except CallLost as exc:
            self._count("request refused")
            _log.warning("leg %s: %s", self._id, exc)

    # --- the end -----------------------------------------------------------------------------------------------------

    async def hang_up(self, *, drain: bool) -> None:
        """End the leg; with `drain` after everything queued has been heard, or a bounded time.

        It may be asked for again at any time, and is the same whether an earlier request goes on or was given up.
        """
        if drain:
            await self._heard_out()
        else:
            self.clear()  # also cuts short a drain that is under way
            self._hanging_up = True
        await self._end_the_call()
        await self._let_go()

    async def _end_the_call(self) -> None:
        """Say so to a far side for which closing the connection is not enough: in the dialect's words, or by REST."""
        if self._open is None or self._over or self._end is not None:
            return
        if self.features.hang_up == "in_band":
            self._send(HangUp())
        control = self._control(self.features.hang_up)
        if control is not None:
            await self._ask(control.hang_up(self._open.started.call))

    async def transfer(self, target: str) -> None:
        """Hand the caller over to one of the server's targets, after draining.

        The carrier is told by REST, or goes on with its answer document once the socket is closed, and is told there
        whom to dial. Raises CallLost: no such target, the dialect can do neither, or the caller has gone meanwhile.
        """
        control = self._control(self.features.transfer)
        if self.features.transfer != "redirect" and control is None:
            raise CallLost(f"{self.features.dialect} cannot hand a caller over")
        number = self._transfers.number_of(target)
        await self._heard_out()
        if self._over:
            raise CallLost("the caller has gone")
        call = self._opened.started.call
        await (control.transfer(call, number) if control is not None else self._transfers.expect(call, number))
        await self._let_go()

    async def _heard_out(self) -> None:
        """Wait until all that was queued has been heard: its last mark, or the time it takes and a margin."""
        leg, asked_before = self._open, self._hanging_up
        self._hanging_up = True
        now_ms = self._clock.now_ms()
        if leg is None or not (leg.pacer.unheard_ms(now_ms) or leg.pacer.busy):
            return
        give_up_ms = now_ms + leg.pacer.unheard_ms(now_ms) + 2 * MARK_GRACE_MS
        if not asked_before:
            leg.pacer.end_line()
            self._advance(leg, now_ms)
        give_up = self._clock.call_at(give_up_ms, self._all_heard.set)
        try:
            await self._all_heard.wait()
        finally:
            give_up()
        if not self._over:
            await self._clock.sleep(SETTLE_MS)

    async def _let_go(self) -> None:
        if self._over:
            return
        if self._end is None:
            self._end = self._goodbye
        await self._socket.close(*self._end)

    def _see_whether_all_heard(self) -> None:
        if self._hanging_up and self._open is not None and not self._open.pacer.busy:
            self._all_heard.set()

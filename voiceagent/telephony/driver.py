"""One driver for all carriers: it reads what the caller sends, plays what the agent says, and knows what was heard.

The carrier's socket is read by the coroutine that runs `SocketLeg.run`. Everything that goes out is written where it is
decided, without a queue or a task in between, so that a `clear` never waits behind audio; the pacer holds back what
is not due yet, and so little is under way at any time that writing need not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import assert_never

from voiceagent.core.events import CarrierDetected, DigitsPressed, Event, LegLost
from voiceagent.core.ids import LegId, UtteranceId
from voiceagent.ports import Announcement, AudioFormat, Clock, LegEvents, LegFeatures, SharedState
from voiceagent.telephony.call_control import CallControl, Dialled
from voiceagent.telephony.codec import (
    Answer,
    BufferFree,
    BufferFull,
    Dialect,
    Digit,
    Ignored,
    Mark,
    Media,
    Place,
    Refused,
    Started,
    Stopped,
)
from voiceagent.telephony.early import EarlyEvents
from voiceagent.telephony.inbound import Allowance
from voiceagent.telephony.leg_ending import NORMAL, SETTLE_MS, LegEnding
from voiceagent.telephony.leg_socket import MAX_WAITING_BYTES, HandsOver, LegSocket
from voiceagent.telephony.leg_state import LegState, OpenLeg
from voiceagent.telephony.pacing import Pacer
from voiceagent.telephony.reordering import Reordering
from voiceagent.telephony.ticker import Ticker
from voiceagent.telephony.transfers import Transfers

__all__ = [
    "MAX_DROPPED",
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
MAX_EARLY_MS = 10_000
"""Caller audio kept for a call that is not attached yet."""
MAX_REFUSED = 100
"""Messages of one connection that may be refused, before the connection is: so many at once, and one more a second."""
MAX_MESSAGES_PER_SECOND = 1_000
"""Twenty times what a call needs, and twice as many at once where a network was held up; what is more is dropped."""
MAX_DROPPED = 100_000
"""Messages of one connection that may be dropped unread, before the connection is: so many at once, and a hundred more
a second. No network holds so much back."""

_LOOKED_EVERY_MS = 100
"""How often it is seen whether the far side takes what is sent, which takes as long as the rest of a silent beat."""
_POLICY = 1008


def _whoever(_: Started) -> str | None:
    """Refuse nobody."""
    return None


class SocketLeg:
    """A leg over a message socket: fulfils the port `Leg` for every dialect.

    An utterance that a clear has stopped stays stopped: audio of it that comes later is dropped and counted.
    """

    __slots__ = (
        "_blocked_since_ms",
        "_clock",
        "_dialect",
        "_dropped",
        "_early",
        "_ending",
        "_events",
        "_failure",
        "_given_up",
        "_id",
        "_ignored",
        "_lead_ms",
        "_look_at_ms",
        "_messages",
        "_on_start",
        "_reading",
        "_refusals",
        "_socket",
        "_state",
        "_ticker",
    )

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
        dialled_for: Callable[[Started, str, LegFeatures], Dialled | None] = lambda _, __, ___: None,
        shared: SharedState | None = None,
    ) -> None:
        """`controls` are the providers' REST interfaces, by dialect: what the dialect has no message for.

        `dialled_for` returns the call by which we reach a number for a caller; None where we cannot. `shared` is what
        workers have in common, where there are several.
        """
        self._id = leg
        self._socket = socket
        self._dialect = dialect
        self._clock = clock
        self._ticker = ticker
        self._state = LegState(socket=socket, dialect=dialect, clock=clock)
        self._ending = LegEnding(
            leg, self._state, transfers=transfers, controls=controls or {}, dialled_for=dialled_for, shared=shared
        )
        self._lead_ms = min(lead_ms, dialect.buffer_ms // 2)
        self._ignored: Counter[str] = Counter()
        self._events: LegEvents | None = None
        self._early: EarlyEvents | None = None
        self._messages = Allowance(
            per_second=MAX_MESSAGES_PER_SECOND, at_once=2 * MAX_MESSAGES_PER_SECOND, now_ms=clock.now_ms()
        )
        self._dropped = Allowance(per_second=100, at_once=MAX_DROPPED, now_ms=clock.now_ms())
        self._refusals = Allowance(per_second=1, at_once=MAX_REFUSED, now_ms=clock.now_ms())
        self._given_up = False
        """It is the connection that is over, and not the caller who has left."""
        self._look_at_ms = 0
        self._blocked_since_ms: int | None = None
        self._on_start: Callable[[Started], str | None] = _whoever
        self._reading: asyncio.Timeout | None = None
        self._failure: Exception | None = None
        """What reading a message has come to, where no task was woken for it."""

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
        return self._state.opened.started.audio_in

    @property
    def audio_out(self) -> AudioFormat:
        """Format that `play` takes. Raises CallLost before the far side has started."""
        return self._state.opened.started.audio_out

    @property
    def counts(self) -> Mapping[str, int]:
        """What was refused, ignored or dropped, and how often."""
        passed_over = self._state.open.pacer.passed_over_ms if self._state.open is not None else 0
        return self._state.counts + self._ignored + Counter({"ms of speech not taken": passed_over})

    # --- the reader --------------------------------------------------------------------------------------------------

    async def run(self, on_start: Callable[[Started], str | None]) -> tuple[int, str]:
        """Read the socket to its end. `on_start` is told the call once, and may return why it is refused.

        Returns when the leg is over, LegLost has been posted then: with what code and words to close the socket.
        """
        self._on_start = on_start
        not_started = self._clock.call_at(self._clock.now_ms() + START_DEADLINE_MS, self._start_overdue)
        self._ticker.join(self._tick, failed=self._fail)
        try:
            async with asyncio.timeout(None) as self._reading:
                await self._read()
        except TimeoutError:  # it was ended from outside, or by what was handed over
            pass
        finally:
            not_started()
            self._finish()
            self._on_start = _whoever
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # it notes that it was raised here, and with that what is known here
        return self._state.end or (NORMAL, "")

    async def _read(self) -> None:
        self._hand_to(self._take_over)
        try:
            async for message in self._socket:
                self._receive(message)
                if self._state.end is not None:
                    break
        finally:
            self._hand_to(None)

    def _hand_to(self, receive: Callable[[str | bytes], None] | None) -> None:
        if isinstance(self._socket, HandsOver):
            self._socket.hand_to(receive)

    def _take_over(self, message: str | bytes) -> None:
        """Read a message where it came in; what goes wrong is raised where the others are read."""
        if self._state.end is None and self._failure is None:
            try:
                self._receive(message)
            except Exception as exc:  # noqa: BLE001 - it is raised again
                self._failure = exc
        if self._state.end is not None or self._failure is not None:
            self._hand_to(None)  # what still comes is for nobody
            self._stop_reading()

    def end(self, reason: str) -> None:
        """Read no more: the leg is lost for this reason, and its socket is closed with it in good order."""
        if self._state.end is None:
            self._state.end = (_POLICY, reason)
        self._stop_reading()

    def _stop_reading(self) -> None:
        if self._reading is not None and not self._state.over and not self._reading.expired():
            self._reading.reschedule(0)

    def give_up(self, reason: str) -> None:
        """End a leg whose connection is of no use any more, though the caller has not left."""
        self._given_up = self._given_up or self._state.end is None
        self.end(reason)

    async def turn_away(self, call: str) -> None:
        """End a call whose connection we have refused before it began, as `LegEnding.turn_away` does."""
        await self._ending.turn_away(call)

    def leave(self) -> None:
        """The server is about to go: when the agent hangs up from now on, the far side is told so (1001)."""
        self._ending.leave()

    def _start_overdue(self) -> None:
        if self._state.open is None:
            self.end("no start")

    def _receive(self, message: str | bytes) -> None:
        now_ms = self._clock.now_ms()
        if not self._messages.take(now_ms):
            self._state.count("message faster than any call")  # not even read: that is what would cost the other calls
            if not self._dropped.take(now_ms):
                self._state.end = (_POLICY, "too many messages")
            return
        for event in self._dialect.receive(message):
            leg = self._state.open
            if isinstance(event, Media) and leg is not None:
                if event.place is None:
                    self._hear(leg, event.audio, now_ms)
                else:
                    self._hear_in_order(leg, event.place, event.audio, now_ms)
            elif isinstance(event, Started):
                self._begin(event, now_ms)
            elif isinstance(event, Refused):
                self._refuse(event.why, fatal=event.fatal)
            elif isinstance(event, Ignored):
                self._ignored[event.why] += 1
            elif isinstance(event, Media) or leg is None:
                self._refuse("before start")
            else:
                self._take(leg, event, now_ms)

    def _take(self, leg: OpenLeg, event: Mark | Digit | BufferFull | BufferFree | Stopped, now_ms: int) -> None:
        match event:
            case Mark(name):
                if not leg.pacer.mark_returned(name, now_ms):
                    self._state.count("mark of no meaning")
                self._state.see_whether_all_heard()
            case Digit(digit):
                if leg.digits.take(now_ms):
                    self._post(DigitsPressed(digit))
                else:
                    self._state.count("digit faster than fingers")
            case BufferFull():
                leg.pacer.held = True
                self._state.count("pause asked for")
            case BufferFree():
                leg.pacer.held = False
            case Stopped(reason):
                self._state.end = (NORMAL, reason)
            case _:
                assert_never(event)

    def _refuse(self, why: str, *, fatal: bool = False) -> None:
        self._state.counts[why] += 1
        self._state.counts["refused"] += 1
        if fatal:
            self._state.end = (_POLICY, why)
        elif not self._refusals.take(self._clock.now_ms()):
            self._state.end = (_POLICY, "too many refused messages")

    def _begin(self, started: Started, now_ms: int) -> None:
        if self._state.open is not None:
            self._refuse("second start")
            return
        pacer = Pacer(
            started.audio_out,
            lead_ms=self._lead_ms,
            marks=self.features.marks,
            send=self._state.send,
            post=self._post,
            frame_ms=started.frame_ms,
        )
        self._state.open = OpenLeg(started, pacer=pacer, now_ms=now_ms)
        self._early = EarlyEvents(
            most_audio_bytes=MAX_EARLY_MS * started.audio_in.bytes_per_ms, dropped=self._state.count
        )
        self._events = self._early
        if (refusal := self._on_start(started)) is not None:
            self._state.end = (_POLICY, refusal)

    def _finish(self) -> None:
        """The socket has ended, or has to: tell the call, once."""
        self._state.over = True
        self._ticker.leave(self._tick)
        if (leg := self._state.open) is not None:
            for audio in leg.order.rest() if leg.order is not None else ():
                self._hear(leg, audio, self._clock.now_ms())
            leg.pacer.abandon(self._clock.now_ms())
        if self._state.end is None and self.features.close_is_hang_up and self._socket.closed_in_order:
            self._state.end = (NORMAL, "caller hung up")
        reason = self._state.end[1] if self._state.end is not None else self._socket.end
        self._state.broken = self._state.end is None or self._given_up
        may_return = self._state.broken and not self._state.hanging_up
        counts = self.counts
        if self._state.counts or counts["ms of speech not taken"]:
            _log.info("leg %s over (%s): %s", self._id, reason, dict(counts))
        self._post(LegLost(self._id, reason, may_return=may_return))
        self._state.all_heard.set()
        self._state.ended.set()
        if self._events is not self._early:
            self._events = self._early = None  # nothing more is told: the call that has this leg is not kept by it

    def _fail(self) -> None:
        self._lose("internal error")

    def _lose(self, reason: str) -> None:
        self.give_up(reason)
        self._socket.abort()

    # --- from the caller ---------------------------------------------------------------------------------------------

    def attach(self, events: LegEvents) -> None:
        """Start reporting; audio and digits that came before are handed over first."""
        early, self._early = self._early, None
        self._events = None if self._state.over else events
        if early is not None:
            early.hand_over(events)

    def _hear_in_order(self, leg: OpenLeg, place: Place, audio: bytes, now_ms: int) -> None:
        if leg.order is None:
            leg.order = Reordering()
        due = leg.order.take(place, audio, now_ms)
        if due is None:
            self._ignored["audio twice or too late"] += 1
        for each in due or ():
            self._hear(leg, each, now_ms)

    def _hear(self, leg: OpenLeg, audio: bytes, now_ms: int) -> None:
        if self._events is not None and leg.line.accept(audio, now_ms):
            self._events.audio_arrived(audio)
        else:
            self._state.count("audio faster than time")

    def _post(self, event: Event) -> None:
        if self._events is not None:
            self._events.post(event)

    # --- time --------------------------------------------------------------------------------------------------------

    def _tick(self, now_ms: int) -> bool:
        """Once per frame, in one beat with all other legs, for as long as this one is connected."""
        # Whoever does not take it now is looked at in every beat: what they take in bursts they do take.
        if now_ms >= self._look_at_ms or self._blocked_since_ms is not None:
            self._look_at_ms = now_ms + _LOOKED_EVERY_MS
            self._see_whether_it_takes(now_ms)
        if self._state.open is not None and not (self._state.over or self._given_up):
            self._beat(self._state.open, now_ms)
        return not self._state.over

    def _beat(self, leg: OpenLeg, now_ms: int) -> None:
        if leg.order is not None:
            for audio in leg.order.overdue(now_ms):
                self._hear(leg, audio, now_ms)
        if now_ms >= leg.line.gap_at_ms:
            self._fill(leg, now_ms)
        if leg.plays:
            self._state.advance(leg, now_ms)

    def _fill(self, leg: OpenLeg, now_ms: int) -> None:
        if leg.order is not None and leg.order.waits:
            return  # there is no silence to be put in the place of what should have come before
        due_ms = leg.line.silence_due_ms(now_ms)
        if due_ms and self._events is not None:
            self._events.audio_arrived(leg.quiet_ms * due_ms)

    def _see_whether_it_takes(self, now_ms: int) -> None:
        unsent_bytes, leg = self._socket.unsent_bytes, self._state.open
        if unsent_bytes > MAX_WAITING_BYTES:
            self._lose("the far side reads nothing")
        elif leg is None:
            pass
        elif not unsent_bytes and not leg.pacer.held:
            self._blocked_since_ms = None
        elif self._blocked_since_ms is None:
            self._blocked_since_ms = now_ms
        elif now_ms - self._blocked_since_ms >= SEND_DEADLINE_MS:
            self._lose("the far side takes nothing")

    # --- to the caller -----------------------------------------------------------------------------------------------

    def detected(self, answered_by: str) -> None:
        """The carrier says who has answered, in its own word."""
        self._post(CarrierDetected(answered_by))

    def answer(self) -> None:
        """Take the call: a far side that lets it ring until then answers it."""
        if self._state.open is not None and not self._state.over and self._state.end is None:
            self._state.send(Answer())

    def play(self, utterance: UtteranceId, audio: bytes) -> None:
        """Queue audio of the utterance's current clause."""
        leg = self._state.opened
        if self._state.over or self._state.hanging_up or not leg.pacer.play(utterance, audio):
            self._state.count("speech dropped")
        else:
            self._state.advance(leg, self._clock.now_ms())

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool) -> None:
        """Mark the end of a clause: PlayoutReached follows once it has been heard."""
        leg = self._state.opened
        if self._state.over or self._state.hanging_up or not leg.pacer.end_clause(utterance, clause, last=last):
            self._state.count("speech dropped")
        else:
            self._state.advance(leg, self._clock.now_ms())

    def clear(self) -> None:
        """Be silent: the far side is told at once, PlayoutStopped follows for every unfinished utterance."""
        self._state.clear()

    # --- the end -----------------------------------------------------------------------------------------------------

    def send_digits(self, digits: str) -> None:
        """Press keys towards the far side; where neither dialect nor provider can, they are only counted."""
        self._ending.send_digits(digits)

    def record(self, *, on: bool) -> None:
        """Have the provider record the call from now on, or not."""
        self._ending.record(on=on)

    async def hang_up(self, *, drain: bool) -> None:
        """End the leg; with `drain` after everything queued has been heard, or a bounded time."""
        await self._ending.hang_up(drain=drain)

    async def transfer(
        self, target: str, announcement: Announcement | None = None, *, sorry: Announcement | None = None
    ) -> bool:
        """Hand the caller over, as `LegEnding.transfer` does."""
        return await self._ending.transfer(target, announcement, sorry)

    async def settled(self) -> None:
        """Return when nothing of the leg is left to be asked of its provider, or after a bounded time."""
        await self._ending.settled()

"""A telephone company in a box: it calls an agent over a media WebSocket, as Twilio would, and listens to both ends.

Caller audio flows from start to stop, silence included (Twilio's documentation, `voice/media-streams`); an agent that
does not read its socket loses some of it (warning 31930) while the call goes on.
"""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from voiceagent.audio import FRAME_MS
from voiceagent.ports import Clock
from voiceagent.runtime.clock import SystemClock
from voiceagent.testing.lateness import Lateness
from voiceagent.testing.mouth import Mouth
from voiceagent.testing.playout import PlayoutBuffer
from voiceagent.testing.timeline import (
    AgentAudioDiscarded,
    CallerAudioDiscarded,
    ClearReceived,
    Closed,
    DigitSent,
    MarkEchoed,
    MarkReceived,
    MessageIgnored,
    SpeechMeter,
    TimelineEvent,
)
from voiceagent.testing.twilio_stream import (
    Clear,
    Mark,
    Media,
    NotUnderstood,
    TwilioStream,
    check_url,
    twilio_signature,
)
from voiceagent.testing.utterance import VOICED_ENERGY, Utterance

__all__ = ["Caller", "CallerAct", "CarriedCall", "Hearing", "PressKey", "PutDown", "Say", "TwilioCarrier"]

_UNREAD_MESSAGES = 500  # ten seconds of caller audio that the agent has not read
_LISTED_IGNORED = 100
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # ten minutes of µ-law in base64 fit in
_OPEN_TIMEOUT_S = 10
_GOODBYE_MS = 5_000


# --- what a caller can do --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """Speak, after what is being said; the silence at the end of an earlier utterance gives way."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class PressKey:
    """Press one key of the telephone."""

    digit: str


@dataclass(frozen=True, slots=True)
class PutDown:
    """Hang up."""

    reason: str


CallerAct = Say | PressKey | PutDown


class Caller(Protocol):
    """Who holds the telephone. Time is an argument: milliseconds of audio since the call began."""

    def notice(self, event: TimelineEvent) -> None:
        """Learn what has just happened on the line."""
        ...

    def decide(self, at_ms: int) -> Sequence[CallerAct]:
        """Say what to do from this moment on; asked before every frame."""
        ...


# --- the carrier -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hearing:
    """When the agent counts as speaking, judged by what is played to the caller."""

    energy: int = VOICED_ENERGY
    """Mean absolute sample value of a loud frame, 0..32124."""
    quiet_ms: int = 400
    """Silence that ends a stretch of speech."""


@dataclass(frozen=True, slots=True)
class CarriedCall:
    """A call as its carrier saw it."""

    timeline: tuple[TimelineEvent, ...]
    """In the order of `at_ms`; the last one is `closed`."""
    closed: Closed
    connected: bool
    """Whether the agent took the call; if not, `closed` says why."""
    lateness: Lateness
    ignored_messages: int
    discarded_frames: int
    """Frames of the caller that the agent did not read in time."""


class TwilioCarrier:
    """One call of one caller to one media URL; `carry` makes it.

    The ticker never waits for the socket. A late tick is made up for at once, so that the audio does not drift from
    the clock. What happens between two frames is dated to the later one: nothing of it can be heard before.
    """

    def __init__(
        self,
        url: str,
        *,
        caller: Caller,
        call: str | None = None,
        auth_token: str | None = None,
        parameters: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        hearing: Hearing | None = None,
        on_event: Callable[[TimelineEvent], None] | None = None,
        keep_audio: bool = True,
    ) -> None:
        """Prepare a call. Raises OperatorError for a URL that Twilio could not call.

        `call` is the id that a webhook was told. `parameters` arrive as `customParameters`. `on_event` is told
        everything as it becomes known. `keep_audio` False saves 16 kB per second of call where nobody wants `heard`.
        """
        check_url(url)
        hearing = hearing or Hearing()
        self._url = url
        self._caller = caller
        self._headers = {"X-Twilio-Signature": twilio_signature(url, auth_token)} if auth_token else {}
        self._parameters = parameters or {}
        self._clock = clock or SystemClock()
        self._on_event = on_event
        self._keep_audio = keep_audio
        self._stream = TwilioStream(call)
        self._playout = PlayoutBuffer()
        self._meter = SpeechMeter(energy=hearing.energy, quiet_ms=hearing.quiet_ms)
        self._mouth = Mouth()
        self._outgoing: asyncio.Queue[str | None] = asyncio.Queue()
        self._timeline: list[TimelineEvent] = []
        self._caller_heard = bytearray()
        self._agent_heard = bytearray()
        self._late_frames: Counter[int] = Counter()
        self._ignored_messages = 0
        self._discarded_frames = 0
        self._agent_audio_discarded = False
        self._now_ms = 0
        self._put_down: str | None = None
        self._connected = False
        self._closed: Closed | None = None

    @property
    def heard(self) -> tuple[bytes, bytes]:
        """What the caller and the agent were heard to say so far: µ-law at 8 kHz, equally long, silence included."""
        return bytes(self._caller_heard), bytes(self._agent_heard)

    async def carry(self) -> CarriedCall:
        """Make the call and return when it is over. Trouble with the network is a result, not an error."""
        try:
            connection = await connect(
                self._url,
                additional_headers=self._headers,
                compression=None,
                proxy=None,  # a carrier reaches the agent directly
                max_size=_MAX_MESSAGE_BYTES,
                open_timeout=_OPEN_TIMEOUT_S,
                close_timeout=_GOODBYE_MS / 1000,
            )
        except (OSError, InvalidHandshake) as exc:
            closed = Closed(0, "line", None, _why_not_connected(exc, self._url))
        else:
            self._connected = True
            closed = await self._carry_over(connection)
        self._agent_fell_silent()
        self._note(closed)
        return CarriedCall(
            timeline=tuple(sorted(self._timeline, key=lambda event: event.at_ms)),
            closed=closed,
            connected=self._connected,
            lateness=Lateness.of(self._late_frames),
            ignored_messages=self._ignored_messages,
            discarded_frames=self._discarded_frames,
        )

    async def _carry_over(self, connection: ClientConnection) -> Closed:
        self._send(self._stream.connected())
        self._send(self._stream.start(self._parameters))
        async with connection, asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(connection))
            writing = tasks.create_task(self._write(connection))
            await self._tick_until_over()
            self._outgoing.put_nowait(None)
            giving_up = tasks.create_task(self._give_up(connection))
            await writing
            giving_up.cancel()
        return reading.result()

    def _note(self, event: TimelineEvent) -> None:
        self._timeline.append(event)
        self._caller.notice(event)
        if self._on_event:
            self._on_event(event)

    def _send(self, message: str) -> None:
        self._outgoing.put_nowait(message)

    # --- the ticker --------------------------------------------------------------------------------------------------

    async def _tick_until_over(self) -> None:
        started_ms = self._clock.now_ms()
        while self._closed is None and self._put_down is None:
            early_ms = started_ms + self._now_ms - self._clock.now_ms()
            if early_ms > 0:
                await self._clock.sleep(early_ms)
                continue
            self._late_frames[-early_ms] += 1
            self._tick(self._now_ms)
            await asyncio.sleep(0)  # the socket has its turn between the frames of a catch-up, too

    def _tick(self, at_ms: int) -> None:
        agent_frame, due = self._playout.play_frame()
        for name in due:
            self._echo(name)
        for act in self._caller.decide(at_ms):
            self._perform(act)
        if self._put_down is not None:
            self._send(self._stream.stop())
            return
        caller_frame, events = self._mouth.next_frame(at_ms)
        self._send_frame(caller_frame)
        for event in events:
            self._note(event)
        if heard := self._meter.hear(agent_frame, at_ms):
            self._note(heard)
        if self._keep_audio:
            self._caller_heard += caller_frame
            self._agent_heard += agent_frame
        self._now_ms = at_ms + FRAME_MS

    def _perform(self, act: CallerAct) -> None:
        match act:
            case Say(utterance):
                self._mouth.say(utterance)
            case PressKey(digit):
                self._send(self._stream.digit(digit))
                self._note(DigitSent(self._now_ms, digit))
            case PutDown(reason):
                self._put_down = reason
            case _:
                assert_never(act)

    def _send_frame(self, frame: bytes) -> None:
        message = self._stream.media(frame, self._now_ms)
        if self._outgoing.qsize() < _UNREAD_MESSAGES:
            self._send(message)
            return
        if not self._discarded_frames:
            self._note(CallerAudioDiscarded(self._now_ms))
        self._discarded_frames += 1

    # --- the socket --------------------------------------------------------------------------------------------------

    async def _write(self, connection: ClientConnection) -> None:
        try:
            while (message := await self._outgoing.get()) is not None:
                await connection.send(message)
        except ConnectionClosed:
            return  # the reader says why
        await connection.close()

    async def _give_up(self, connection: ClientConnection) -> None:
        await self._clock.sleep(_GOODBYE_MS)
        connection.transport.abort()  # an agent that reads nothing cannot be said goodbye to

    async def _read(self, connection: ClientConnection) -> Closed:
        try:
            while True:
                self._take(await connection.recv())
        except ConnectionClosed as exc:
            self._closed = self._why_closed(exc)
            return self._closed

    def _why_closed(self, exc: ConnectionClosed) -> Closed:
        if exc.rcvd is not None and exc.rcvd_then_sent is not False:
            return Closed(self._now_ms, "agent", int(exc.rcvd.code), exc.rcvd.reason)
        if self._put_down is not None:
            return Closed(self._now_ms, "caller", int(exc.sent.code) if exc.sent else None, self._put_down)
        if exc.sent is not None:
            return Closed(self._now_ms, "carrier", int(exc.sent.code), exc.sent.reason)
        return Closed(self._now_ms, "line", None, "the connection broke without a close frame")

    def _take(self, message: str | bytes) -> None:
        wanted = self._stream.read(message)
        match wanted:
            case Media(audio):
                if not self._playout.append(audio) and not self._agent_audio_discarded:
                    self._agent_audio_discarded = True
                    self._note(AgentAudioDiscarded(self._now_ms))
            case Mark(name):
                self._note(MarkReceived(self._now_ms, name))
                if self._playout.set_mark(name):
                    self._echo(name)
            case Clear():
                self._clear()
            case NotUnderstood(reason):
                self._ignored_messages += 1
                if self._ignored_messages <= _LISTED_IGNORED:
                    self._note(MessageIgnored(self._now_ms, reason))
            case _:
                assert_never(wanted)

    def _clear(self) -> None:
        self._note(ClearReceived(self._now_ms, self._playout.waiting_ms))
        for name in self._playout.clear():
            self._echo(name, cleared=True)
        self._agent_fell_silent()  # what comes next is another sentence, however soon it comes

    def _agent_fell_silent(self) -> None:
        if stopped := self._meter.stop():
            self._note(stopped)

    def _echo(self, name: str, *, cleared: bool = False) -> None:
        self._send(self._stream.mark(name))
        self._note(MarkEchoed(self._now_ms, name, cleared))


def _why_not_connected(exc: OSError | InvalidHandshake, url: str) -> str:
    if isinstance(exc, InvalidStatus):
        return f"the agent refused the call with HTTP {exc.response.status_code}"
    if f"[Errno {errno.ECONNREFUSED}]" in str(exc):  # of a name with several addresses the words are all there is
        return f"nobody listens at {urlsplit(url).netloc}"
    return f"no connection: {str(exc) or type(exc).__name__}"

"""A call between tapes: the caller's voice and the model's are sound whose every moment differs from every other.

So of what comes out on either side it can be said whether all of it is there, in order, once, and at the right speed,
whatever it was converted to on its way. Session, voice, ears, leg and pacing are those of a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from tests.runtime.desk_agent import desk
from voiceagent.audio import FRAME_MS, alaw_to_pcm16, mulaw_to_pcm16, pcm16_to_alaw, pcm16_to_mulaw
from voiceagent.core import events as ev
from voiceagent.core.effects import Message, Outgoing
from voiceagent.core.ids import CallId, LegId
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import (
    AudioFormat,
    CallerTranscribed,
    Engines,
    IncomingCall,
    LegFeatures,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    SessionSetup,
    SetupInForce,
    SpeechCapabilities,
    SpeechModelEvent,
)
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.session import Services, Session
from voiceagent.speech import EnergyVad, NullRecognizer, NullSynthesizer
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.codec import (
    Answer,
    ClearAudio,
    Command,
    HangUp,
    Mark,
    Media,
    PlayAudio,
    SendDigits,
    SetMark,
    Started,
    WireEvent,
)
from voiceagent.telephony.driver import SocketLeg
from voiceagent.telephony.ticker import Ticker
from voiceagent.telephony.transfers import Transfers
from voiceagent.testing.simulated_journals import SimulatedJournals
from voiceagent.testing.simulated_tools import SimulatedTools
from voiceagent.testing.stalls import Stalls
from voiceagent.testing.virtual_loop import VirtualClock, VirtualLoop, run_virtual
from voiceagent.tools.executor import ToolExecutor

Sound = np.ndarray[Any, np.dtype[np.float64]]
_BLOCK_MS = 50
_EVERY = 8
"""Of so many blocks one is looked for a second time: it takes long, and what is doubled is doubled for longer."""
_HIGHEST_HZ = 900
"""A telephone carries it whole, and half a sample earlier or later makes little of a difference."""

# --- sound -----------------------------------------------------------------------------------------------------------


@cache
def sound(number: int, ms: int, rate_hz: int) -> Sound:
    """Return the sound of this number, at any rate the same: of two moments of it no two are alike."""
    lot = np.random.default_rng(number)
    at_s = np.arange(ms * rate_hz // 1_000) / rate_hz
    tones = zip(lot.uniform(150, _HIGHEST_HZ, 60), lot.uniform(0, 2 * np.pi, 60), strict=True)
    return sum((np.sin(2 * np.pi * hz * at_s + phase) for hz, phase in tones), np.zeros(len(at_s))) * 1_000


def encoded(sound: Sound, audio: AudioFormat) -> bytes:
    """Return sound as bytes of this format."""
    pcm = np.clip(sound, -32_768, 32_767).astype("<i2").tobytes()
    return {"mulaw": pcm16_to_mulaw, "alaw": pcm16_to_alaw}.get(audio.encoding, bytes)(pcm)


def decoded(audio_bytes: bytes, audio: AudioFormat) -> Sound:
    """Return the sound in bytes of this format."""
    pcm = {"mulaw": mulaw_to_pcm16, "alaw": alaw_to_pcm16}.get(audio.encoding, bytes)(audio_bytes)
    return np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float64)


def missing(number: int, ms: int, heard: bytes, audio: AudioFormat) -> list[str]:
    """Return what is wrong with the sound of this number in what was heard: nothing where it is there, whole, once."""
    wanted, there = sound(number, ms, audio.rate_hz), decoded(heard, audio)
    if len(there) < len(wanted):
        return [f"{len(there)} samples of {len(wanted)}"]
    size = 1 << (len(there) + len(wanted)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(there, size) * np.conj(np.fft.rfft(wanted, size)), size)
    begin = int(np.argmax(likeness[: len(there) - len(wanted) + 1]))
    found: list[str] = []
    block = _BLOCK_MS * audio.rate_hz // 1_000
    for at in range(0, len(wanted) - block + 1, block):
        one, other = wanted[at : at + block], there[begin + at : begin + at + block]
        alike = float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-9))
        if alike < 0.95:
            found.append(f"{at * 1_000 // audio.rate_hz} ms: {alike:.2f}")
    rest = there.copy()
    rest[begin : begin + len(wanted)] = 0
    found += [f"{at * 1_000 // audio.rate_hz} ms: once more" for at in again(wanted, rest, block)]
    return found


def again(wanted: Sound, rest: Sound, block: int) -> list[int]:
    """Return where the blocks of one sound begin that are in the other one too."""
    if len(rest) <= block:
        return []
    size = 1 << len(rest).bit_length()
    spectrum = np.fft.rfft(rest, size)
    energy = np.concatenate([[0], np.cumsum(rest**2)])
    loud = np.sqrt(energy[block:] - energy[:-block]) + _BLOCK_MS
    found: list[int] = []
    for at in range(0, len(wanted) - block + 1, _EVERY * block):
        part = wanted[at : at + block]
        likeness = np.fft.irfft(spectrum * np.conj(np.fft.rfft(part, size)), size)[: len(loud)]
        if float((likeness / loud).max()) > 0.95 * float(np.linalg.norm(part)):
            found.append(at)
    return found


# --- the caller's line -----------------------------------------------------------------------------------------------


class TapeDialect:
    """Bytes are audio, text is everything else."""

    buffer_ms = 600_000

    def __init__(self, audio: AudioFormat, *, marks: bool) -> None:
        self._audio = audio
        self.features = LegFeatures(
            dialect="tape",
            clear=True,
            marks=marks,
            marks_return_on_clear=False,
            digits_out="no",
            transfer="no",
            hang_up="close",
            digits_in="no",
            position="marks" if marks else "clock",
            stop_reason=False,
        )

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        if isinstance(message, bytes):
            return (Media(message),)
        if message == "start":
            return (Started("tape", "call", None, None, {}, audio_in=self._audio, audio_out=self._audio),)
        return (Mark(message),)

    def send(self, command: Command) -> Sequence[str | bytes]:
        match command:
            case PlayAudio(audio):
                return (audio,)
            case SetMark(name):
                return (name,)
            case ClearAudio():
                return ("clear",)
            case Answer() | HangUp() | SendDigits():
                return ()


class TapeLine:
    """Sends what is recorded frame by frame, and plays what comes; fulfils `LegSocket`."""

    unsent_bytes = 0
    closed_in_order = False
    end = "caller hung up"

    def __init__(self, audio: AudioFormat, tape: bytes, *, clock: VirtualClock) -> None:
        self.audio = audio
        self.heard = bytearray()
        """All that was played, without the pauses."""
        self._tape = tape
        self._clock = clock
        self._messages: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._frames = 0
        self._free_ms = 0
        self._playing: list[tuple[int, bytes]] = []
        self._messages.put_nowait("start")
        self._next()

    def _next(self) -> None:
        self._clock.call_at(self._clock.now_ms() + FRAME_MS, self._frame)

    def _frame(self) -> None:
        # A network cuts anywhere: every other message ends in the middle of a sample.
        size = self.audio.bytes_per_ms * FRAME_MS
        first, last = (size * number - number % 2 for number in (self._frames, self._frames + 1))
        self._frames += 1
        if last < len(self._tape):
            self._messages.put_nowait(self._tape[first:last])
            self._next()
        else:
            self._messages.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (message := await self._messages.get()) is not None:
            yield message

    def write(self, message: str | bytes) -> None:
        self._free_ms = max(self._free_ms, self._clock.now_ms())
        if isinstance(message, bytes):
            self._playing.append((self._free_ms, message))
            self._free_ms += len(message) // self.audio.bytes_per_ms
        elif message == "clear":
            self._settle()
            self._free_ms = self._clock.now_ms()
        else:
            self._clock.call_at(self._free_ms, lambda: self._messages.put_nowait(message))

    def _settle(self) -> None:
        now_ms = self._clock.now_ms()
        for from_ms, audio in self._playing:
            self.heard += audio[: max(0, now_ms - from_ms) * self.audio.bytes_per_ms]
        self._playing.clear()

    async def close(self, code: int, reason: str) -> None:
        self._settle()
        self._messages.put_nowait(None)

    def abort(self) -> None:
        self._settle()
        self._messages.put_nowait(None)


# --- the model -------------------------------------------------------------------------------------------------------


@dataclass
class TapeModel:
    """A provider that says what a test has it say; fulfils `SpeechModelEngine`."""

    capabilities: SpeechCapabilities
    clock: VirtualClock
    sessions: list[TapeSession] = field(default_factory=list["TapeSession"])

    async def connect(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]) -> TapeSession:
        await self.clock.sleep(900)
        self.sessions.append(TapeSession(setup, post, self.clock))
        return self.sessions[-1]

    async def close(self) -> None:
        """Nothing is held."""

    @property
    def last(self) -> TapeSession:
        return self.sessions[-1]


class TapeSession:
    """One session; fulfils `SpeechSession`."""

    def __init__(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None], clock: VirtualClock) -> None:
        self.setup = setup
        self.heard = bytearray()
        self.told: list[Message] = []
        self.truncated: list[int] = []
        self.cancelled = 0
        self.asked = 0
        self._post = post
        self._clock = clock
        self._replies = 0

    def hear(self, audio: bytes) -> None:
        self.heard += audio

    def update(self, setup: SessionSetup) -> None:
        def confirmed() -> None:
            self.setup = setup
            self._post(SetupInForce(setup.epoch))

        self._clock.call_at(self._clock.now_ms() + 900, confirmed)

    def tell(self, messages: Sequence[Message]) -> None:
        self.told += messages

    def ask(self) -> None:
        self.asked += 1

    def cancel(self) -> None:
        self.cancelled += 1
        self._post(ModelReplyEnded(f"reply-{self._replies}", "cancelled"))

    def truncate(self, reply: str, heard_ms: int) -> None:
        self.truncated.append(heard_ms)

    async def close(self) -> None:
        """Nothing is held."""

    # --- what the test has it do ---

    def understood(self, text: str) -> None:
        self._post(CallerTranscribed(text, final=True))

    def begins(self) -> str:
        self._replies += 1
        self._post(ModelReplyBegan(f"reply-{self._replies}"))
        return f"reply-{self._replies}"

    def asks_for(self, name: str) -> None:
        reply = self.begins()
        self._post(ModelToolRequested(reply, f"request-{self._replies}", name, "{}"))
        self._post(ModelReplyEnded(reply, "complete"))

    def says(self, text: str, number: int, ms: int, *, odd: bool = False) -> None:
        """Say the sound of this number as the words of `text`, in pieces that end in the middle of a sample.

        `odd`: so does the last one.
        """
        reply, audio = self.begins(), encoded(sound(number, ms, self.setup.audio_out.rate_hz), self.setup.audio_out)
        self._post(ModelReplyText(reply, text))
        piece = 200 * self.setup.audio_out.bytes_per_ms + 1
        for at in range(0, len(audio), piece):
            self._post(ModelReplyAudio(reply, audio[at : at + piece]))
        if odd:
            self._post(ModelReplyAudio(reply, b"\0"))
        self._post(ModelReplyEnded(reply, "complete"))


# --- the call --------------------------------------------------------------------------------------------------------


@dataclass
class TapedCall:
    """One call while it lasts."""

    clock: VirtualClock
    line: TapeLine
    model: TapeModel
    events: list[ev.Event] = field(default_factory=list[ev.Event])

    async def until(self, at_ms: int) -> None:
        """Let time pass up to this moment of the tape."""
        await self.clock.sleep(at_ms - self.clock.now_ms())

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def tape(audio: AudioFormat, ms: int, *sayings: tuple[int, int, int]) -> bytes:
    """Return what a caller says: (which sound, when it begins, for how long) in a silence that lasts `ms` in all."""
    whole = np.zeros(ms * audio.rate_hz // 1_000)
    for number, from_ms, lasting_ms in sayings:
        at = from_ms * audio.rate_hz // 1_000
        whole[at : at + lasting_ms * audio.rate_hz // 1_000] = sound(number, lasting_ms, audio.rate_hz)
    return encoded(whole, audio)


def play(
    scenario: Callable[[TapedCall], Awaitable[None]],
    *,
    leg: AudioFormat,
    row: SpeechCapabilities,
    said: bytes,
    folder: Path,
    marks: bool = True,
) -> TapedCall:
    """Play a call to the desk to its end; returns it."""

    async def playing() -> TapedCall:
        loop = cast("VirtualLoop", asyncio.get_running_loop())
        clock = VirtualClock(loop)
        flow = desk()
        call = TapedCall(clock, TapeLine(leg, said, clock=clock), TapeModel(row, clock))
        tools = SimulatedTools(flow, {}, clock=clock, stalls=Stalls(), failed=loop.fail)

        def observe(_: CallId, _now_ms: int, event: ev.Event, _outgoing: tuple[Outgoing, ...]) -> None:
            call.events.append(event)

        services = Services(
            engines=Engines(EnergyVad(), NullRecognizer(), NullSynthesizer()),
            models=GuidedModels(),
            tools=cast("ToolExecutor", tools),
            journals=cast("Any", SimulatedJournals(folder)),
            clock=clock,
            learned=Learned(),
            observers=(observe,),
            speech_model=call.model,
        )
        socket_leg = SocketLeg(
            LegId("leg1"),
            socket=call.line,
            dialect=TapeDialect(leg, marks=marks),
            clock=clock,
            ticker=Ticker(clock),
            lead_ms=400,
            transfers=Transfers({}, clock, MemoryStore(clock)),
        )
        async with asyncio.TaskGroup() as tasks:

            def on_start(started: Started) -> None:
                del started
                incoming = IncomingCall(CallId("taped"), socket_leg, flow.name, None, None, {})
                tasks.create_task(Session(flow, incoming, services).run())

            tasks.create_task(scenario(call))
            await call.line.close(*await socket_leg.run(on_start))
        return call

    return run_virtual(playing())

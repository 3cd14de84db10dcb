"""A whole call in virtual time: session, telephone leg and wire are the product's, the audio on both sides is real."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import cast

from benchmarks.turns.recogniser import KeptRecogniser
from voiceagent.audio import FRAME_MS, MULAW_SILENCE
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import ModelRequest
from voiceagent.core.ids import CallId, LegId
from voiceagent.ports import (
    MULAW_8K,
    AudioFormat,
    Engines,
    IncomingCall,
    ReplyDone,
    ReplyPiece,
    SentText,
    Transcript,
    VadEngine,
)
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.session import Services, Session
from voiceagent.spec.expects import FreeSpeech
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase, Reprompts, Say
from voiceagent.spec.prompt import Prompt
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.codec import Started
from voiceagent.telephony.driver import SocketLeg
from voiceagent.telephony.ticker import Ticker
from voiceagent.telephony.transfers import Transfers
from voiceagent.telephony.twilio import TwilioDialect
from voiceagent.testing.heard_speech import HeardSpeech
from voiceagent.testing.simulated_journals import SimulatedJournals
from voiceagent.testing.simulated_line import SimulatedLine
from voiceagent.testing.simulated_speech import SpokenAudio
from voiceagent.testing.simulated_tools import SimulatedTools
from voiceagent.testing.stalls import Stalls
from voiceagent.testing.virtual_loop import VirtualClock, VirtualLoop
from voiceagent.tools.executor import ToolExecutor

__all__ = ["Interrupted", "Spoken", "interrupt"]

_LEAD_MS = 400
_UNIX_MS = 1_764_000_000_000


@dataclass(frozen=True, slots=True)
class Spoken:
    """What the agent says, in recorded words."""

    text: str
    words: Mapping[str, bytes]
    """µ-law of every word of it, in small letters, with the pause that follows it."""
    pause_ms: int
    """How long that is."""

    def say(self, text: str) -> bytes:
        """Return the sound of these words; of one that was not recorded there is none."""
        return b"".join(self.words.get(word, b"") for word in _plain(text))

    def word_ends_ms(self) -> tuple[int, ...]:
        """Return the last sound of every word, from the first one on."""
        ends: list[int] = []
        lasted_ms = 0
        for word in _plain(self.text):
            lasted_ms += len(self.words[word]) // MULAW_8K.bytes_per_ms
            ends.append(lasted_ms - self.pause_ms)
        return tuple(ends)


def _plain(text: str) -> list[str]:
    return [word.strip(".,").casefold() for word in text.split()]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What a caller's sound did to the agent's sentence."""

    began_ms: int
    """The first sound of the caller, in the call's time."""
    decided_ms: int | None
    """When the conversation stopped the agent; None: it went on."""
    cleared_ms: int | None
    """When `clear` was on the wire."""
    wire_us: float
    """Computing time between the two, which the call's own time does not know of."""
    heard_ms: int
    """How much of the agent's voice came out of the caller's telephone."""
    told_heard_ms: int | None
    """How much the leg said it was."""
    kept: str
    """What stands in the history of it."""


def interrupt(
    sound: bytes, spoken: Spoken, *, after_ms: int, vad: VadEngine, recogniser: KeptRecogniser
) -> Interrupted:
    """Have the agent say its sentence, and the caller make this sound (µ-law at 8 kHz) when so much was heard of it.

    After nothing of it: from the first moment of the call on.
    """
    call = _InterruptedCall(sound, spoken, vad, recogniser)
    try:
        return call.play(after_ms)
    finally:
        call.close()


class _InterruptedCall:
    def __init__(self, sound: bytes, spoken: Spoken, vad: VadEngine, recogniser: KeptRecogniser) -> None:
        self._sound = sound
        self._flow = _flow(spoken)
        self._loop = VirtualLoop()
        self._clock = VirtualClock(self._loop)
        self._clock.began_unix_ms = _UNIX_MS
        self._folder = tempfile.TemporaryDirectory()
        self._ear = _Ear()
        # Both are asked for two methods each, and those have nothing to do with simulated speech here.
        self._line = _WatchedLine(
            self._clock, caller=cast("SpokenAudio", _Mouth(sound)), heard=cast("HeardSpeech", self._ear)
        )
        self._tools = SimulatedTools(self._flow, {}, clock=self._clock, stalls=Stalls(), failed=self._loop.fail)
        journals = SimulatedJournals(Path(self._folder.name))
        self._services = Services(
            engines=Engines(vad, _Recogniser(recogniser), _Synthesizer(spoken)),
            models=_Agrees(),
            tools=cast("ToolExecutor", self._tools),
            journals=cast("JournalStore", journals),
            clock=self._clock,
            learned=Learned(),
            observers=(self._observe,),
        )
        self._decided: tuple[int, float] | None = None
        self._told_heard_ms: int | None = None

    def _observe(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        del call
        if isinstance(event, ev.PlayoutStopped) and self._told_heard_ms is None:
            self._told_heard_ms = event.heard_ms
        if self._decided is None and any(isinstance(out.effect, fx.StopPlayout) for out in outgoing):
            self._decided = (now_ms, perf_counter())

    def play(self, after_ms: int) -> Interrupted:
        task = self._loop.create_task(self._serve())
        if after_ms:
            self._loop.pass_time(until_ms=20_000, enough=lambda: self._ear.began_ms is not None)
        began_ms = (self._ear.began_ms or 0) + after_ms
        began_ms += -began_ms % FRAME_MS
        self._loop.pass_time(until_ms=began_ms)
        self._line.line.say("", 0)
        lasts_ms = len(self._sound) // MULAW_8K.bytes_per_ms
        self._loop.pass_time(until_ms=began_ms + lasts_ms + 2_500, enough=lambda: self._told_heard_ms is not None)
        heard_ms = len(self._line.line.heard) // MULAW_8K.bytes_per_ms
        conversation = self._tools.conversation
        assert conversation is not None
        kept = next((m.text for m in conversation.transcript.messages() if m.role == "agent"), "")
        self._line.line.hang_up()
        self._loop.pass_time(until_ms=self._loop.now_ms + 60_000, enough=task.done)
        decided_ms, decided_s = self._decided or (None, 0.0)
        cleared_ms, cleared_s = self._line.cleared or (None, 0.0)
        return Interrupted(
            began_ms,
            decided_ms,
            cleared_ms,
            (cleared_s - decided_s) * 1e6 if cleared_ms is not None else 0.0,
            heard_ms,
            self._told_heard_ms,
            kept,
        )

    def close(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.pass_time(until_ms=self._loop.now_ms + 10_000, enough=lambda: not asyncio.all_tasks(self._loop))
        self._loop.close()
        self._folder.cleanup()

    async def _serve(self) -> None:
        leg = SocketLeg(
            LegId("leg1"),
            socket=self._line,
            dialect=TwilioDialect(),
            clock=self._clock,
            ticker=Ticker(self._clock),
            lead_ms=_LEAD_MS,
            transfers=Transfers({}, self._clock, MemoryStore(self._clock)),
        )
        async with asyncio.TaskGroup() as tasks:

            def on_start(started: Started) -> None:
                incoming = IncomingCall(
                    CallId("turns"), leg, self._flow.name, "+15550100", "+15550199", dict(started.parameters)
                )
                session = Session(self._flow, incoming, self._services)
                tasks.create_task(self._take(session, leg))

            self._line.line.dial()
            await self._line.line.close(*await leg.run(on_start))

    async def _take(self, session: Session, leg: SocketLeg) -> None:
        await session.run()
        await leg.hang_up(drain=False)


class _WatchedLine:
    """The caller's line, and when `clear` came over it; fulfils `LegSocket`."""

    def __init__(self, clock: VirtualClock, *, caller: SpokenAudio, heard: HeardSpeech) -> None:
        self.line = SimulatedLine(clock, caller=caller, heard=heard)
        self._clock = clock
        self.cleared: tuple[int, float] | None = None

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self.line.__aiter__()

    def write(self, message: str | bytes) -> None:
        if self.cleared is None and '"clear"' in str(message):
            self.cleared = (self._clock.now_ms(), perf_counter())
        self.line.write(message)

    @property
    def unsent_bytes(self) -> int:
        return self.line.unsent_bytes

    @property
    def end(self) -> str:
        return self.line.end

    @property
    def closed_in_order(self) -> bool:
        return self.line.closed_in_order

    async def close(self, code: int, reason: str) -> None:
        await self.line.close(code, reason)

    def abort(self) -> None:
        self.line.abort()


class _Mouth:
    """The caller says one thing."""

    def __init__(self, sound: bytes) -> None:
        self._sound = sound

    def say(self, text: str, lasting_ms: int) -> bytes:
        del text, lasting_ms
        return self._sound


class _Ear:
    """When the agent's voice is first heard."""

    def __init__(self) -> None:
        self.began_ms: int | None = None

    def played(self, audio: bytes, at_ms: int) -> None:
        del audio
        if self.began_ms is None:
            self.began_ms = at_ms

    def cut(self, now_ms: int) -> None:
        del now_ms


class _Recogniser:
    """The local recogniser on virtual time: it takes as long as it took; fulfils `RecognizerEngine`."""

    healthy = True
    languages = ("en",)

    def __init__(self, kept: KeptRecogniser) -> None:
        self._kept = kept

    def open(self, audio: AudioFormat, *, locale: str) -> _Recogniser:
        del audio, locale
        return self

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        del hints
        heard = self._kept.hear(audio)
        await asyncio.sleep(heard.took_ms / 1_000)
        return Transcript(heard.text)

    def close(self) -> None:
        pass


class _Synthesizer:
    """Says what was recorded; fulfils `SynthesizerEngine`."""

    healthy = True
    languages = ("en",)

    def __init__(self, spoken: Spoken) -> None:
        self._spoken = spoken

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> _Synthesizer:
        del audio, voice, locale, speaking_rate
        return self

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes]:
        del softly
        yield self._spoken.say(text) or bytes([MULAW_SILENCE]) * MULAW_8K.bytes_per_ms * FRAME_MS

    async def render(self, text: str, audio: AudioFormat, *, voice: str | None, **manner: object) -> bytes:
        del text, audio, voice, manner
        return b""

    def close(self) -> None:
        pass


class _Agrees:
    """A model with one answer; fulfils `ReplyModelEngine` and `ReplyModel`."""

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> _Agrees:
        del flow, locale, time_zone
        return self

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        del request
        await asyncio.sleep(0.4)
        yield SentText("All right.")
        yield ReplyDone()

    async def close(self) -> None:
        pass


def _flow(spoken: Spoken) -> Flow:
    phase = Phase(
        name="telling",
        prompt="turns/telling.md",
        on_enter=Say(text=spoken.text),
        expects=(FreeSpeech(),),
        no_input=Reprompts(after_ms=60_000),
    )
    return Flow(name="turns", initial="telling", phases=(phase,), prompts={"turns/telling.md": Prompt("Tell them.")})

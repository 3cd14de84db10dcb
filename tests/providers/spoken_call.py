"""A call in real time whose speech model is at a provider's server: everything between telephone and server is real.

The leg with its pacing and its ledger, the session, ears, recognizer's side, mouth, executor, journal and the adapter
with its socket are those of a server; the provider and the caller are scripted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.models.the_usual_call import Trace
from tests.providers.telephone import Recognizer, Sentences, Telephone, TelephoneDialect
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, LegId
from voiceagent.core.state import Inherited
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import AudioFormat, Engines, IncomingCall, SpeechModelEngine, SpeechOff, SpeechOn, VadHandle
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.session import Services, Session
from voiceagent.spec.flow import Flow
from voiceagent.speech import EnergyVad
from voiceagent.speech.samples import encoded
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.codec import Started
from voiceagent.telephony.driver import SocketLeg
from voiceagent.telephony.ticker import Ticker
from voiceagent.telephony.transfers import Transfers
from voiceagent.testing.call_record import CallRecord, has
from voiceagent.tools.credentials import NoCredentials
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.service import ConnectionPool

__all__ = ["SpokenCall", "hum", "spoken_call"]

_PATIENCE_S = 15
_HUM = b"\x00\x08" * 20 + b"\x00\xf8" * 20
_HUM_MS_PER_CHARACTER = 8


def hum(text: str, audio: AudioFormat) -> bytes:
    """Return something to hear for a sentence: a low hum, eight times as fast as it would be spoken."""
    pcm = _HUM * (len(text) * _HUM_MS_PER_CHARACTER * audio.rate_hz // 1_000 // 40 + 1)
    return encoded(pcm[: len(text) * _HUM_MS_PER_CHARACTER * audio.rate_hz // 1_000 * 2], audio)


class Mouth:
    """The agent's own voice; fulfils `SynthesizerEngine`."""

    healthy = True

    def __init__(self) -> None:
        self._format: AudioFormat

    def open(self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None) -> Mouth:
        del voice, locale
        self._format = audio
        return self

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes]:
        yield hum(text, self._format)

    async def render(self, text: str, audio: AudioFormat, *, voice: str | None, **manner: object) -> bytes:
        del voice
        return hum(text, audio)

    def close(self) -> None:
        """Nothing is held."""


class ListeningVad:
    """The voice activity of a server, which also keeps what has come over the line; fulfils `VadEngine`."""

    def __init__(self) -> None:
        self._engine = EnergyVad()
        self._handle: VadHandle
        self.heard = bytearray()

    def open(self, audio: AudioFormat, *, later: Callable[[SpeechOn | SpeechOff], None] | None = None) -> ListeningVad:
        self._handle = self._engine.open(audio, later=later)
        return self

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        self.heard += audio
        return self._handle.feed(audio)

    @property
    def audible_since_ms(self) -> int | None:
        return self._handle.audible_since_ms

    def close(self) -> None:
        """Nothing is held."""


class SpokenCall:
    """One call, as the caller and an observer know it."""

    def __init__(self, flow: Flow, phone: Telephone, sentences: Sentences) -> None:
        self.phone = phone
        self.record = CallRecord()
        self.came = b""
        """Once the call is over: all that has come over the line."""
        self._sentences = sentences
        call = CallId("spoken")
        self.conversation = Conversation(flow, Inherited(call, voice_speaks=True, replies_unasked=True))
        """Told everything that the session's own is told: it is where that one is."""
        self._news = asyncio.Event()

    def observe(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        del call
        self.record.entries.append((now_ms, event, outgoing))
        assert self.conversation.handle(event, now_ms) == outgoing
        self._news.set()

    # --- the caller --------------------------------------------------------------------------------------------------

    async def says(self, words: str, *, then_hears: str) -> None:
        """Say a sentence, and hear the agent out."""
        await self.phone.says(self._sentences.audio(words, self.phone.format))
        await self.until_heard(then_hears)

    async def until_heard(self, words: str) -> None:
        """Wait until these are among the agent's last words, and the agent has nothing more to say."""
        await self._until(
            lambda: (
                bool(self.heard)
                and words in self.heard[-1]
                and (self.ended or (not self.conversation.is_working and self.phone.quiet))
            ),
            f"the agent did not say {words!r}",
        )

    async def until(self, kind: type[ev.Event | fx.Effect], *, since: int = 0) -> None:
        """Wait for something to happen."""
        await self._until(
            lambda: any(has(entry, kind) for entry in self.record.entries[since:]), f"{kind.__name__} did not come"
        )

    async def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while not condition():
                    if self.ended:
                        raise TimeoutError
                    self._news.clear()
                    with suppress(TimeoutError):  # that the telephone is silent is no news
                        await asyncio.wait_for(self._news.wait(), 0.05)
                return
        raise AssertionError(f"{otherwise}\n{self.record.timeline()}")

    # --- what came of it ---------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self.conversation.state.ended

    @property
    def heard(self) -> list[str]:
        """What the caller has heard of the agent, fillers left out."""
        said = [message.text for message in self.conversation.transcript.messages() if message.role == "agent"]
        return [text for text in said if text not in self.record.fillers]

    @property
    def trace(self) -> Trace:
        ran = [
            out.effect.tool
            for _, _, outgoing in self.record.entries
            for out in outgoing
            if isinstance(out.effect, fx.StartTool | fx.Fetch)
        ]
        return Trace(self.record.phases, ran, self.heard)

    @property
    def swaps_ms(self) -> list[int]:
        """How long every phase took to be in force, the first one included."""
        return [
            done - decided
            for decided, done in zip(self.record.at(fx.SwapPhase), self.record.at(ev.PhaseSwapped), strict=False)
        ]

    @property
    def problems(self) -> list[fx.ReportProblem]:
        """What did not go as it should."""
        return self.record.effects(fx.ReportProblem)


@asynccontextmanager
async def spoken_call(
    flow: Flow,
    engine: SpeechModelEngine,
    audio: AudioFormat,
    *,
    sentences: Sentences,
    journals: Path,
    service_url: str = "",
) -> AsyncGenerator[SpokenCall]:
    """Place a call over a line that carries this audio; in the end it is over and has left nothing behind."""
    before = asyncio.all_tasks()
    clock = SystemClock()
    phone = Telephone(audio, clock)
    call = SpokenCall(flow, phone, sentences)
    vad = ListeningVad()
    pool = await asyncio.to_thread(ConnectionPool, internal=[service_url])  # it loads its library
    store = JournalStore(journals)
    executor = ToolExecutor(clock=clock, broker=NoCredentials(), pool=pool, service_url=service_url)
    services = Services(
        engines=Engines(vad, Recognizer(sentences), Mouth()),
        models=GuidedModels(),
        tools=executor,
        journals=store,
        clock=clock,
        learned=Learned(),
        observers=(call.observe,),
        speech_model=engine,
    )
    leg = SocketLeg(
        LegId("leg1"),
        socket=phone,
        dialect=TelephoneDialect(audio),
        clock=clock,
        ticker=Ticker(clock),
        lead_ms=200,
        transfers=Transfers({}, clock, MemoryStore(clock)),
    )
    incoming = IncomingCall(CallId("spoken"), leg, flow.name, "+15550100", "+15550199", {})
    session = Session(flow, incoming, services)
    try:
        async with asyncio.TaskGroup() as tasks:

            async def take() -> None:
                await session.run()
                await leg.hang_up(drain=False)

            def on_start(_: Started) -> None:
                tasks.create_task(take())

            line = tasks.create_task(leg.run(on_start))
            phone.dial()
            try:
                yield call
            finally:
                phone.hang_up()
            await line
    finally:
        call.came = bytes(vad.heard)
        await executor.close()
        await store.close()
        await pool.close()
    left = asyncio.all_tasks() - before
    if left:
        await asyncio.wait(left, timeout=5)
    assert not asyncio.all_tasks() - before, "the call has left tasks behind"

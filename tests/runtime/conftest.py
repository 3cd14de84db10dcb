"""A call taken by a real session: hand-made leg, a clock that stands still, engines that need no weights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from voiceagent.audio import MULAW_SILENCE
from voiceagent.core.effects import ModelRequest, Outgoing
from voiceagent.core.events import (
    CallEnded,
    DigitsPressed,
    Event,
    LegLost,
    PlayoutReached,
    PlayoutStarted,
    PlayoutStopped,
)
from voiceagent.core.ids import CallId, LegId, UtteranceId
from voiceagent.errors import CallLost
from voiceagent.ports import (
    MULAW_8K,
    Announcement,
    CredentialBroker,
    Engines,
    IncomingCall,
    LegEvents,
    LegFeatures,
    ReplyPiece,
    SharedJournals,
)
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.journal_file import Journal, read_journal
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.recording import Recordings
from voiceagent.runtime.replay import replay
from voiceagent.runtime.session import Observer, Services, Session
from voiceagent.runtime.spending import Spending
from voiceagent.spec.flow import Flow
from voiceagent.speech import EnergyVad, NullRecognizer, NullSynthesizer
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.tools.credentials import NoCredentials
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.service import ConnectionPool

FRAME_MS = 20
SILENCE = bytes([MULAW_SILENCE]) * FRAME_MS * MULAW_8K.bytes_per_ms
VOICE = bytes([0x90] * 20 + [0x10] * 20) * 4
FAR_VOICE = bytes([0xC0] * 20 + [0x40] * 20) * 4
"""The same 18 dB softer: three segments of µ-law."""
"""A loud square wave of 200 Hz, 20 ms of it."""
SECONDS_TO_SPARE = 20
"""Nothing here takes that long; a test that would hang fails instead."""

Lines = Callable[[ModelRequest], "Sequence[ReplyPiece] | AsyncIterator[ReplyPiece]"]


class HandMadeLeg:
    """A telephone line in memory: plays everything in step with the clock, and writes down what it was asked for."""

    def __init__(self, clock: ManualClock, number: int) -> None:
        self.clock = clock
        self.id = LegId(f"l{number}")
        self.features = LegFeatures(
            dialect="hand-made",
            clear=True,
            marks=True,
            marks_return_on_clear=False,
            digits_out="no",
            transfer="no",
            hang_up="close",
            digits_in="no",
            position="marks",
            stop_reason=False,
        )
        self.audio_in = self.audio_out = MULAW_8K
        self.events: LegEvents | None = None
        self.played: dict[UtteranceId, int] = {}
        """Utterance → bytes of it that were queued."""
        self.targets: tuple[str, ...] = ()
        """Whom callers can be handed over to."""
        self.callers_come_back = False
        self.announced: Announcement | None = None
        self.sorry: Announcement | None = None
        self.recorded: list[tuple[int, bool]] = []
        """When the provider was asked to record, and when to stop."""
        self.pressed = ""
        """Keys towards the far side."""
        self.clears = 0
        self.hang_ups: list[str] = []
        self._free_ms = 0
        self._begins_ms: dict[UtteranceId, int] = {}
        self._over: dict[UtteranceId, None] = {}
        self._alarms: list[Callable[[], None]] = []
        self._lost = False

    # --- the port ---

    def attach(self, events: LegEvents) -> None:
        self.events = events

    def play(self, utterance: UtteranceId, audio: bytes) -> None:
        if self._lost or utterance in self._over:
            return
        self._free_ms = max(self._free_ms, self.clock.now_ms())
        if utterance not in self._begins_ms:
            self._begins_ms[utterance] = self._free_ms
            self._at(self._free_ms, PlayoutStarted(utterance, self._free_ms))
        self.played[utterance] = self.played.get(utterance, 0) + len(audio)
        self._free_ms += len(audio) // self.audio_out.bytes_per_ms

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool) -> None:
        if self._lost or utterance in self._over:
            return
        heard_ms = self.played.get(utterance, 0) // self.audio_out.bytes_per_ms
        self._begins_ms.setdefault(utterance, max(self._free_ms, self.clock.now_ms()))
        self._at(self._free_ms, PlayoutReached(utterance, clause, heard_ms, finished=last))

    def clear(self) -> None:
        self.clears += 1
        self._forget_alarms()
        now_ms = self._free_ms = self.clock.now_ms()
        for utterance, begins_ms in self._begins_ms.items():
            if utterance not in self._over:
                self._over[utterance] = None
                self.tell(PlayoutStopped(utterance, max(0, now_ms - begins_ms), exact=True))

    def send_digits(self, digits: str) -> None:
        self.pressed += digits

    def record(self, *, on: bool) -> None:
        self.recorded.append((self.clock.now_ms(), on))

    async def transfer(
        self, target: str, announcement: Announcement | None = None, *, sorry: Announcement | None = None
    ) -> bool:
        if target not in self.targets:
            raise CallLost(f"no number is given for {target}")
        self.announced, self.sorry = announcement, sorry
        await self.hang_up(drain=True)
        return self.callers_come_back

    async def hang_up(self, *, drain: bool) -> None:
        self.hang_ups.append("drained" if drain else "at once")
        if drain and self._free_ms > self.clock.now_ms():
            await self.clock.sleep(self._free_ms - self.clock.now_ms())
        self.lose("agent hung up")

    # --- the far side ---

    def tell(self, event: Event) -> None:
        if self.events is not None:
            self.events.post(event)

    def lose(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            self._forget_alarms()
            self.tell(LegLost(self.id, reason))

    def _at(self, at_ms: int, event: Event) -> None:
        def happen() -> None:
            if isinstance(event, PlayoutReached) and event.finished:
                self._over[event.utterance] = None
            self.tell(event)

        if at_ms <= self.clock.now_ms():
            happen()
        else:
            self._alarms.append(self.clock.call_at(at_ms, happen))

    def _forget_alarms(self) -> None:
        for cancel in self._alarms:
            cancel()
        self._alarms.clear()


class LinesEngine:
    """A model engine that says what a function of the request returns."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> LinesEngine:
        del flow, locale, time_zone
        return self

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        pieces = self._lines(request)
        if isinstance(pieces, AsyncIterator):
            async for piece in pieces:
                yield piece
        else:
            for piece in pieces:
                yield piece

    async def close(self) -> None:
        """Nothing is held."""


class Line:
    """One call as its caller and its observer see it."""

    def __init__(self, clock: ManualClock, flow: Flow, number: int) -> None:
        self.clock = clock
        self.flow = flow
        self.call = CallId(f"call-{number}")
        self.leg = HandMadeLeg(clock, number)
        self.incoming = IncomingCall(self.call, self.leg, flow.name, "+15550100", "+15550199", {})
        self.seen: list[Event] = []
        self.effects: list[Any] = []
        self.when: dict[type[Event], Callable[[], None]] = {}
        """What the test does in the moment in which an event of this kind is handled, once."""
        self.running: asyncio.Task[None]
        self.journal: Journal
        self._something = asyncio.Event()

    def observe(self, call: CallId, now_ms: int, event: Event, outgoing: tuple[Outgoing, ...]) -> None:
        del now_ms
        if call != self.call:
            return
        self.seen.append(event)
        self.effects += [out.effect for out in outgoing]
        self._something.set()
        act = self.when.pop(type(event), None)
        if act is not None:
            act()

    # --- what the caller does ---

    async def says(self, ms: int = 600) -> None:
        """Speak for so long, then fall silent for long enough to be noticed."""
        await self._frames(VOICE, ms)
        await self.waits(400)

    async def speaks(self, ms: int, *, from_afar: bool = False) -> None:
        """Speak for so long and be in the middle of it."""
        await self._frames(FAR_VOICE if from_afar else VOICE, ms)

    async def waits(self, ms: int) -> None:
        """Be silent while time passes."""
        await self._frames(SILENCE, ms)

    async def presses(self, digits: str) -> None:
        for digit in digits:
            self.leg.tell(DigitsPressed(digit))
            await self.waits(200)

    def hangs_up(self) -> None:
        self.leg.lose("caller hung up")

    async def _frames(self, frame: bytes, ms: int) -> None:
        for _ in range(ms // FRAME_MS):
            await self.settle()
            self.clock.advance(FRAME_MS)
            if self.leg.events is not None:
                self.leg.events.audio_arrived(frame)
        await self.settle()

    # --- what happens ---

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(12):
            await asyncio.sleep(0)

    async def until(self, kind: type[Event], count: int = 1) -> Any:
        """Wait, without time passing, until an event of this kind has been handled."""
        async with asyncio.timeout(SECONDS_TO_SPARE):
            while len(self.all(kind)) < count:
                self._something.clear()
                await self._something.wait()
        return self.all(kind)[count - 1]

    async def taken(self) -> None:
        """Wait, without time passing, until the session has begun, or is over before it could."""
        async with asyncio.timeout(SECONDS_TO_SPARE):
            while self.leg.events is None and not self.running.done():  # noqa: ASYNC110 - neither has an event
                await asyncio.sleep(0.001)  # the journal is made on a thread
        await self.settle()

    async def over(self) -> None:
        """Wait, without time passing, until the session has returned."""
        async with asyncio.timeout(SECONDS_TO_SPARE):
            await asyncio.wait([self.running])

    def all(self, kind: type[Any]) -> list[Any]:
        return [what for what in (*self.seen, *self.effects) if isinstance(what, kind)]

    @property
    def spoken(self) -> list[str]:
        """What the agent was told to say, clause by clause."""
        return [effect.text for effect in self.effects if type(effect).__name__ == "Speak" and effect.text]

    @property
    def ended(self) -> str:
        """Why the call ended."""
        (ended,) = self.all(CallEnded)
        return ended.reason

    @property
    def outcome(self) -> list[str]:
        """Names of the recorded events, the clock's left out."""
        return [type(entry.event).__name__ for entry in self.journal.entries]


class Exchange:
    """Takes calls with one set of services, as a server does, and looks at what they have left behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = ManualClock(1_000_000)
        self.learned = Learned()
        self.observers: list[Observer] = []
        self.shared: SharedJournals | None = None
        """Where journals are kept as well."""
        self.spending: Spending | None = None
        self.record_at_provider = False

    def serve(
        self,
        scenario: Callable[..., Awaitable[None]],
        flow: Flow,
        *,
        lines: Lines,
        heard: str | Sequence[str] = (),
        calls: int = 1,
        engines: Mapping[str, Any] | None = None,
        broker: CredentialBroker | None = None,
        recordings: Callable[[], Recordings] | None = None,
        first: Callable[[Line], None] = lambda _: None,
        complete: bool = True,
    ) -> list[Line]:
        """Run `scenario` with so many calls; then the callers hang up, and everything that every call promises holds.

        `first` is done to a line before its session begins.
        `complete` False: the journal could not be written, and is not looked at.
        """
        given: dict[str, Any] = {
            "vad": EnergyVad(),
            "recognizer": NullRecognizer(heard),
            "synthesizer": NullSynthesizer(),
            **(engines or {}),
        }

        pool = ConnectionPool()  # imports its library, which is not done while calls are served

        async def serving() -> list[Line]:
            before = asyncio.all_tasks()
            placed = [Line(self.clock, flow, number) for number in range(1, calls + 1)]
            journals = JournalStore(self.directory, shared=self.shared)
            recorded_in = recordings() if recordings is not None else None
            services = Services(
                engines=Engines(**given),
                models=LinesEngine(lines),
                tools=ToolExecutor(clock=self.clock, broker=broker or NoCredentials(), pool=pool),
                journals=journals,
                clock=self.clock,
                learned=self.learned,
                recordings=recorded_in,
                spending=self.spending,
                record_at_provider=self.record_at_provider,
                observers=(*self.observers, *(line.observe for line in placed)),
            )
            for line in placed:
                first(line)
                session = Session(flow, line.incoming, services)
                line.running = asyncio.create_task(session.run())
                await line.taken()
            try:
                await scenario(*placed)
                for line in placed:
                    line.hangs_up()
                    await line.over()
            finally:
                for line in placed:
                    line.running.cancel()
                await asyncio.wait([line.running for line in placed], timeout=SECONDS_TO_SPARE)
                await journals.close()
                if recorded_in is not None:
                    await recorded_in.close()
                await pool.close()
            assert asyncio.all_tasks() == before, "a call has left a task behind"
            return placed

        placed = asyncio.run(serving())
        for line in placed:
            assert line.running.cancelled() or line.running.exception() is None
            assert line.leg.hang_ups, "the leg was not let go"
            if complete:
                line.journal = read_journal(self.directory / f"{line.call}.jsonl")
                assert line.journal.complete
                assert line.outcome.count("CallEnded") == 1
                after = line.outcome[line.outcome.index("CallEnded") + 1 :]
                assert set(after) <= {"ToolFinished", "ToolFailed"}
                assert replay(line.journal, line.flow).same
        return placed


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    """Where calls are taken."""
    return Exchange(tmp_path / "journals")

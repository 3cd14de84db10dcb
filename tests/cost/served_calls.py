"""Calls over the real telephone leg and its ears, on a loop that counts what is put on it, while no time passes."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from contextvars import Context
from pathlib import Path
from typing import Any, cast

from voiceagent import Flow, GuidedDialogue, Intent, Limits, Phase, Reprompts, Requested, Say, Transition
from voiceagent.audio import pcm16_to_mulaw
from voiceagent.core.effects import Outgoing
from voiceagent.core.events import Event
from voiceagent.core.ids import CallId, LegId
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import IncomingCall
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.session import Services, Session
from voiceagent.speech import open_engines
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.codec import Started
from voiceagent.telephony.driver import SocketLeg
from voiceagent.telephony.ticker import Ticker
from voiceagent.telephony.transfers import Transfers
from voiceagent.telephony.twilio import TwilioDialect
from voiceagent.testing.simulated_journals import SimulatedJournals
from voiceagent.testing.simulated_tools import SimulatedTools
from voiceagent.testing.stalls import Stalls
from voiceagent.testing.twilio_stream import TwilioStream
from voiceagent.testing.virtual_loop import VirtualClock, VirtualLoop
from voiceagent.tools.executor import ToolExecutor

__all__ = ["SILENCE", "Served", "served", "speech"]

FRAME_MS = 20
SILENCE = b"\xff" * 160
_LOUD = pcm16_to_mulaw((b"\x00\x20" * 20 + b"\x00\xe0" * 20) * 4)
_PATIENT = Reprompts(after_ms=60_000, hold_ms=120_000)


def speech(number: int) -> bytes:
    """Return a frame of somebody who talks on: syllables of 160 ms, and 40 ms between them."""
    return _LOUD if number % 10 < 8 else SILENCE


def _phase(name: str, other: str) -> Phase:
    return Phase(
        name=name,
        on_enter=Say(text="Here is the next thing for you."),
        no_input=_PATIENT,
        backchannels=(),
        transitions=(Transition(on=Requested(name="next", description="They want the next thing."), to=other),),
        guided=GuidedDialogue(intents=(Intent(does="next", examples=("tell me the next thing please",)),)),
    )


FLOW = Flow(
    name="counted",
    initial="odd",
    phases=(_phase("odd", "even"), _phase("even", "odd")),
    limits=Limits(max_turns=100_000, max_call_ms=24 * 3_600_000),
)
"""Two phases that change places at every turn, and nobody who asks a silent caller whether they are there."""


class CountingLoop(VirtualLoop):
    """Counts tasks, callbacks and timers."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        super().__init__()
        self.set_task_factory(self._task)

    def _task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        self.counts["tasks"] += 1
        return asyncio.Task(coroutine, loop=loop, **more)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        self.counts["callbacks"] += 1
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self.counts["timers"] += 1
        return super().call_at(when, callback, *args, context=context)


class _Line:
    """The socket of one call; its far side is a carrier that plays what it is sent and sends every mark back."""

    def __init__(self, served: Served, call: str) -> None:
        self._served = served
        self._stream = TwilioStream(call)
        self._waiting: list[str | None] = [self._stream.connected(), self._stream.start({})]
        self._more: asyncio.Future[None] | None = None
        self._played_ms = 0
        self.unsent_bytes = 0
        self.closed_in_order = False
        self.end = "connection lost (1006)"

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            while self._waiting:
                message = self._waiting.pop(0)
                if message is None:
                    return
                yield message
            self._more = self._served.loop.create_future()
            await self._more

    def deliver(self, message: str | None) -> None:
        """Have a message arrive; None: the connection is over."""
        self._waiting.append(message)
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def media(self, audio: bytes, at_ms: int) -> str:
        """Return the message of a frame of the caller's."""
        return self._stream.media(audio, at_ms)

    def write(self, message: str | bytes) -> None:
        self._served.loop.counts["messages_out"] += 1
        told = json.loads(message)
        now_ms = self._served.loop.now_ms
        match told["event"]:
            case "media":
                self._played_ms = max(self._played_ms, now_ms) + len(told["media"]["payload"]) * 3 // 4 // 8
            case "mark":
                self._served.echo(self, self._stream.mark(told["mark"]["name"]), max(self._played_ms, now_ms))
            case _:
                pass

    async def close(self, code: int, reason: str) -> None:
        del code, reason

    def abort(self) -> None:
        self.deliver(None)


class Served:
    """A server of calls on the virtual loop: its engines are the null ones, everything between them is real."""

    def __init__(self, loop: CountingLoop, directory: Path, *, flow: Flow = FLOW) -> None:
        self.loop = loop
        self.flow = flow
        self.lines: list[_Line] = []
        self.events: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        """Events by their kind, from the beginning."""
        self.journals = SimulatedJournals(directory)
        self._clock = VirtualClock(loop)
        self._ticker = Ticker(self._clock)
        self._transfers = Transfers({}, self._clock, MemoryStore(self._clock))
        self._echoes: list[tuple[int, _Line, str]] = []
        self._frames = 0
        tools = SimulatedTools(flow, {}, clock=self._clock, stalls=Stalls(), failed=loop.fail)
        self._services = Services(
            engines=open_engines("null"),
            models=GuidedModels(),
            tools=cast("ToolExecutor", tools),
            journals=cast("JournalStore", self.journals),
            clock=self._clock,
            learned=Learned(),
            observers=(self._observe,),
        )

    def _observe(self, call: CallId, now_ms: int, event: Event, outgoing: tuple[Outgoing, ...]) -> None:
        del call, now_ms
        self.events["events"] += 1
        self.events["effects"] += len(outgoing)
        self.happened[type(event).__name__] += 1

    def place_call(self) -> None:
        """Have one more caller on the line."""
        call = f"CA{len(self.lines)}"
        line = _Line(self, call)
        self.lines.append(line)
        self.loop.create_task(self._serve(CallId(call), line))

    async def _serve(self, call: CallId, line: _Line) -> None:
        leg = SocketLeg(
            LegId(f"leg-{call}"),
            socket=line,
            dialect=TwilioDialect(),
            clock=self._clock,
            ticker=self._ticker,
            lead_ms=400,
            transfers=self._transfers,
        )
        async with asyncio.TaskGroup() as tasks:

            def on_start(started: Started) -> None:
                incoming = IncomingCall(call, leg, self.flow.name, "+15550100", "+15550199", dict(started.parameters))
                tasks.create_task(Session(self.flow, incoming, self._services).run())

            await line.close(*await leg.run(on_start))

    def echo(self, line: _Line, message: str, at_ms: int) -> None:
        """Have the carrier say, at that instant, that a mark was heard."""
        self._echoes.append((at_ms, line, message))

    def frames(self, count: int, frame: Callable[[int], bytes] = lambda _: SILENCE) -> list[list[str]]:
        """Return the messages of so many frames of every caller."""
        numbers = range(self._frames, self._frames + count)
        self._frames += count
        return [[line.media(frame(number), number * FRAME_MS) for line in self.lines] for number in numbers]

    def take(self, frames: list[list[str]]) -> None:
        """Have frames arrive, one of every caller every 20 ms."""
        for messages in frames:
            for line, message in zip(self.lines, messages, strict=True):
                line.deliver(message)
            due = [echo for echo in self._echoes if echo[0] <= self.loop.now_ms]
            self._echoes = [echo for echo in self._echoes if echo[0] > self.loop.now_ms]
            for _, line, message in due:
                line.deliver(message)
            self.loop.pass_time(until_ms=self.loop.now_ms + FRAME_MS)

    def pass_frames(self, count: int, frame: Callable[[int], bytes] = lambda _: SILENCE) -> None:
        """Let every caller send so many frames."""
        self.take(self.frames(count, frame))

    def turn(self) -> None:
        """Let every caller say something for a second, and hear the answer to its end."""
        self.pass_frames(50, speech)
        self.pass_frames(200)

    def hang_up(self) -> None:
        for line in self.lines:
            line.deliver(None)
        self.loop.pass_time(until_ms=self.loop.now_ms + 60_000)


@contextmanager
def served(calls: int = 1) -> Generator[Served]:
    """Serve so many calls, each of which has heard its greeting."""
    loop = CountingLoop()
    with tempfile.TemporaryDirectory() as directory:
        try:
            server = Served(loop, Path(directory))
            for _ in range(calls):
                server.place_call()
            server.pass_frames(300)
            loop.counts.clear()
            server.events.clear()
            yield server
            server.hang_up()
            assert not asyncio.all_tasks(loop)
        finally:
            loop.close()

"""A server for one simulated call: everything of a server but its socket, its threads and its engines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import LegId
from voiceagent.core.state import Inherited
from voiceagent.errors import ScriptError
from voiceagent.language import language_for
from voiceagent.ports import MULAW_8K, Engines, IncomingCall, ReplyModel
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.render_ahead import render_ahead
from voiceagent.runtime.session import Observer, Services, Session
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import TransferTo
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.codec import Started
from voiceagent.telephony.driver import SocketLeg
from voiceagent.telephony.ticker import Ticker
from voiceagent.telephony.transfers import Transfers
from voiceagent.telephony.twilio import TWILIO_FEATURES, TwilioDialect, TwilioVariant
from voiceagent.testing.agent_voice import AgentVoice
from voiceagent.testing.heard_speech import HeardSpeech
from voiceagent.testing.scripted_model import ModelOfScript
from voiceagent.testing.simulated_journals import SimulatedJournals
from voiceagent.testing.simulated_line import SimulatedLine
from voiceagent.testing.simulated_model import PacedModel
from voiceagent.testing.simulated_provider import SimulatedProvider
from voiceagent.testing.simulated_speech import SimulatedRecognizer, SimulatedSynthesizer, SimulatedVad, SpokenAudio
from voiceagent.testing.simulated_tools import SimulatedTools
from voiceagent.testing.simulated_world import Faults, ScriptedTool, Timing
from voiceagent.testing.stalls import Stalls
from voiceagent.testing.virtual_loop import VirtualClock, VirtualLoop
from voiceagent.tools.executor import ToolExecutor

__all__ = ["SimulatedServer"]

_ALWAYS_TAKEN = TwilioVariant(replace(TWILIO_FEATURES, announce="no"))
"""In a simulation somebody is always there: a caller who is handed over does not come back."""
_LEAD_MS = 400
"""What a server runs ahead of the ear by default."""
_OWN_TASKS = 2
"""The line's reader and the session; whatever else runs is under way for the call."""


class SimulatedServer:
    """Takes one call over a simulated line."""

    def __init__(
        self,
        flow: Flow,
        *,
        loop: VirtualLoop,
        model: ModelOfScript | ReplyModel,
        tools: Mapping[str, ScriptedTool],
        timing: Timing,
        faults: Faults,
        inherited: Inherited,
        journals: Path,
        observer: Observer,
        provider: SimulatedProvider | None = None,
    ) -> None:
        """With a `provider` its speech model hears and speaks."""
        loop.set_exception_handler(_fail)
        self._flow = flow
        self._loop = loop
        self._call = inherited.call
        self._clock = VirtualClock(loop)
        self._session: Session | None = None
        self._serving: asyncio.Task[None] | None = None
        self._caller_number = self._time_zone = ""
        self._stalls = Stalls()
        self._recorded_ms = 0
        self.recorded_late_ms: list[int] = []
        """When events were handled that did not stand in the journal yet."""
        caller, self._agent = SpokenAudio(), SpokenAudio()
        self._heard = HeardSpeech(self._agent)
        self._caller = caller
        self._faults = faults
        self.line = SimulatedLine(self._clock, caller=caller, heard=self._heard, faults=faults)
        self._lines: list[SimulatedLine] = []
        """The call's connections before this one."""
        self.tools = SimulatedTools(flow, tools, clock=self._clock, stalls=self._stalls, failed=loop.fail)
        self.journals = SimulatedJournals(journals, faults=faults, recorded=self._recorded)
        self._transfers = Transfers(_numbers_of(flow), self._clock, MemoryStore(self._clock))
        self._services = Services(
            engines=Engines(
                SimulatedVad(caller, faults),
                SimulatedRecognizer(caller, transcript_ms=timing.transcript_ms, faults=faults, stalls=self._stalls),
                SimulatedSynthesizer(
                    self._agent, synthesis_ms=timing.synthesis_ms, faults=faults, begins=self._heard.begins
                ),
            ),
            models=PacedModel(
                model,
                timing,
                faults=faults,
                stalls=self._stalls,
                language=language_for(flow.locale),
                failed=loop.fail,
            ),
            # Both have the methods that a session uses, and are no subclasses: what they inherited would be real.
            tools=cast("ToolExecutor", self.tools),
            journals=cast("JournalStore", self.journals),
            clock=self._clock,
            learned=_learned(inherited),
            observers=(observer,),
            speech_model=provider,
        )
        if provider is not None:
            provider.belongs_to(
                clock=self._clock,
                caller=caller,
                agent=self._agent,
                language=language_for(flow.locale),
                facts=self._facts,
                begins=self._heard.model_says,
                failed=loop.fail,
            )

    def _recorded(self, at_ms: int) -> None:
        """An event is being written down: it must not have been handled before."""
        conversation = self.tools.conversation
        if conversation is not None and self._recorded_ms < at_ms <= conversation.state.now_ms:
            self.recorded_late_ms.append(at_ms)
        self._recorded_ms = at_ms

    def _facts(self) -> dict[str, JsonValue]:
        conversation = self.tools.conversation
        return {} if conversation is None else conversation.state.facts.known()

    @property
    def engines(self) -> Engines:
        """What hears and speaks."""
        return self._services.engines

    @property
    def words_heard(self) -> str:
        """The agent's words that have come out of the caller's telephone."""
        return self._agent.words_in(b"".join(line.heard for line in (*self._lines, self.line)))

    @property
    def voice(self) -> AgentVoice:
        """What comes out of the caller's telephone, to the word."""
        return self._heard.voice

    @property
    def idle(self) -> bool:
        """Whether the caller is silent, has heard everything, and nothing is under way for the call."""
        conversation = self.tools.conversation
        if conversation is None or conversation.is_working or not self.line.quiet or conversation.state.suspended:
            return False
        return len(asyncio.all_tasks(self._loop)) <= _OWN_TASKS + self._stalls.waiting

    @property
    def ended(self) -> bool:
        """Whether the conversation is over."""
        return self.tools.conversation is not None and self.tools.conversation.state.ended

    @property
    def over(self) -> bool:
        """Whether the call is over and nothing of it is left."""
        return self._serving is not None and self._serving.done() and not asyncio.all_tasks(self._loop)

    def begin(self, *, caller_number: str, time_zone: str, unix_ms: int) -> None:
        """Have the caller dial as soon as the loop runs; `unix_ms` is what the wall clock shows then."""
        self._clock.began_unix_ms = unix_ms - self._loop.now_ms
        self._caller_number, self._time_zone = caller_number, time_zone
        self._serving = self._loop.create_task(self._serve())

    def connect_again(self) -> None:
        """Have the carrier connect the call once more, as soon as the loop runs."""
        self._lines.append(self.line)
        self.line = SimulatedLine(self._clock, caller=self._caller, heard=self._heard, faults=self._faults)
        self._serving = self._loop.create_task(self._serve_line(self.line))

    def asked(self, effect: fx.Effect) -> None:
        """Note what the core asks for, before it is done."""
        self.tools.asked(effect)
        self._heard.asked(effect)

    def post(self, event: ev.Event) -> None:
        """Let something happen to the call. Raises ScriptError before there is one."""
        if self._session is None:
            raise ScriptError("the call has not started")
        self._session.post(event)

    def raise_failure(self) -> None:
        """Raise what has ended the server, if anything has."""
        if self._serving is not None and self._serving.done():
            self._serving.result()

    # --- what a server does with a connection ------------------------------------------------------------------------

    async def _serve(self) -> None:
        await render_ahead(self._flow, self._services.engines.synthesizer, self._services.learned, MULAW_8K)
        await self._serve_line(self.line)

    async def _serve_line(self, line: SimulatedLine) -> None:
        leg = SocketLeg(
            LegId(f"leg{len(self._lines) + 1}"),
            socket=line,
            dialect=TwilioDialect(_ALWAYS_TAKEN),
            clock=self._clock,
            ticker=Ticker(self._clock),
            lead_ms=_LEAD_MS,
            transfers=self._transfers,
        )
        async with asyncio.TaskGroup() as tasks:

            def on_start(started: Started) -> None:
                incoming = IncomingCall(
                    self._call, leg, self._flow.name, self._caller_number, "+15550199", dict(started.parameters)
                )
                self._session = Session(self._flow, incoming, self._services, time_zone=self._time_zone)
                tasks.create_task(self._take(self._session, leg))

            line.dial()
            await line.close(*await leg.run(on_start))

    async def _take(self, session: Session, leg: SocketLeg) -> None:
        await session.run()
        await leg.hang_up(drain=False)


def _fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    assert isinstance(loop, VirtualLoop)
    loop.fail(context.get("exception") or ScriptError(context["message"]))


def _learned(inherited: Inherited) -> Learned:
    """Return what makes a session inherit this."""
    learned = Learned()
    for tool, ms in inherited.tool_latency_ms.items():
        learned.tool_took(tool, ms)
    for phrase, ms in inherited.phrase_ms.items():
        learned.phrase_is(phrase, ms)
    return learned


def _numbers_of(flow: Flow) -> dict[str, str]:
    """Return a number for everybody whom the flow transfers callers to: in a simulation all of them are there."""
    targets = [phase.ends.target for phase in flow.phases if isinstance(phase.ends, TransferTo)]
    return {target: f"+1555010{number:04}" for number, target in enumerate(dict.fromkeys(targets))}

"""The session: one call at run time. One queue, one reader; whatever happens to the call comes in as an event."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass

from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.ports import Clock, Engines, IncomingCall, ReplyModelEngine
from voiceagent.runtime.cascade import CascadeVoice
from voiceagent.runtime.journal import JournalStore, JournalWriter
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.performer import Performer
from voiceagent.spec.flow import Flow
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.vault import Vault

__all__ = ["Observer", "Services", "Session"]

_log = logging.getLogger(__name__)
_MOST_WAITING_EVENTS = 2_000
"""Beyond this the call is ended: control events are never dropped."""

Observer = Callable[[CallId, int, ev.Event, tuple[Outgoing, ...]], None]
"""Is told everything that happens in a call, on the event loop: the console and the demo listen here."""


@dataclass(frozen=True, slots=True)
class Services:
    """What all calls of a process share."""

    engines: Engines
    models: ReplyModelEngine
    tools: ToolExecutor
    journals: JournalStore
    clock: Clock
    learned: Learned
    observers: tuple[Observer, ...] = ()


class Session:
    """Runs one call from its first leg to its end."""

    def __init__(self, flow: Flow, incoming: IncomingCall, services: Services, *, time_zone: str = "UTC") -> None:
        self._flow = flow
        self._incoming = incoming
        self._services = services
        self._time_zone = time_zone
        self._queue: asyncio.Queue[ev.Event] = asyncio.Queue(_MOST_WAITING_EVENTS)
        self._vault = Vault()
        self._cancel_wake: Callable[[], None] | None = None
        self._wake_at_ms: int | None = None
        learned = services.learned
        self._inherited = Inherited(
            call=incoming.call, tool_latency_ms=learned.tool_latency_ms, phrase_ms=learned.phrase_ms
        )
        self._conversation = Conversation(flow, self._inherited)
        self._voice: CascadeVoice | None = None
        self._overflowed = False

    # --- what the leg reports to ---

    def audio_arrived(self, audio: bytes) -> None:
        """Caller audio goes to the voice, not through the queue."""
        if self._voice is not None:
            self._voice.hear(audio)

    def post(self, event: ev.Event) -> None:
        """Let something happen to the call. Never blocks; an overflow ends the call."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._overflowed = True

    # --- the call ---

    async def run(self) -> None:
        """Take the call; returns when it is over, its record is closed and nothing of it is left running."""
        journal = self._services.journals.open(
            self._flow, self._inherited, self._started(), on_broken=self._journal_broken
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._converse(tasks, journal)
        except* Exception as group:  # noqa: BLE001 - a call's outermost frame: this call ends, the others notice nothing
            _log.error("call %s failed", self._incoming.call, exc_info=group)
            self._record(journal, ev.CallEnded("internal error"))
            await self._incoming.leg.hang_up(drain=False)
        finally:
            self._stop_waking()
            await journal.close()

    async def _converse(self, tasks: asyncio.TaskGroup, journal: JournalWriter) -> None:
        services, leg = self._services, self._incoming.leg
        engines, flow = services.engines, self._flow
        voice = self._voice = CascadeVoice(
            vad=engines.vad.open(leg.audio_in),
            recognizer=engines.recognizer.open(leg.audio_in, locale=flow.locale),
            synthesizer=engines.synthesizer.open(leg.audio_out, voice=flow.voice, locale=flow.locale),
            model=services.models.open(flow, locale=flow.locale, time_zone=self._time_zone),
            leg=leg,
            language=self._conversation.state.language,
            clock=services.clock,
            tasks=tasks,
            post=self.post,
        )
        performer = Performer(
            voice=voice,
            leg=leg,
            tools=services.tools.for_call(self._incoming.call, self._conversation, self._vault),
            vault=self._vault,
            journal=journal,
            learned=services.learned,
            clock=services.clock,
            tasks=tasks,
            post=self.post,
        )
        self.post(self._started())
        self.post(ev.LegAttached(leg.id, leg.features.dialect))
        leg.attach(self)
        try:
            while not self._conversation.state.ended:
                event = await self._queue.get()
                if self._overflowed:
                    event = ev.CallEnded("too many events")
                for outgoing in self._record(journal, self._sealed(event)):
                    performer.perform(outgoing)
                self._wake_me()
        except asyncio.CancelledError:
            self._record(journal, ev.CallEnded("cancelled"))
            await leg.hang_up(drain=False)
            raise
        finally:
            await voice.close()
        await performer.finish()

    def _journal_broken(self, reason: str) -> None:
        # The call goes on; what cannot be undone is refused from here on, since it could not be recorded.
        _log.error("the journal of call %s is broken: %s", self._incoming.call, reason)

    def _started(self) -> ev.CallStarted:
        incoming = self._incoming
        return ev.CallStarted(
            locale=self._flow.locale,
            time_zone=self._time_zone,
            unix_ms=self._services.clock.unix_ms(),
            caller_number=incoming.caller_number,
            called_number=incoming.called_number,
            parameters=dict(incoming.parameters),
        )

    def _record(self, journal: JournalWriter, event: ev.Event) -> tuple[Outgoing, ...]:
        """Let the core handle an event: first it is written down, then it is handled, then its effects are written."""
        now_ms = self._services.clock.now_ms()
        journal.event(now_ms, event)
        outgoing = self._conversation.handle(event, now_ms)
        journal.effects(outgoing)
        for observe in self._services.observers:
            observe(self._incoming.call, now_ms, event, outgoing)
        return outgoing

    # --- secrets ---

    def _sealed(self, event: ev.Event) -> ev.Event:
        """Take secrets out before anything else sees the event."""
        match event:
            case ev.TranscriptFinal(utterance, text):
                sealing = self._conversation.sealing_of(utterance)
                if sealing is not None and text:
                    sealed = self._vault.seal(text, self._conversation.state.language, sealing)
                    return dataclasses.replace(event, text=sealed)
            case ev.TranscriptPartial(utterance, text):
                if self._conversation.sealing_of(utterance) is not None:
                    return dataclasses.replace(event, text="")
            case ev.DigitsPressed(digits, None):
                sealing = self._conversation.sealing_of()
                if sealing is not None and digits.isdigit():
                    handle = sealing.plan([len(digits)])[0][0][0]
                    self._vault.append(handle, digits)
                    return ev.DigitsPressed("•" * len(digits), handle)
            case _:
                pass
        return event

    # --- time ---

    def _wake_me(self) -> None:
        """Have TimePassed posted when the core wants it."""
        deadline_ms = self._conversation.deadline_ms
        if deadline_ms == self._wake_at_ms and self._cancel_wake is not None:
            return
        self._stop_waking()
        if deadline_ms is not None:
            self._wake_at_ms = deadline_ms
            self._cancel_wake = self._services.clock.call_at(deadline_ms, self._time_passed)

    def _time_passed(self) -> None:
        self._cancel_wake = None
        self.post(ev.TimePassed())

    def _stop_waking(self) -> None:
        if self._cancel_wake is not None:
            self._cancel_wake()
            self._cancel_wake = None

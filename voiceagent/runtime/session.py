"""The session: one call at run time. One queue, one reader; whatever happens to the call comes in as an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from pydantic import JsonValue

from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.errors import CallLost
from voiceagent.in_time import within
from voiceagent.logs import LoggedCall, log_failure, logged_call
from voiceagent.ports import (
    Clock,
    Engines,
    IncomingCall,
    Leg,
    ReplyModel,
    ReplyModelEngine,
    SpeechModelEngine,
    SpeechOff,
    SpeechOn,
    Voice,
)
from voiceagent.runtime.call_tasks import CallTasks
from voiceagent.runtime.call_time import CallTime
from voiceagent.runtime.cascade import CascadeVoice
from voiceagent.runtime.ears import Ears
from voiceagent.runtime.journal import JournalStore, JournalWriter
from voiceagent.runtime.journal_file import header_of
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.manners import Manners
from voiceagent.runtime.model_session import Setups
from voiceagent.runtime.own_voice import OwnVoice
from voiceagent.runtime.performer import Performer
from voiceagent.runtime.provider_records import ProviderRecords
from voiceagent.runtime.recorded_leg import RecordedLeg
from voiceagent.runtime.recording import STOPPED, Recording, Recordings
from voiceagent.runtime.resume import Folding, may_go_on_with
from voiceagent.runtime.sealed_events import sealed
from voiceagent.runtime.speech_voice import SpeechVoice
from voiceagent.runtime.spending import Meter, Spending
from voiceagent.runtime.tones import LineTones
from voiceagent.spec.flow import Flow
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.vault import Vault

__all__ = ["Observer", "Services", "Session"]

_log = logging.getLogger(__name__)
_MOST_WAITING_EVENTS = 2_000
"""Beyond this the call is ended: control events are never dropped."""
_APOLOGY_WITHIN_MS = 10_000
_LET_GO_WITHIN_MS = 5_000
_APOLOGY = UtteranceId("apology")

Observer = Callable[[CallId, int, ev.Event, tuple[Outgoing, ...]], None]
"""Is told everything that happens in a call, on the event loop: the demo listens here. The console reads journals."""


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
    recordings: Recordings | None = None
    """Where the sound of calls is recorded; None where it is not."""
    record_at_provider: bool = False
    """Whether their providers are asked to record them."""
    folding: Folding = field(default_factory=Folding)
    """Puts calls together again that were broken off."""
    speech_model: SpeechModelEngine | None = None
    """Hears and speaks in place of recognizer, model and synthesizer, which stand behind it."""
    spending: Spending | None = None
    """Counts what calls cost, and what is too much; None where nobody has said what anything costs."""


class Session:
    """Runs one call from its first leg to its end."""

    __slots__ = (
        "_at_provider",
        "_call",
        "_cancel_wake",
        "_conversation",
        "_failure",
        "_flow",
        "_incoming",
        "_journal",
        "_leg",
        "_listening",
        "_logged",
        "_meter",
        "_observers",
        "_on",
        "_overflowed",
        "_queue",
        "_recorded_as",
        "_recording",
        "_services",
        "_suffix",
        "_suspended",
        "_time",
        "_time_zone",
        "_tones",
        "_vault",
        "_voice",
        "_wake_at_ms",
    )

    def __init__(self, flow: Flow, incoming: IncomingCall, services: Services, *, time_zone: str = "UTC") -> None:
        self._flow = flow
        self._incoming = incoming
        self._call = incoming.call
        self._leg: Leg = incoming.leg
        self._services = services
        self._time_zone = time_zone
        self._time = CallTime(services.clock)
        self._suffix = ""
        """Of ids that are counted here and not by the core: a call that goes on has had some before."""
        self._recorded_as = incoming.call
        self._queue: asyncio.Queue[ev.Event] = asyncio.Queue()  # `post` bounds it
        self._vault = Vault()
        self._cancel_wake: Callable[[], None] | None = None
        self._wake_at_ms: int | None = None
        self._conversation: Conversation
        self._logged: LoggedCall
        self._observers = list(services.observers)
        self._journal: JournalWriter | None = None
        self._voice: Voice | None = None
        self._on = False
        """It has begun."""
        self._tones: LineTones | None = None
        self._recording: Recording | None = None
        self._at_provider: ProviderRecords | None = None
        self._meter: Meter | None = None
        self._listening = True
        self._overflowed = False
        self._suspended = False
        self._failure: Exception | None = None
        """What nobody was prepared for: the reader ends the call over it."""

    # --- what the leg reports to ---

    def audio_arrived(self, audio: bytes) -> None:
        """Caller audio goes to the voice, not through the queue."""
        if self._recording is not None:
            self._go_on_recording(lambda recording: recording.heard(audio))
        if self._voice is None or self._tones is None or not self._listening:
            return
        try:
            self._tones.hear(audio)
            self._voice.hear(audio)
        except Exception as exc:  # noqa: BLE001 - adapter boundary: a voice activity engine may raise anything
            self._listening = False
            self._fail(exc)

    def post(self, event: ev.Event) -> None:
        """Let something happen to the call. Never blocks; an overflow ends the call, but loses no outcome of a tool."""
        if self._queue.qsize() < _MOST_WAITING_EVENTS or isinstance(event, ev.ToolFinished | ev.ToolFailed):
            self._queue.put_nowait(event)
        else:
            self._overflowed = True

    def tell(self, name: str, payload: Mapping[str, JsonValue] | None) -> bool:
        """Let the host application's event happen to the call; False before it has begun."""
        if not self._on:
            return False
        self.post(ev.HostEvent(name, payload))
        return True

    def take(self, flow: Flow, changed: ev.AgentChanged) -> bool:
        """Let the call go on with another version of its agent; False before it has begun."""
        if not self._on:
            return False
        self._conversation.prepare(changed.version, flow)
        self.post(changed)
        return True

    def stop(self) -> None:
        """The server is about to stop: have the call brought to its end, with a goodbye."""
        self.post(ev.ServerStops())

    # --- the call ---

    async def run(self) -> None:
        """Take the call; returns when it is over, its record is closed and nothing of it is left running.

        Raises nothing, unless it is cancelled: whatever goes wrong ends this call, and the others notice nothing.
        """
        with (
            logged_call(self._call, self._vault.scrub) as self._logged,
            self._unharmed("was not brought to its end in good order"),
        ):
            try:
                async with AsyncExitStack() as at_the_end:
                    await self._take_call(at_the_end)
            finally:
                # They tell this, and so refer to it: what a call was made of is free at once, and no garbage.
                self._voice = self._tones = self._journal = self._recording = self._at_provider = self._failure = None
                self._leg = self._incoming.leg

    @property
    def recorded(self) -> CallId:
        """The id under which it is recorded, once it has begun."""
        return self._call

    @property
    def conversation(self) -> Conversation | None:
        """The call as it stands, for whoever looks on; None before it has begun."""
        return self._conversation if self._on else None

    @property
    def suspended(self) -> bool:
        """Whether the connection broke and the call may go on with another: its journal is open at the end."""
        return self._suspended

    @property
    def closing(self) -> bool:
        """Whether the end of the call has been asked for."""
        return self._on and (self._conversation.state.closing or self._conversation.state.ended)

    async def _take_call(self, at_the_end: AsyncExitStack) -> None:
        try:
            journal, beginning = await self._resumed() or await self._begun()
        except BaseException:
            await self._let_go()
            raise
        self._journal = journal
        at_the_end.push_async_callback(journal.close)
        if self._services.spending is not None:
            self._meter = self._services.spending.meter(
                agent=self._incoming.agent, caller=self._incoming.caller_number, used=self._conversation.usage
            )
        if self._services.recordings is not None:
            self._begin_recording(self._services.recordings, at_the_end)
        if self._services.record_at_provider:
            self._at_provider = ProviderRecords(self._leg, self._conversation.state)
        at_the_end.callback(self._vault.forget_all)
        at_the_end.callback(self._record_outcomes, journal)
        tasks = CallTasks(self._services.clock, failed=self._fail)
        at_the_end.push_async_callback(tasks.close)
        try:
            self._tones = tones = LineTones(self._leg.audio_in, self._services.clock, self.post)
            voice = self._voice_of(tasks, at_the_end)
            at_the_end.push_async_callback(self._close_voice, voice)
            performer = self._performer_of(voice, tones, journal, tasks)
            at_the_end.push_async_callback(performer.finish)
            self._voice, self._on = voice, True
            for event in beginning:
                self.post(event)
            self.post(ev.LegAttached(self._leg.id, self._leg.features.dialect))
            self._leg.attach(self)
            await self._converse(performer, journal)
        except asyncio.CancelledError:
            self._end(journal, "cancelled")
            raise
        except CallLost as exc:
            _log.warning("call %s: %s", self._call, exc)
            self._end(journal, str(exc))
            await self._apologise(journal, self._conversation.state.phrases.not_available)
        except Exception as exc:  # noqa: BLE001 - a call's outermost frame: its caller is owed an apology, whatever it was
            log_failure(_log, exc, "call %s failed", self._call)
            self._end(journal, "internal error")
            await self._apologise(journal, self._conversation.state.phrases.apology)
        finally:
            self._listening = False
            self._stop_waking()
            await self._let_go()

    def _begin_recording(self, recordings: Recordings, at_the_end: AsyncExitStack) -> None:
        try:
            recording = recordings.begin(
                self._recorded_as, self._incoming, self._conversation.state, self._services.clock, self.post
            )
        except Exception as exc:  # noqa: BLE001 - nobody is hung up on because their voice cannot be kept
            log_failure(_log, exc, "call %s is not recorded", self._call)
            return
        at_the_end.push_async_callback(recording.close)
        self._recording, self._leg = recording, RecordedLeg(self._leg, recording)

    async def _converse(self, performer: Performer, journal: JournalWriter) -> None:
        state = self._conversation.state
        while not state.ended:
            if self._overflowed:
                raise CallLost("too many events")
            event = await self._queue.get()
            if self._failure is not None:
                raise self._failure
            turn = state.turn
            for outgoing in self._record(journal, sealed(event, self._conversation, self._vault)):
                performer.perform(self._time.on_the_clock(outgoing))
            if state.turn != turn:
                self._logged.turn = state.turn
            if isinstance(event, ev.ToolFinished | ev.ToolFailed):
                # What has become of a write survives whatever happens now, like the intent that was on disk before it.
                journal.sync_soon(at_once=True)
            elif state.turn != turn:
                journal.sync_soon()
            if state.suspended and isinstance(event, ev.LegLost | ev.HandedOver):
                self._suspended = True
                return
            self._wake_me()

    def _voice_of(self, tasks: CallTasks, at_the_end: AsyncExitStack) -> Voice:
        engine = self._services.speech_model
        if engine is None or not self._conversation.state.voice_speaks:
            return self._cascade_of(self._ears_of(self.post, at_the_end), tasks)
        ears = self._ears_of(lambda event: voice.heard(event), at_the_end)  # noqa: PLW0108 - it is made below, of these
        setups = Setups(
            self._flow,
            engine.capabilities,
            audio_in=self._leg.audio_in,
            audio_out=self._leg.audio_out,
            time_zone=self._time_zone,
        )
        voice = SpeechVoice(
            engine,
            cascade=self._cascade_of(ears, tasks),
            ears=ears,
            setups=setups,
            flow=self._flow,
            leg=self._leg,
            clock=self._services.clock,
            tasks=tasks,
            post=self.post,
            suffix=self._suffix,
        )
        return voice

    def _ears_of(self, post: Callable[[ev.Event], None], at_the_end: AsyncExitStack) -> Ears:
        def late(change: SpeechOn | SpeechOff) -> None:
            for told in own.late(change):
                ears.decided(told)

        audio = self._leg.audio_in
        vad = self._services.engines.vad.open(audio, later=late)
        own = OwnVoice(vad, audio, agent_speaks=lambda: self._conversation.agent_is_audible)
        ears = Ears(own, audio, self._services.clock, post, suffix=self._suffix)
        # Whether or not there is to be a voice that closes them: what is opened behind them may fail.
        at_the_end.callback(ears.close)
        return ears

    def _cascade_of(self, ears: Ears, tasks: CallTasks) -> CascadeVoice:
        engines, flow, leg = self._services.engines, self._flow, self._leg
        manner = flow.manner_of(self._conversation.state.phase)
        return CascadeVoice(
            ears=ears,
            manners=Manners(engines, manner, audio_in=leg.audio_in, audio_out=leg.audio_out),
            end_of_turn=engines.end_of_turn,
            model=self._model_for,
            flow=flow,
            leg=leg,
            clock=self._services.clock,
            tasks=tasks,
            post=self.post,
        )

    def _model_for(self, flow: Flow) -> ReplyModel:
        return self._services.models.open(flow, locale=flow.locale, time_zone=self._time_zone)

    def _performer_of(self, voice: Voice, tones: LineTones, journal: JournalWriter, tasks: CallTasks) -> Performer:
        services = self._services
        return Performer(
            voice=voice,
            leg=self._leg,
            tools=services.tools.for_call(
                self._call, self._conversation, self._vault, caller_number=self._incoming.caller_number
            ),
            vault=self._vault,
            journal=journal,
            learned=services.learned,
            clock=services.clock,
            tasks=tasks,
            post=self.post,
            flow=lambda: self._conversation.state.flow,
            tones=tones,
        )

    async def _resumed(self) -> tuple[JournalWriter, Sequence[ev.Event]] | None:
        """Take a call up where it was broken off; None where there is nothing to be taken up.

        A connection that may not go on with what it names has a record of its own name: whoever the other is of would
        find this one in its place.
        """
        if self._incoming.names_itself:
            self._call = _of_its_own(self._call)
            return None
        found = await self._services.journals.resume(
            self._call, on_broken=self._journal_broken, seize=self._incoming.again
        )
        if found is None:
            return None
        journal, read = found
        if not may_go_on_with(read, self._incoming):
            _log.warning("call %s does not go on: another caller or another way than before", self._call)
            await journal.close()
            self._call = _of_its_own(self._call)
            return None
        try:
            folded = await self._services.folding.fold(read, self._flow)
        except Exception as exc:  # noqa: BLE001 - whatever another version has left behind, this caller is answered
            log_failure(_log, exc, "call %s cannot go on where it was broken off", self._call)
            await journal.close()
            return None
        gap_ms = folded.gap_ms(self._services.clock.unix_ms())
        if gap_ms > self._flow.limits.resume_within_ms:
            await journal.close()
            return None
        _log.info("call %s goes on after %d ms", self._call, gap_ms)
        self._call = self._logged.call = journal.call
        self._conversation = folded.conversation
        self._time.go_on_at(folded.last_ms + gap_ms)
        self._suffix = f"~{folded.resumed + 1}"
        self._recorded_as = CallId(f"{self._call}.{folded.resumed + 2}")
        events: list[ev.Event] = [ev.CallResumed(gap_ms)]
        if self._conversation.state.voice_speaks and self._services.speech_model is None:
            events.append(ev.VoiceChanged(speaks=False, replies_unasked=False, reason="no speech model goes on"))
        return journal, events

    async def _begun(self) -> tuple[JournalWriter, Sequence[ev.Event]]:
        journal = await self._services.journals.open(self._call, on_broken=self._journal_broken)
        started = self._started()
        self._begin(journal, started)
        return journal, [started]

    def _begin(self, journal: JournalWriter, started: ev.CallStarted) -> None:
        """Begin the conversation, under the id that it is recorded by: keys that make writes unique are made of it."""
        learned = self._services.learned
        self._call = self._logged.call = self._recorded_as = journal.call
        speaks = self._services.speech_model is not None
        inherited = Inherited(
            self._call,
            voice_speaks=speaks,
            replies_unasked=speaks,
            tool_latency_ms=learned.tool_latency_ms,
            phrase_ms=learned.phrase_ms,
        )
        self._conversation = Conversation(self._flow, inherited)
        journal.begin(header_of(self._flow, inherited, time_zone=started.time_zone, unix_ms=started.unix_ms))

    def _started(self) -> ev.CallStarted:
        incoming = self._incoming
        return ev.CallStarted(
            locale=self._flow.locale,
            time_zone=self._time_zone,
            unix_ms=self._services.clock.unix_ms(),
            caller_number=incoming.caller_number,
            called_number=incoming.called_number,
            parameters=dict(incoming.parameters),
            outbound=incoming.outbound,
        )

    # --- the record ---

    def _record(self, journal: JournalWriter, event: ev.Event) -> tuple[Outgoing, ...]:
        """Let the core handle an event: first it is written down, then it is handled, then its effects are written."""
        now_ms = self._time.now_ms()
        event = self._time.dated(event)
        journal.event(now_ms, event)
        outgoing = self._conversation.handle(event, now_ms)
        journal.effects(outgoing)
        self._read_meter()
        self._go_on_recording(lambda recording: recording.happened(event))
        if self._at_provider is not None and not self._conversation.state.ended:
            self._at_provider.happened(event)
        for observe in tuple(self._observers):
            try:
                observe(self._call, now_ms, event, outgoing)
            except Exception as exc:  # noqa: BLE001 - somebody else's code; who only looks on must not end the call
                log_failure(_log, exc, "call %s goes on without one of its observers", self._call)
                self._observers.remove(observe)
        return outgoing

    def _read_meter(self) -> None:
        limit = self._meter.limit_reached(self._conversation.usage) if self._meter is not None else None
        if limit is not None:
            self.post(ev.LimitReached(limit))

    def _go_on_recording(self, do: Callable[[Recording], None]) -> None:
        """Have something recorded of what is heard; whatever is wrong with that, the call goes on."""
        if self._recording is None:
            return
        try:
            do(self._recording)
        except Exception as exc:  # noqa: BLE001 - nobody is hung up on because their voice cannot be kept
            log_failure(_log, exc, "call %s is not recorded any more", self._call)
            self._recording = None
            self.post(ev.HostEvent(STOPPED, {"reason": "internal error"}))

    def _record_outcomes(self, journal: JournalWriter) -> None:
        """The call is over: of what has happened since, the record wants what has become of tools, and no more."""
        while not self._queue.empty():
            event = self._queue.get_nowait()
            if isinstance(event, ev.ToolFinished | ev.ToolFailed):
                self._record(journal, event)

    def _journal_broken(self, reason: str) -> None:
        if self._journal is not None and self._journal.taken_over:
            # The caller is there, too: whatever were said or done here would be so without them.
            _log.warning("call %s ends here: another worker has it", self._call)
            self.post(ev.LegLost(self._leg.id, "another worker has the call", may_return=True))
            return
        _log.error(
            "the journal of call %s stops: %s; the call goes on, but nothing is written to the outside any more",
            self._call,
            reason,
        )

    # --- the end, where it does not come by itself ---

    def _fail(self, problem: Exception) -> None:
        """Something broke that nobody was prepared for: have the reader end the call."""
        if self._failure is None and not self._conversation.state.ended:
            self._failure = problem
            self.post(ev.TimePassed())  # wakes the reader
        else:
            log_failure(_log, problem, "call %s: one more thing failed", self._call)

    @contextmanager
    def _unharmed(self, otherwise: str) -> Generator[None]:
        """Go on with what comes after the block, whatever happens in it."""
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - the call has to be brought to its end past any engine, leg or model
            log_failure(_log, exc, "call %s %s", self._call, otherwise)

    def _end(self, journal: JournalWriter, reason: str) -> None:
        if not self._conversation.state.ended:
            with self._unharmed("has a conversation that cannot be ended"):
                self._record(journal, ev.CallEnded(reason))

    async def _apologise(self, journal: JournalWriter, apology: str) -> None:
        """Say sorry, if there is still a voice to say it with, and hang up when it has been heard."""
        if self._voice is None:
            return
        with self._unharmed("ends without an apology"):
            async with within(_APOLOGY_WITHIN_MS, self._services.clock):
                self._voice.silence()
                self._leg.clear()
                self._voice.speak(_APOLOGY, 0, apology, last=True)
                await self._until_said(_APOLOGY, journal)
                await self._leg.hang_up(drain=True)

    async def _until_said(self, utterance: UtteranceId, journal: JournalWriter) -> None:
        """Wait until an utterance is with the leg, cannot be spoken, or nobody is there to hear it."""
        while True:
            match await self._queue.get():
                case ev.SpeechQueued(said) | ev.SpeechFailed(said) if said == utterance:
                    return
                case ev.LegLost():
                    return
                case ev.ToolFinished() | ev.ToolFailed() as outcome:
                    self._record(journal, outcome)
                case _:
                    pass

    async def _let_go(self) -> None:
        """Hang up; where that has been done already, the leg knows."""
        with self._unharmed("has a leg that does not hang up"):
            async with within(_LET_GO_WITHIN_MS, self._services.clock):
                await self._leg.hang_up(drain=False)

    async def _close_voice(self, voice: Voice) -> None:
        with self._unharmed("has an engine that cannot be left in good order"):
            async with within(_LET_GO_WITHIN_MS, self._services.clock):
                await voice.close()

    # --- time ---

    def _wake_me(self) -> None:
        """Have TimePassed posted when the core wants it."""
        deadline_ms = self._conversation.deadline_ms
        if deadline_ms == self._wake_at_ms and self._cancel_wake is not None:
            return
        self._stop_waking()
        if deadline_ms is not None:
            self._wake_at_ms = deadline_ms
            self._cancel_wake = self._time.call_at(deadline_ms, self._time_passed)

    def _time_passed(self) -> None:
        self._cancel_wake = None
        self.post(ev.TimePassed())

    def _stop_waking(self) -> None:
        if self._cancel_wake is not None:
            self._cancel_wake()
            self._cancel_wake = None


def _of_its_own(call: CallId) -> CallId:
    return CallId(f"{call}-{uuid4().hex[:12]}")

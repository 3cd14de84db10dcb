"""The speech-to-speech voice: one model hears and speaks, and its prompt and tools change under it without a gap.

A cascade stands behind it. It says the framework's own sentences, hears what no provider may hear, and takes over for
good where the model is lost: same phase, same facts, same history.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from voiceagent.backoff import Backoff
from voiceagent.core import events as ev
from voiceagent.core.effects import Message, ModelRequest, PrimePhase, RenewVoice, SwapPhase
from voiceagent.core.ids import Epoch, ReplyId, UtteranceId
from voiceagent.errors import VoiceFailed
from voiceagent.in_time import within
from voiceagent.ports import (
    CallerTranscribed,
    Clock,
    Leg,
    ModelReplyBegan,
    ModelToolRequested,
    RequestsWithdrawn,
    SessionEnding,
    SessionLost,
    SessionSetup,
    SetupInForce,
    SpeechCapabilities,
    SpeechModelEngine,
    SpeechModelEvent,
)
from voiceagent.runtime.call_tasks import CallTasks
from voiceagent.runtime.caller_audio import CallerAudio
from voiceagent.runtime.cascade import CascadeVoice
from voiceagent.runtime.connecting import Connections
from voiceagent.runtime.ears import Ears
from voiceagent.runtime.expiry import Expiry
from voiceagent.runtime.model_replies import ModelReplies, ReplyEvent
from voiceagent.runtime.model_session import LiveSession, Setups
from voiceagent.runtime.mouth import recordable
from voiceagent.runtime.own_turns import OwnTurns
from voiceagent.runtime.setup_change import SetupChange
from voiceagent.runtime.standby import Standbys
from voiceagent.runtime.weakly import weakly
from voiceagent.spec.flow import Flow

__all__ = ["SpeechVoice"]

_log = logging.getLogger(__name__)
_QUIET_WITHIN_MS = 1_000
"""A reply that was cancelled has ended by then, or the session is given up."""


class SpeechVoice:
    """One call's voice where a speech model hears and speaks. Fulfils the port `Voice`."""

    def __init__(
        self,
        engine: SpeechModelEngine,
        *,
        cascade: CascadeVoice,
        ears: Ears,
        setups: Setups,
        flow: Flow,
        leg: Leg,
        clock: Clock,
        tasks: CallTasks,
        post: Callable[[ev.Event], None],
        suffix: str = "",
    ) -> None:
        """Take the cascade over, closing this closes it; `ears` are its ears, and report to `heard` of this.

        `suffix` is that of the ids of replies that nobody asked for.
        """
        self._row = engine.capabilities
        self._cascade = cascade
        self._setups = setups
        self._flow = flow
        self._clock = clock
        self._tasks = tasks
        self._post = post
        self._replies = ModelReplies(leg.audio_out, cascade.mouth, cascade.language, post, suffix)
        self._caller = CallerAudio(
            leg.audio_in,
            cascade=cascade,
            ears=ears,
            transcribes=self._row.transcribes,
            clock=clock,
            post=post,
            send=weakly(self._send),
        )
        self._connections = Connections(
            engine,
            audio_in=leg.audio_in,
            clock=clock,
            tasks=tasks,
            happened=weakly(self._from_model),
            backoff=Backoff(seed=leg.id),
        )
        self._sent = SetupChange(clock)
        self._standbys = Standbys(
            self._connections.open,
            self._connections.end,
            clock=clock,
            tasks=tasks,
            post=post,
            oldest_ms=_oldest_ms(self._row),
        )
        self._expiry = Expiry(self._row, clock, weakly(self._near_its_end))
        self._own_turns = OwnTurns(self._row, clock, weakly(self._ask_if_free))
        self._live: LiveSession | None = None
        """The session that hears the caller and whose replies count."""
        self._lost = False
        """The cascade has taken over."""
        self._change: asyncio.Task[None] | None = None
        """What is putting another prompt or another session in force."""
        self._pending: tuple[ReplyId, ModelRequest] | None = None
        """A reply that was asked for while there was nobody to ask."""
        self._ends = False
        """The phase's words are the last: nothing is made ready for later."""

    # --- hearing -----------------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio."""
        self._caller.hear(audio)

    def _send(self, audio: bytes) -> None:
        if self._live is not None:
            self._live.hear(audio)

    def heard(self, event: ev.Event) -> None:
        """Pass on what the ears have noticed."""
        if isinstance(event, ev.CallerStartedSpeaking) and self._caller.began(event.utterance):
            self._expiry.spoke()
        elif isinstance(event, ev.CallerPaused) and self._caller.is_heard:
            self._own_turns.paused(event.at_ms)
        self._post(event)

    def transcribe(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """Have the words of an utterance, from whoever has heard it."""
        self._caller.transcribe(utterance, hints)

    def transcribe_so_far(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """Have the words of what goes on, where no model hears it."""
        self._cascade.transcribe_so_far(utterance, hints)

    def use(self, flow: Flow) -> None:
        """Give sessions what this flow says; what was made ready is of the one before."""
        self._flow = flow
        self._setups.use(flow)
        self._cascade.use(flow)
        self._standbys.close()

    # --- phases ------------------------------------------------------------------------------------------------------

    def swap(self, swap: SwapPhase) -> None:
        """Replace prompt and tools in the live session, or the session; the caller's audio waits meanwhile."""
        phase = self._flow.by_name[swap.phase]
        self._ends = phase.ends is not None
        self._caller.phase_begins(heard_by_model=phase.heard_by_model)
        if self._lost:
            self._cascade.swap(swap)
            return
        if not self._cascade.changes_manner(swap):  # in it fillers are said, and what the flow says itself
            return
        self._replies.language = self._cascade.language
        if not phase.has_model:
            if self._ends:
                self._standbys.close()
            # Nobody will ask the model anything, and what it says by itself is refused.
            self._post(ev.PhaseSwapped(swap.epoch))
            return
        setup = self._setups.of(swap.request, swap.manner)
        self._begin_change()
        if self._live is not None and self._takes(self._live, setup) and not self._replies.being_made(self._live):
            self._sent.send(self._live, setup)  # before anything else that is due now: the caller waits for it
        self._change = self._tasks.start(self._swap(swap, setup))

    async def _swap(self, swap: SwapPhase, setup: SessionSetup) -> None:
        await self._update(setup, swap.request)
        self._post(ev.PhaseSwapped(swap.epoch))

    async def _update(self, setup: SessionSetup, request: ModelRequest, *, in_place: bool = True) -> None:
        """Have the setup in force, in this session or in another; where neither can be had the cascade takes over."""
        try:
            # Less than the core waits: whoever takes over does so before the phase counts as not reached.
            async with within(self._flow.limits.swap_timeout_ms * 9 // 10, self._clock):
                if not (in_place and await self._in_place(setup, request)):
                    await self._another_session(setup, request)
        except TimeoutError:
            self._lose(f"{self._row.name} has not taken over phase {request.phase} in time")
        except VoiceFailed as exc:
            self._lose(recordable(exc))

    async def _in_place(self, setup: SessionSetup, request: ModelRequest) -> bool:
        """Change the live session; False where it cannot be changed, or does not confirm it."""
        live = self._live
        if live is None or not self._takes(live, setup):
            return False
        try:
            # The order is the point: no reply is being made, the new prompt holds, and only then come the results
            # that led here. A model that is told "done" before it has the new tools answers with the old ones.
            if request.epoch == live.setup.epoch and self._replies.is_wanted_of(live):
                self._go_on_with(live)  # a reply has begun in this phase: it will be asked again when that is over
                return True
            async with within(_QUIET_WITHIN_MS, self._clock):
                await self._replies.until_none_is_made(live)
            if live is not self._live or not await self._sent.confirmed(live, setup):
                return False
        except TimeoutError:
            _log.warning("%s has not taken over phase %s in time", self._row.name, request.phase)
            return False
        live.phase, live.setup = request.phase, setup
        live.tell(request.history)
        self._standbys.close()
        self._go_on_with(live)
        return True

    def _takes(self, live: LiveSession, setup: SessionSetup) -> bool:
        """Whether a live session can be changed to this."""
        return self._row.swap == "in_place" and setup.voice == live.setup.voice

    async def _another_session(self, setup: SessionSetup, request: ModelRequest) -> None:
        """Have another session go on from where the caller's audio was held. Raises VoiceFailed."""
        session = self._standbys.take(request.phase, setup) or await self._connections.open_trying_twice(
            request.phase, setup
        )
        try:
            history = await self._caller.with_late_words(request.history)
        except asyncio.CancelledError:
            self._end(session)
            raise
        if session.over and not self._lost:
            self._end(session)
            session = await self._connections.open(request.phase, setup)
        if self._lost:
            self._end(session)
            return
        self._promote(session, setup, history)

    def _promote(self, session: LiveSession, setup: SessionSetup, history: Sequence[Message]) -> None:
        """From here on this session hears the caller and only its replies count. The old one is never answered."""
        late_facts = "" if session.setup.late_facts else setup.late_facts
        session.setup = setup
        session.tell_all(late_facts, history)
        old, self._live = self._live, session
        lost = () if old is None else self._end(old)
        self._post(ev.SessionBegan(session.told, lost))
        self._caller.another_session_begins()
        self._expiry.watch(session.since_ms)
        self._go_on_with(session)

    def _go_on_with(self, session: LiveSession) -> None:
        """Let the caller be heard again, and ask what could not be asked in the meantime."""
        self._caller.go_on()
        if self._pending is not None and not self._replies.is_wanted_of(session) and self._own_turns.may_ask():
            (reply, request), self._pending = self._pending, None
            session.tell(request.history)
            session.asked = reply
            session.session.ask()

    def _changing(self, change: Coroutine[None, None, None]) -> None:
        self._begin_change()
        self._change = self._tasks.start(change)

    def _begin_change(self) -> None:
        """Keep what the caller says; a change that is under way is not wanted any more."""
        self._caller.hold()
        self._sent.forget()
        if self._change is not None:
            self._change.cancel()

    # --- standby, renewal, loss --------------------------------------------------------------------------------------

    def prime(self, prime: PrimePhase) -> None:
        """Make a session ready for a phase, where a live one cannot be changed."""
        if not self._lost and self._row.swap == "new_session":
            self._standbys.prime(prime.phase, self._setups.ahead_of(prime))

    def _near_its_end(self, left_ms: int) -> None:
        """The live session is to be replaced: have another one ready, then ask for a quiet moment."""
        if self._live is not None:
            if not self._ends:
                self._standbys.prime(self._live.phase, replace(self._live.setup, epoch=Epoch(0), late_facts=""))
            self._tasks.start(self._ask_for_renewal(self._live, self._clock.now_ms() + left_ms))

    async def _ask_for_renewal(self, live: LiveSession, ends_ms: int) -> None:
        await self._standbys.opened(live.phase)
        if live is self._live:
            self._post(ev.VoiceExpiring(max(0, ends_ms - self._clock.now_ms()), "the session is nearly over"))

    def renew(self, renew: RenewVoice) -> None:
        """Go on with another session: where one has been made ready, from one moment to the next."""
        if self._lost or (self._change is not None and not self._change.done()):
            return  # a swap is bringing a session of its own
        self._changing(self._update(self._setups.of(renew.request, renew.manner), renew.request, in_place=False))

    def _session_lost(self, event: SessionLost) -> None:
        """The live session is gone: another one is connected, unless that would be of no use."""
        self._caller.hold()
        self._sent.session_lost()
        lost, self._live = self._live, None
        if lost is not None:
            self._end(lost)
        self._caller.session_is_over()
        if event.permanent:
            self._lose(event.reason)
        elif self._change is None or self._change.done():
            self._post(ev.VoiceExpiring(0, event.reason))

    def _lose(self, reason: str) -> None:
        """No session is to be had: the cascade takes over, for the rest of the call."""
        if self._lost:
            return
        live, self._live = self._live, None
        self._lost = True
        self._caller.leave_to_cascade()
        self._pending = None
        self._expiry.close()
        self._standbys.close()
        if live is not None:
            self._end(live)
        self._post(ev.VoiceChanged(speaks=False, replies_unasked=False, reason=reason))
        self._caller.session_is_over()

    def _end(self, session: LiveSession) -> tuple[ReplyId, ...]:
        """Nobody wants this session any more; returns what it was making that somebody still wants."""
        lost = self._replies.abandon(session)
        self._connections.end(session)
        return lost

    # --- replies -----------------------------------------------------------------------------------------------------

    def ask(self, reply: ReplyId, request: ModelRequest) -> None:
        """Have a reply made to all that the model knows by now."""
        if self._lost:
            self._cascade.ask(reply, request)
        else:
            self._pending = (reply, request)
            self._ask_if_free()

    def _ask_if_free(self) -> None:
        """Ask for what is wanted, unless the session makes a reply by itself: the core decides first which it wants."""
        if self._live is None or self._pending is None or self._caller.held:
            return
        if not self._replies.is_wanted_of(self._live) and self._own_turns.may_ask():
            self._bring_up_to_date(self._live, self._pending[1])

    def _bring_up_to_date(self, live: LiveSession, request: ModelRequest) -> None:
        """Let the model have what is offered and known by now, which may have changed within the phase; then ask."""
        setup = self._setups.of(request, self._flow.manner_of(self._flow.by_name[request.phase]))
        if setup == replace(live.setup, known=setup.known):
            live.setup = setup
            self._go_on_with(live)
        elif self._row.swap == "new_session" and setup.tools == live.setup.tools:
            live.setup = setup
            live.tell_late(setup.late_facts)
            self._go_on_with(live)
        else:
            self._changing(self._update(setup, request))

    def cancel(self, reply: ReplyId) -> None:
        """Stop making a reply."""
        self._cascade.cancel(reply)
        if self._pending is not None and self._pending[0] == reply:
            self._pending = None
        if self._live is not None and self._live.asked == reply:
            self._live.asked = None
            self._live.session.cancel()
        self._replies.cancel(reply)
        self._ask_if_free()

    def play(self, reply: ReplyId, utterance: UtteranceId, *, from_ms: int) -> None:
        """Let the caller hear a reply that the voice makes itself, from here on; until then it is kept back."""
        self._replies.play(reply, utterance, from_ms=from_ms)

    def truncate(self, reply: ReplyId, heard_ms: int) -> None:
        """A reply was stopped: this much of it was heard."""
        self._replies.truncate(reply, heard_ms, live=self._live)

    # --- speaking ----------------------------------------------------------------------------------------------------

    def speak(self, utterance: UtteranceId, clause: int, text: str, *, last: bool, softly: bool = False) -> None:
        """Say a sentence of the framework's own, after everything before it."""
        self._cascade.speak(utterance, clause, text, last=last, softly=softly)

    def silence(self) -> tuple[UtteranceId, ...]:
        """Drop everything that has not been handed to the leg; returns whose it was."""
        return self._cascade.silence()

    # --- the model ---------------------------------------------------------------------------------------------------

    def _from_model(self, session: LiveSession, event: SpeechModelEvent) -> None:
        if isinstance(event, SessionLost):
            session.over = True
        if session is not self._live:
            if isinstance(event, SessionLost | SessionEnding):
                self._standbys.lost(session)
            return
        match event:
            case SetupInForce(epoch):
                self._sent.in_force(epoch)
            case CallerTranscribed():
                if event.final:
                    self._own_turns.over()
                self._caller.words_came(event)
                self._ask_if_free()
            case SessionEnding(left_ms):
                self._near_its_end(left_ms)
            case SessionLost():
                self._session_lost(event)
            case RequestsWithdrawn(requests):
                _log.info("the model has withdrawn %d requests", len(requests))
            case _:
                self._reply_goes_on(session, event)

    def _reply_goes_on(self, session: LiveSession, event: ReplyEvent) -> None:
        self._expiry.spoke()
        if isinstance(event, ModelReplyBegan):
            self._own_turns.over()
            self._caller.answered()
        elif isinstance(event, ModelToolRequested):
            session.requests[event.request] = None
        self._replies.happened(session, event)
        self._ask_if_free()

    async def close(self) -> None:
        """Give everything back, whatever one of them raises."""
        live, self._live = self._live, None
        self._lost = True
        self._expiry.close()
        self._own_turns.close()
        self._caller.close()
        self._standbys.close()
        if live is not None:
            self._end(live)
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._connections.all_ended, self._change)
            closing.push_async_callback(self._cascade.close)


def _oldest_ms(row: SpeechCapabilities) -> int | None:
    """Return for how long a session can stand by unheard; one that is nearly ended by its provider is of no use."""
    limits = (row.idle_limit_ms, row.session_limit_ms)
    return min((limit_ms * 3 // 4 for limit_ms in limits if limit_ms is not None), default=None)

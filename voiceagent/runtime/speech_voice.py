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

from voiceagent.core import events as ev
from voiceagent.core.effects import Message, ModelRequest, PrimePhase, RenewVoice, SwapPhase
from voiceagent.core.ids import Epoch, ReplyId, UtteranceId
from voiceagent.errors import VoiceFailed
from voiceagent.language import Language
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
    SpeechModelEngine,
    SpeechModelEvent,
    VoiceCapabilities,
)
from voiceagent.runtime.call_tasks import CallTasks, within
from voiceagent.runtime.caller_words import CallerWords
from voiceagent.runtime.cascade import CascadeVoice
from voiceagent.runtime.ears import Ears
from voiceagent.runtime.expiry import Expiry
from voiceagent.runtime.model_replies import ModelReplies, ReplyEvent
from voiceagent.runtime.model_session import LiveSession, Setups
from voiceagent.runtime.mouth import recordable
from voiceagent.runtime.standby import Standbys
from voiceagent.runtime.uplink import Uplink
from voiceagent.spec.flow import Flow

__all__ = ["SpeechVoice"]

_log = logging.getLogger(__name__)
_CONNECT_WITHIN_MS = 4_000
"""The caller waits in silence, but for a filler; the cascade speaks after this."""
_CONFIRM_WITHIN_MS = 3_000
"""A change of prompt and tools takes a provider some 50 ms (pipecat-flows PR 229)."""
_QUIET_WITHIN_MS = 2_000
"""A reply that was cancelled has ended by then, or the session is given up."""

_UNNOTICED_MS = 200
"""A voice that is on is noticed by then. No model answers what was said so shortly before: it waits for a pause."""


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
        language: Language,
        clock: Clock,
        tasks: CallTasks,
        post: Callable[[ev.Event], None],
    ) -> None:
        """Take the cascade over, closing this closes it; `ears` are its ears, and report to `heard` of this."""
        self._engine = engine
        self._row = engine.capabilities
        self._cascade = cascade
        self._ears = ears
        self._setups = setups
        self._flow = flow
        self._leg = leg
        self._clock = clock
        self._tasks = tasks
        self._post = post
        self._uplink = Uplink(leg.audio_in)
        self._replies = ModelReplies(leg.audio_out, cascade.mouth, language, post)
        self._words = CallerWords(clock, post)
        self._standbys = Standbys(
            self._connect, clock=clock, tasks=tasks, post=post, oldest_ms=_oldest_ms(self._row.idle_limit_ms)
        )
        self._expiry = Expiry(self._row, clock, self._near_its_end)
        self._live: LiveSession | None = None
        """The session that hears the caller and whose replies count."""
        self._lost = False
        """The cascade has taken over."""
        self._change: asyncio.Task[None] | None = None
        """What is putting another prompt or another session in force."""
        self._confirmation: tuple[Epoch, asyncio.Future[None]] | None = None
        self._pending: tuple[ReplyId, ModelRequest] | None = None
        """A reply that was asked for while there was nobody to ask."""
        self._withheld_until: int | None = None
        """Position at which the phase of secrets is over: what is being said there may be one, to its end."""
        self._answered_to = 0
        """Position up to which the caller's audio has been answered."""
        self._unheard: dict[UtteranceId, None] = {}
        """Utterances that the model could not hear: the cascade's recognizer has to."""

    @property
    def capabilities(self) -> VoiceCapabilities:
        """The row of the speech model."""
        return VoiceCapabilities(
            name=self._row.name,
            swap=self._row.swap,
            speaks=True,
            transcribes=self._row.transcribes,
            replies_unasked=True,
            session_limit_ms=self._row.session_limit_ms,
        )

    # --- hearing -----------------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio."""
        self._uplink.arrived(audio)
        self._cascade.hear(audio)
        if self._withheld_until is not None and self._uplink.end >= self._withheld_until and not self._ears.speaking:
            self._withheld_until = None
            self._uplink.withheld = False
        self._send_up()

    def _send_up(self) -> None:
        audio = self._uplink.due()
        if self._live is not None and audio:
            self._live.hear(audio)

    def heard(self, event: ev.Event) -> None:
        """Pass on what the ears have noticed."""
        if isinstance(event, ev.CallerStartedSpeaking):
            self._expiry.spoke()
            self._words.began(event.utterance)
            if self._uplink.withheld:
                self._unheard[event.utterance] = None
        self._post(event)

    def transcribe(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """Have the words of an utterance: the model sends them by itself, unless it could not hear them."""
        if utterance in self._unheard:
            del self._unheard[utterance]
            self._cascade.transcribe(utterance, hints, withheld=True)
        elif self._live is None or not self._row.transcribes:
            self._cascade.transcribe(utterance, hints)
        else:
            self._words.wait_for(utterance, hints)

    # --- phases ------------------------------------------------------------------------------------------------------

    def swap(self, swap: SwapPhase) -> None:
        """Replace prompt and tools in the live session, or the session; the caller's audio waits meanwhile."""
        phase = self._flow.by_name[swap.phase]
        cut = self._cut()
        if not phase.heard_by_model:
            self._uplink.withhold(cut)
            self._withheld_until = None
        elif self._uplink.withheld:
            self._withheld_until = self._uplink.end + self._uplink.position_of(_UNNOTICED_MS)
        if self._lost:
            self._cascade.swap(swap)
            return
        if not phase.has_model:
            self._post(
                ev.PhaseSwapped(swap.epoch)
            )  # nobody will ask it anything, and what it says by itself is refused
            return
        self._uplink.held = True
        self._changing(self._swap(swap, cut=cut))

    async def _swap(self, swap: SwapPhase, *, cut: int) -> None:
        await self._update(self._setups.of(swap.request, swap.voice), swap.request, cut=cut)
        self._post(ev.PhaseSwapped(swap.epoch))

    async def _update(self, setup: SessionSetup, request: ModelRequest, *, cut: int) -> None:
        """Have the setup in force, in this session or in another; where neither can be had the cascade takes over."""
        try:
            if not await self._in_place(setup, request):
                await self._another_session(setup, request, cut=cut)
        except VoiceFailed as exc:
            self._lose(recordable(exc))

    async def _in_place(self, setup: SessionSetup, request: ModelRequest) -> bool:
        """Change the live session; False where it cannot be changed, or does not confirm it."""
        live = self._live
        if live is None or self._row.swap != "in_place" or setup.voice != live.setup.voice:
            return False
        try:
            # The order is the point: no reply is being made, the new prompt holds, and only then come the results
            # that led here. A model that is told "done" before it has the new tools answers with the old ones.
            async with within(_QUIET_WITHIN_MS, self._clock):
                await self._replies.until_none_is_made(live)
            await self._confirmed(live, setup)
        except TimeoutError:
            _log.warning("%s has not taken over phase %s in time", self._row.name, request.phase)
            return False
        if live is not self._live:
            return False
        live.phase, live.setup = request.phase, setup
        live.tell(request.history)
        self._standbys.close()
        self._go_on_with(live)
        return True

    async def _confirmed(self, live: LiveSession, setup: SessionSetup) -> None:
        """Have the setup in force. Raises TimeoutError."""
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._confirmation = (setup.epoch, confirmed)
        try:
            live.session.update(setup)
            async with within(_CONFIRM_WITHIN_MS, self._clock):
                await confirmed
        finally:
            self._confirmation = None

    async def _another_session(self, setup: SessionSetup, request: ModelRequest, *, cut: int) -> None:
        """Have another session go on from this position of the caller's audio. Raises VoiceFailed."""
        session = self._standbys.take(request.phase, setup) or await self._connect_twice(request.phase, setup)
        try:
            history = await self._words.with_late(request.history, self._clock)
        except asyncio.CancelledError:
            self._tasks.start(session.session.close())
            raise
        self._promote(session, setup, history, cut=cut)

    def _promote(self, session: LiveSession, setup: SessionSetup, history: Sequence[Message], *, cut: int) -> None:
        """From here on this session hears the caller and only its replies count. The old one is never answered."""
        late_facts = "" if session.setup.late_facts else setup.late_facts
        session.setup = setup
        session.tell_all(late_facts, history)
        old, self._live = self._live, session
        if old is not None:
            self._replies.abandon(old)
            self._tasks.start(old.session.close())
        self._uplink.rewind(cut)
        self._expiry.watch()
        self._go_on_with(session)

    def _go_on_with(self, session: LiveSession) -> None:
        """Let the caller be heard again, and ask what could not be asked in the meantime."""
        self._uplink.held = False
        self._send_up()
        if self._pending is not None:
            (reply, request), self._pending = self._pending, None
            session.tell(request.history)
            session.asked.append(reply)
            session.session.ask()

    def _cut(self) -> int:
        """Return where another session begins to hear: at the sentence that is being said, or may have just begun."""
        began_ms, sent = self._ears.began_ms, self._uplink.sent
        begins = self._before(sent) if began_ms is None else self._uplink.position_of(began_ms)
        return min(max(begins, self._answered_to), sent)

    def _before(self, position: int) -> int:
        """Return so far back what nobody can have noticed yet at this position, let alone answered, may have begun."""
        return max(0, position - self._uplink.position_of(_UNNOTICED_MS))

    def _changing(self, change: Coroutine[None, None, None]) -> None:
        """Begin a change; one that is under way is not wanted any more."""
        self._words.change_begins()
        if self._change is not None:
            self._change.cancel()
        self._change = self._tasks.start(change)

    async def _connect(self, phase: str, setup: SessionSetup) -> LiveSession:
        """Return a session in which the setup is in force. Raises VoiceFailed."""
        try:
            async with within(_CONNECT_WITHIN_MS, self._clock):
                return await LiveSession.connect(
                    self._engine, phase, setup, audio_in=self._leg.audio_in, heard=self._from_model
                )
        except TimeoutError as exc:
            raise VoiceFailed(f"{self._row.name} could not be connected within {_CONNECT_WITHIN_MS} ms") from exc

    async def _connect_twice(self, phase: str, setup: SessionSetup) -> LiveSession:
        try:
            return await self._connect(phase, setup)
        except VoiceFailed as exc:
            if exc.permanent or isinstance(exc.__cause__, TimeoutError):
                raise  # a second wait as long as the first is more than a caller has patience for
            _log.info("%s; it is tried once more", exc)
            return await self._connect(phase, setup)

    # --- standby, renewal, loss --------------------------------------------------------------------------------------

    def prime(self, prime: PrimePhase) -> None:
        """Make a session ready for a phase, where a live one cannot be changed."""
        if not self._lost and self._row.swap == "new_session":
            self._standbys.prime(prime.phase, self._setups.ahead_of(prime))

    def _near_its_end(self, left_ms: int) -> None:
        """The live session is to be replaced: have another one ready, then ask for a quiet moment."""
        if self._live is not None:
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
        setup = self._setups.of(renew.request, renew.voice)
        self._uplink.held = True
        self._changing(self._renew(setup, renew.request, cut=self._cut()))

    async def _renew(self, setup: SessionSetup, request: ModelRequest, *, cut: int) -> None:
        try:
            await self._another_session(setup, request, cut=cut)
        except VoiceFailed as exc:
            self._lose(recordable(exc))

    def _session_lost(self, event: SessionLost) -> None:
        """The live session is gone: another one is connected, unless that would be of no use."""
        lost, self._live = self._live, None
        self._uplink.held = True
        if lost is not None:
            self._replies.abandon(lost)
            self._tasks.start(lost.session.close())
        self._hear_ourselves()
        if event.permanent:
            self._lose(event.reason)
        elif self._change is None or self._change.done():
            self._post(ev.VoiceExpiring(0, event.reason))

    def _lose(self, reason: str) -> None:
        """No session is to be had: the cascade takes over, for the rest of the call."""
        live, self._live = self._live, None
        self._lost = True
        self._uplink.held = True
        self._pending = None
        self._expiry.close()
        self._standbys.close()
        if live is not None:
            self._replies.abandon(live)
            self._tasks.start(live.session.close())
        self._post(ev.VoiceChanged(speaks=False, replies_unasked=False, reason=reason))
        self._hear_ourselves()

    def _hear_ourselves(self) -> None:
        """What the model was to say of the caller's words nobody will say any more."""
        for utterance, hints in self._words.give_up().items():
            self._cascade.transcribe(utterance, hints)

    # --- replies -----------------------------------------------------------------------------------------------------

    def ask(self, reply: ReplyId, request: ModelRequest) -> None:
        """Have a reply made to all that the model knows by now."""
        if self._lost:
            self._cascade.ask(reply, request)
        elif self._live is None or self._uplink.held:
            self._pending = (reply, request)
        else:
            self._pending = (reply, request)
            self._bring_up_to_date(self._live, request)

    def _bring_up_to_date(self, live: LiveSession, request: ModelRequest) -> None:
        """Let the model have what is offered and known by now, which may have changed within the phase; then ask."""
        setup = self._setups.of(request, live.setup.voice)
        if setup == live.setup:
            self._go_on_with(live)
        elif self._row.swap == "new_session" and setup.tools == live.setup.tools:
            live.setup = setup
            live.tell_late(setup.late_facts)
            self._go_on_with(live)
        else:
            self._uplink.held = True
            self._changing(self._update(setup, request, cut=self._cut()))

    def cancel(self, reply: ReplyId) -> None:
        """Stop making a reply."""
        self._cascade.cancel(reply)
        if self._pending is not None and self._pending[0] == reply:
            self._pending = None
        if self._live is not None and reply in self._live.asked:
            self._live.asked.remove(reply)
            self._live.session.cancel()
        self._replies.cancel(reply)

    def play(self, reply: ReplyId, utterance: UtteranceId, *, from_ms: int) -> None:
        """Let the caller hear a reply that was begun unasked, or again from where it was cut off."""
        self._replies.play(reply, utterance, from_ms=from_ms)

    def truncate(self, reply: ReplyId, heard_ms: int) -> None:
        """A reply was stopped: this much of it was heard."""
        self._replies.truncate(reply, heard_ms, live=self._live)

    # --- speaking ----------------------------------------------------------------------------------------------------

    def speak(self, utterance: UtteranceId, clause: int, text: str, *, last: bool) -> None:
        """Say a sentence of the framework's own, after everything before it."""
        self._cascade.speak(utterance, clause, text, last=last)

    def silence(self) -> tuple[UtteranceId, ...]:
        """Drop everything that has not been handed to the leg; returns whose it was."""
        return self._cascade.silence()

    # --- the model ---------------------------------------------------------------------------------------------------

    def _from_model(self, session: LiveSession, event: SpeechModelEvent) -> None:
        if session is not self._live:
            if isinstance(event, SessionLost):
                self._standbys.lost(session)
            return
        match event:
            case SetupInForce(epoch):
                if self._confirmation is not None and self._confirmation[0] == epoch:
                    _, confirmed = self._confirmation
                    if not confirmed.done():
                        confirmed.set_result(None)
            case CallerTranscribed():
                self._words.came(event)
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
            self._answered_to = self._before(self._uplink.sent)
        elif isinstance(event, ModelToolRequested):
            session.requests[event.request] = None
        self._replies.happened(session, event)

    async def close(self) -> None:
        """Give everything back, whatever one of them raises."""
        live, self._live = self._live, None
        self._lost = True
        self._expiry.close()
        self._words.give_up()
        self._standbys.close()
        if self._change is not None:
            self._change.cancel()
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._cascade.close)
            if live is not None:
                closing.push_async_callback(live.session.close)


def _oldest_ms(idle_limit_ms: int | None) -> int | None:
    """Return for how long a session can stand by unheard; one that is nearly ended by its provider is of no use."""
    return None if idle_limit_ms is None else idle_limit_ms * 3 // 4

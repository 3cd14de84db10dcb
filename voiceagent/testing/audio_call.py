"""A call in real audio as its caller and its server know it: what was said, heard and done, on one time line."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, UtteranceId
from voiceagent.errors import ScriptError
from voiceagent.ports import Clock
from voiceagent.spec.flow import Flow
from voiceagent.testing.agent_voice import AgentVoice, SpokenClause
from voiceagent.testing.call_record import CallRecord, RecordEntry
from voiceagent.testing.caller_voice import CallerVoice
from voiceagent.testing.simulated_tools import SimulatedTools
from voiceagent.testing.timeline import CallerUtteranceEnded, CallerUtteranceStarted, DigitSent, TimelineEvent

__all__ = ["AudioCall"]


class AudioCall:
    """One call; fulfils `ObservedCall`. Its first moment is that in which the caller begins to listen."""

    def __init__(self, flow: Flow, tools: SimulatedTools, clock: Clock) -> None:
        self.flow = flow
        self.call: CallId | None = None
        """The id by which it is recorded; None until the agent has taken it."""
        self.problem: Exception | None = None
        """What the script had no answer to: the call is broken off over it."""
        self.caller = CallerVoice()
        self._tools = tools
        self._clock = clock
        self._began_ms = clock.now_ms()
        self.record = CallRecord()
        self._ear = _Ear()
        self._fetching: set[str] = set()

    # --- what is noticed ---

    def dial(self) -> None:
        """The call begins now."""
        self._began_ms = self._clock.now_ms()

    def observe(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        """Note what has happened to the call and what was done about it; an observer of its session."""
        self.call = call
        at_ms = now_ms - self._began_ms
        self.record.entries.append((at_ms, event, outgoing))
        self._ear.happened(event, at_ms, began_ms=self._began_ms)
        if isinstance(event, ev.PrefetchFinished | ev.PrefetchFailed):
            self._fetching.discard(event.fetch)
        for out in outgoing:
            self._tools.asked(out.effect)
            self._ear.asked(out.effect, at_ms)
            if isinstance(out.effect, fx.Fetch):
                self._fetching.add(out.effect.fetch)

    def notice(self, moment: TimelineEvent) -> None:
        """Note what has been heard on the line."""
        match moment:
            case CallerUtteranceStarted(at_ms):
                self.caller.spells.append((at_ms, at_ms))
            case CallerUtteranceEnded(at_ms):
                self.caller.spells[-1] = (self.caller.spells[-1][0], at_ms)
                self.caller.ends_ms = at_ms
            case DigitSent(at_ms):
                self.caller.pressed(at_ms)
            case _:
                pass

    # --- what is known ---

    @property
    def now_ms(self) -> int:
        """Milliseconds since the call began."""
        return self._clock.now_ms() - self._began_ms

    @property
    def idle(self) -> bool:
        """Whether the agent has said everything and nothing is being worked on."""
        conversation = self._tools.conversation
        if conversation is None:
            return False
        return conversation.state.ended or not (
            conversation.is_working or self._fetching or self._ear.voice_until_ms > self.now_ms
        )

    @property
    def conversation(self) -> Conversation:
        """The session's own conversation, as it stands now."""
        if self._tools.conversation is None:
            raise ScriptError("the agent has not taken the call")
        return self._tools.conversation

    @property
    def journal(self) -> list[RecordEntry]:
        """Every instant, what happened at it, and what was done about it."""
        return self.record.entries

    @property
    def voice(self) -> AgentVoice:
        """What the caller hears: clauses as long as their audio, words by their letters."""
        return self._ear.voice

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._tools.conversation is not None and self._tools.conversation.state.ended

    @property
    def phase(self) -> str:
        """The current phase."""
        return self.conversation.phase

    @property
    def facts(self) -> dict[str, JsonValue]:
        """The facts that are known."""
        return self.conversation.state.facts.known()


@dataclass(slots=True)
class _Ear:
    """When which clause of the agent is heard, as the carrier's marks tell: within a frame or two."""

    voice: AgentVoice = field(default_factory=AgentVoice)
    voice_until_ms: int = 0
    """When everything that is on its way will have been heard."""
    _asked: dict[tuple[UtteranceId, int], fx.Speak] = field(
        default_factory=dict[tuple[UtteranceId, int], fx.Speak], init=False
    )
    _coming: list[SpokenClause] = field(default_factory=list[SpokenClause], init=False)
    """What is heard or will be."""
    _begun: dict[UtteranceId, int] = field(default_factory=dict[UtteranceId, int], init=False)
    _length_ms: dict[UtteranceId, int] = field(default_factory=dict[UtteranceId, int], init=False)

    def asked(self, effect: fx.Effect, at_ms: int) -> None:
        match effect:
            case fx.Speak(text=text) if text:
                self._asked[effect.utterance, effect.clause] = effect
            case fx.StopPlayout():
                self._asked.clear()
                self._cut(at_ms)
            case _:
                pass

    def happened(self, event: ev.Event, at_ms: int, *, began_ms: int) -> None:
        match event:
            case ev.SpeechQueued(utterance, clause, duration_ms):
                speak = self._asked.pop((utterance, clause), None)
                if speak is not None:
                    self._queue(speak, duration_ms, at_ms)
            case ev.PlayoutStarted(utterance, heard_from_ms):
                self._begun[utterance] = heard_from_ms - began_ms
                self._move(utterance, heard_from_ms - began_ms)
            case ev.PlayoutReached(utterance, clause):
                self._reached(utterance, clause, at_ms)
            case ev.LegLost() | ev.CallEnded():
                self._cut(at_ms)
            case _:
                pass

    def _queue(self, speak: fx.Speak, lasting_ms: int, at_ms: int) -> None:
        before_ms = self._length_ms.get(speak.utterance, 0)
        self._length_ms[speak.utterance] = before_ms + lasting_ms
        # Speech is played while it is still made: its beginning may have been heard before its length is known.
        first_ms = self._begun.get(speak.utterance, at_ms) if not before_ms else at_ms
        starts_ms = max(first_ms, self.voice_until_ms)
        self.voice_until_ms = starts_ms + lasting_ms
        clause = SpokenClause(
            speak.utterance,
            speak.clause,
            speak.text,
            speak.kind,
            starts_ms,
            self.voice_until_ms,
            before_ms,
            takes_ms=lasting_ms,
        )
        self.voice.said.append(clause)
        self._coming.append(clause)

    def _move(self, utterance: UtteranceId, at_ms: int) -> None:
        """It is known now when an utterance begins to be heard."""
        for clause in self._coming:
            if clause.utterance == utterance:
                length_ms = clause.length_ms
                clause.starts_ms, clause.ends_ms = at_ms, at_ms + length_ms
                at_ms += length_ms
                self.voice_until_ms = at_ms

    def _reached(self, utterance: UtteranceId, number: int, at_ms: int) -> None:
        while self._coming and self._coming[0].utterance == utterance and self._coming[0].clause <= number:
            heard = self._coming.pop(0)
            heard.starts_ms, heard.ends_ms = min(heard.starts_ms, at_ms), at_ms
            heard.takes_ms = heard.length_ms
        self._move(utterance, at_ms)

    def _cut(self, at_ms: int) -> None:
        for clause in self._coming:
            clause.ends_ms = min(clause.ends_ms, max(at_ms, clause.starts_ms))
        dropped = [clause for clause in self._coming if clause.starts_ms >= at_ms]
        self.voice.said = [clause for clause in self.voice.said if clause not in dropped]
        self._coming.clear()
        self.voice_until_ms = min(self.voice_until_ms, at_ms)

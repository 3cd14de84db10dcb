"""What a call knows about itself at any moment, and the outbox that its decisions go into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from voiceagent.core.authority import Authority
from voiceagent.core.effects import Effect, Outgoing
from voiceagent.core.ids import CallId, Epoch, LegId, TurnId
from voiceagent.language import Language
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import BeepHeard, Phase
from voiceagent.spec.wording import Phrases, Wording

__all__ = ["CallState", "Inherited", "Outbox"]


_NO_EPOCH = Epoch(0)
_NO_TURN = TurnId(0)


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a call is given at birth; it stands in the journal's header, since decisions depend on it."""

    call: CallId
    voice_speaks: bool = False
    """Replies come as audio of the voice's own: they are not synthesised."""
    replies_unasked: bool = False
    """The voice ends the caller's turns by itself."""
    tool_latency_ms: Mapping[str, int] = field(default_factory=dict[str, int])
    """Tool → how long it usually takes, learned from earlier calls."""
    phrase_ms: Mapping[str, int] = field(default_factory=dict[str, int])
    """Phrase → how long it is, where its audio has been rendered ahead."""


@dataclass(slots=True)
class CallState:
    """The facts about the call itself; everything else hangs on one of the desks."""

    flow: Flow
    inherited: Inherited
    language: Language
    """Of the current phase."""
    facts: Facts
    phase: Phase
    voice_speaks: bool = False
    """Replies come as audio of the voice's own: they are not synthesised."""
    voice_takes_turns: bool = False
    """The voice ends the caller's turns and begins replies by itself, where it hears the caller."""
    epoch: Epoch = _NO_EPOCH
    turn: TurnId = _NO_TURN
    now_ms: int = 0
    started_ms: int = 0
    unix_anchor_ms: int = 0
    """Wall clock at `started_ms`."""
    time_zone: str = "UTC"
    grants: dict[str, None] = field(default_factory=dict[str, None])
    legs: dict[LegId, None] = field(default_factory=dict[LegId, None])
    known: bool = False
    """CallStarted has come: the clock and the time zone are set."""
    started: bool = False
    """A first leg is there: the first phase has been entered."""
    suspended: bool = False
    """Nobody is connected, and somebody may be again: until then nothing is decided."""
    swapping: bool = False
    entered_ms: int = 0
    """When the current phase came into force."""
    phase_turns: int = 0
    """The caller's turns in this entry of the phase."""
    tool_calls: int = 0
    ended: bool = False
    outbound: bool = False
    """We have placed the call."""
    answered_by: Literal["nobody knows", "person", "machine"] | None = None
    """Who is on the other end of a call that we have placed, where the flow wants to know; None where it does not."""
    handed_over: str | None = None
    """Whom the carrier tries to reach for the caller: if they are connected again, nobody was there."""
    closing: bool = False
    """The end of the call has been asked for: nothing new begins."""

    @property
    def authority(self) -> Authority:
        """What holds now, for the one function that decides about tools."""
        return Authority(
            phase=self.phase.name,
            epoch=self.epoch,
            swapping=self.swapping,
            grants=tuple(self.grants),
            known_facts=tuple(self.facts.known()),
            tool_calls=self.tool_calls,
            ended=self.ended,
        )

    @property
    def locale(self) -> str:
        """That of the current phase: in it values are said."""
        return self.flow.language_of(self.phase)

    @property
    def wording(self) -> Wording:
        """What the framework itself says in the current phase."""
        return self.flow.wording_of(self.phase)

    @property
    def phrases(self) -> Phrases:
        """Its apologies and goodbyes."""
        return self.wording.phrases

    @property
    def only_listens(self) -> bool:
        """Whether nobody waits for an answer: who talks is not known yet, or is a machine that takes down messages."""
        if self.answered_by != "machine":
            return self.answered_by == "nobody knows"
        edges = self.flow.transitions_of(self.phase)
        return self.phase.ends is not None or any(isinstance(edge.on, BeepHeard) for edge in edges)

    @property
    def voice_hears(self) -> bool:
        """Whether a speech model hears the caller now: where nobody wants its replies it does not."""
        return self.voice_speaks and self.phase.heard_by_model

    @property
    def replies_unasked(self) -> bool:
        """Whether a reply to the caller's words begins without being asked for."""
        return self.voice_takes_turns and self.phase.heard_by_model and not self.only_listens

    @property
    def unix_ms(self) -> int:
        """Wall clock now, derived from the call's anchor."""
        return self.unix_anchor_ms + self.now_ms - self.started_ms


class Outbox:
    """Collects effects in their envelopes until the event that caused them has been handled."""

    def __init__(self, state: CallState) -> None:
        self._state = state
        self._sequence = 0
        self._waiting: list[Outgoing] = []

    def emit(self, effect: Effect) -> None:
        """Ask for something."""
        self._sequence += 1
        self._waiting.append(Outgoing(self._sequence, self._state.epoch, self._state.turn, effect))

    def take(self) -> tuple[Outgoing, ...]:
        """Return what was asked for since the last time, in order."""
        taken = tuple(self._waiting)
        self._waiting.clear()
        return taken

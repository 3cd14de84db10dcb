"""What a scripted call showed: how long the caller waited for each answer, and how fast an interruption was obeyed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from voiceagent.testing.caller import StepFailed
from voiceagent.testing.carrier import CarriedCall
from voiceagent.testing.lateness import Lateness
from voiceagent.testing.timeline import (
    AgentSpeechStarted,
    AgentSpeechStopped,
    CallerUtteranceEnded,
    CallerUtteranceStarted,
    Closed,
    DigitSent,
    TimelineEvent,
)

__all__ = ["BargeIn", "CallReport", "CallerTurn", "barge_ins", "caller_turns"]


@dataclass(frozen=True, slots=True)
class CallerTurn:
    """Something the caller said or pressed, and how long the agent took to be heard after it."""

    said: str
    """Name of the utterance, or the digits."""
    from_ms: int
    until_ms: int
    """End of the last voiced frame, or the last key."""
    answered_after_ms: int | None
    """Until the first loud frame of the agent. Negative: it did not let the caller finish. None: it never answered."""


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller spoke while the agent was speaking."""

    said: str
    at_ms: int
    silent_after_ms: int
    """Until the end of the agent's last loud frame. Long, where the agent did not give way."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """A scripted call, measured."""

    script: str
    timeline: tuple[TimelineEvent, ...]
    turns: tuple[CallerTurn, ...]
    barge_ins: tuple[BargeIn, ...]
    closed: Closed
    connected: bool
    """Whether the agent took the call; if not, `closed` says why."""
    failure: StepFailed | None
    """The step that did not come about; None: the script was followed to its end."""
    lateness: Lateness
    ignored_messages: int
    discarded_frames: int
    recording: Path | None
    """Stereo, 8 kHz: caller left, agent right, as heard."""

    @property
    def ok(self) -> bool:
        """Whether the whole script was followed."""
        return self.failure is None

    @classmethod
    def of(cls, carried: CarriedCall, *, script: str, failure: StepFailed | None, recording: Path | None) -> CallReport:
        """Measure a call that was carried."""
        return cls(
            script=script,
            timeline=carried.timeline,
            turns=tuple(caller_turns(carried.timeline)),
            barge_ins=tuple(barge_ins(carried.timeline)),
            closed=carried.closed,
            connected=carried.connected,
            failure=failure,
            lateness=carried.lateness,
            ignored_messages=carried.ignored_messages,
            discarded_frames=carried.discarded_frames,
            recording=recording,
        )


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A stretch of time in which somebody spoke or pressed keys."""

    what: str
    from_ms: int
    until_ms: int


def caller_turns(timeline: Sequence[TimelineEvent]) -> Iterator[CallerTurn]:
    """Yield the caller's turns in a timeline; keys pressed in a row are one turn."""
    agent = list(_agent_speech(timeline))
    spoken = list(_caller_stretches(timeline))
    for turn, following in zip_longest(spoken, spoken[1:]):
        answers = (
            speech.from_ms
            for speech in agent
            if speech.from_ms >= turn.from_ms
            and speech.until_ms > turn.until_ms
            and (following is None or speech.from_ms < following.from_ms)
        )
        answer_ms = next(answers, None)
        waited_ms = None if answer_ms is None else answer_ms - turn.until_ms
        yield CallerTurn(turn.what, turn.from_ms, turn.until_ms, waited_ms)


def barge_ins(timeline: Sequence[TimelineEvent]) -> Iterator[BargeIn]:
    """Yield the moments at which the caller's voice began while the agent was audible."""
    agent = list(_agent_speech(timeline))
    for event in timeline:
        if isinstance(event, CallerUtteranceStarted):
            for speech in agent:
                if speech.from_ms < event.at_ms < speech.until_ms:
                    yield BargeIn(event.name, event.at_ms, speech.until_ms - event.at_ms)


def _agent_speech(timeline: Sequence[TimelineEvent]) -> Iterator[_Stretch]:
    from_ms = 0
    for event in timeline:
        match event:
            case AgentSpeechStarted(at_ms):
                from_ms = at_ms
            case AgentSpeechStopped(at_ms):
                yield _Stretch("", from_ms, at_ms)
            case _:
                pass


def _caller_stretches(timeline: Sequence[TimelineEvent]) -> Iterator[_Stretch]:
    """Yield utterances and rows of keys; an utterance that the end of the call cut off has no end and is left out."""
    keys: _Stretch | None = None
    from_ms = 0
    for event in timeline:
        match event:
            case DigitSent(at_ms, digit):
                keys = _Stretch((keys.what if keys else "") + digit, keys.from_ms if keys else at_ms, at_ms)
                continue
            case CallerUtteranceStarted(at_ms):
                from_ms = at_ms
            case CallerUtteranceEnded(at_ms, name):
                yield _Stretch(name, from_ms, at_ms)
                continue
            case AgentSpeechStarted() | Closed():
                pass
            case _:
                continue
        if keys:  # whoever speaks next ends the row of keys
            yield keys
            keys = None

"""Events: everything a call can be told, in the past tense.

They are vocabulary: frozen, slotted, made of JSON values. The instant at which an event is handled is an argument of
`Conversation.handle`; what happened earlier carries `at_ms` on the same clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from voiceagent.core.ids import Epoch, FetchId, LegId, ReplyId, ToolCallId, UtteranceId

__all__ = [
    "AgentChanged",
    "CallEnded",
    "CallResumed",
    "CallStarted",
    "CallerPaused",
    "CallerStartedSpeaking",
    "CarrierDetected",
    "DigitsPressed",
    "Event",
    "HandedOver",
    "HostEvent",
    "LegAttached",
    "LegLost",
    "LimitReached",
    "PhaseSwapped",
    "PlayoutReached",
    "PlayoutStarted",
    "PlayoutStopped",
    "PrefetchFailed",
    "PrefetchFinished",
    "ReplyFailed",
    "ReplyFinished",
    "ReplyInterrupted",
    "ReplyStarted",
    "ReplyText",
    "ServerStops",
    "SessionBegan",
    "SpeechFailed",
    "SpeechQueued",
    "StandbyClosed",
    "SwapFailed",
    "TimePassed",
    "ToneHeard",
    "ToolFailed",
    "ToolFinished",
    "ToolRequested",
    "TranscriptFailed",
    "TranscriptFinal",
    "TranscriptPartial",
    "TransferFailed",
    "TurnJudged",
    "VoiceChanged",
    "VoiceExpiring",
    "VoiceFoundFaint",
]


# --- the call and its legs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The call exists. What else it inherits is in the journal's header."""

    locale: str
    time_zone: str
    """IANA name; dates the caller says are read in it."""
    unix_ms: int
    """Wall clock at this event: the anchor that turns monotonic time into dates."""
    caller_number: str | None = None
    called_number: str | None = None
    parameters: Mapping[str, str] | None = None
    """What the carrier or the dialling application passed along."""
    outbound: bool = False
    """We have placed it."""


@dataclass(frozen=True, slots=True)
class LegAttached:
    """A connection to the caller is ready: audio flows."""

    leg: LegId
    dialect: str
    """`twilio`, `browser`, `microphone`, `script`…"""


@dataclass(frozen=True, slots=True)
class LegLost:
    """A connection to the caller is gone, for this reason."""

    leg: LegId
    reason: str
    may_return: bool = False
    """Nobody has hung up: the carrier may connect the call again, and then it goes on."""


@dataclass(frozen=True, slots=True)
class CallResumed:
    """The journal has been folded: the call goes on with another connection; so long nobody was there."""

    gap_ms: int


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The carrier has the caller and tries to reach the target; if nobody takes them, it connects them to us again."""

    target: str


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """The caller could not be handed over, and is still connected to us unless they have hung up."""

    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over; nothing that follows has an effect."""

    reason: str


# --- the caller ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallerStartedSpeaking:
    """The caller's voice has begun."""

    utterance: UtteranceId
    at_ms: int


@dataclass(frozen=True, slots=True)
class CallerPaused:
    """The caller's voice has stopped, perhaps only to breathe; `at_ms` is the true end of it."""

    utterance: UtteranceId
    at_ms: int


@dataclass(frozen=True, slots=True)
class TranscriptPartial:
    """Words so far; they may still change. For barge-in and display, never for slots."""

    utterance: UtteranceId
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptFinal:
    """The words of one utterance; empty where it was noise. Sealed digits stand as handles."""

    utterance: UtteranceId
    text: str
    confidence: float | None = None
    in_audio: bool = False
    """A speech model has heard it too, and need not be told."""


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    """The recognizer could not say what one utterance was."""

    utterance: UtteranceId
    reason: str


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """A model has heard the caller pause after one utterance, and says how likely it is that they have finished."""

    utterance: UtteranceId
    done: float
    """0..1."""


@dataclass(frozen=True, slots=True)
class VoiceFoundFaint:
    """A voice that is on, or has just gone off, is so faint that it may be somebody's behind the caller.

    It comes as long as nobody has been heard any louder; a caller who is known is told from others by their own level.
    """

    utterance: UtteranceId
    below_db: int
    """How far it is below a usual voice."""


@dataclass(frozen=True, slots=True)
class DigitsPressed:
    """Keys pressed on the telephone. In a sensitive phase `digits` is a row of `•` and `handle` names the secret."""

    digits: str
    handle: str | None = None


@dataclass(frozen=True, slots=True)
class ToneHeard:
    """One steady tone came over the line and nothing beside it; it is over, or has gone on for so long already."""

    hz: int
    lasted_ms: int
    at_ms: int
    """When it began."""


@dataclass(frozen=True, slots=True)
class CarrierDetected:
    """The carrier says who has answered a call that we have placed, or that a greeting is over, in its own word."""

    answered_by: str


# --- the model -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """A reply has begun: one the core asked for, or one a speech model began on its own."""

    reply: ReplyId
    epoch: Epoch
    """Phase epoch of the prompt under which it is made."""


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next clause of a reply, in speakable pieces."""

    reply: ReplyId
    text: str


@dataclass(frozen=True, slots=True)
class ToolRequested:
    """The model asks for a tool or for a move."""

    reply: ReplyId
    request: str
    """The model's own id of this request; the result goes back under it."""
    name: str
    arguments: Mapping[str, JsonValue]
    problem: str | None = None
    """Set where the arguments were not a JSON object: the text that came instead, cut short."""


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    """The reply is complete: text, tool requests or both."""

    reply: ReplyId
    asks: str | None = None
    """Name of the expected answer that the reply asks for, where the model knows it."""
    input_tokens: int = 0
    output_tokens: int = 0
    understood: bool = True
    """False where the reply only says that it did not understand, and the model can tell."""
    cached_tokens: int = 0
    """Of the input: what the provider had in its prompt cache."""


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """The model failed and so did what stands behind it."""

    reply: ReplyId
    reason: str


@dataclass(frozen=True, slots=True)
class ReplyInterrupted:
    """A speech model has heard the caller cut in, and has given up the rest of its reply."""

    reply: ReplyId


@dataclass(frozen=True, slots=True)
class VoiceChanged:
    """Another voice has taken over in mid-call: a speech model was lost, a cascade goes on in its place."""

    speaks: bool
    """Replies come as audio of the voice's own: they are not synthesised."""
    replies_unasked: bool
    """It ends the caller's turns by itself."""
    reason: str


@dataclass(frozen=True, slots=True)
class VoiceExpiring:
    """The model session will end in so many milliseconds; 0: it has ended, and the caller's words are being kept."""

    left_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class SessionBegan:
    """Another model session goes on: it knows the history up to message `told`, nothing else that was said before."""

    told: int
    lost: tuple[ReplyId, ...] = ()
    """Replies that the session before it was making, or had been asked for: nothing more comes of them."""


@dataclass(frozen=True, slots=True)
class StandbyClosed:
    """A session that was made ready for a phase is no longer waiting: it was needed, or it was not."""

    phase: str
    open_ms: int
    """How long it was kept open, which providers may charge for."""
    used: bool


# --- tools and fetches -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call has returned; `result` is what it returned, as JSON."""

    call: ToolCallId
    result: JsonValue


@dataclass(frozen=True, slots=True)
class ToolFailed:
    """A tool call has come to nothing."""

    call: ToolCallId
    kind: Literal["failed", "timed_out", "refused", "crashed", "too_large", "cancelled", "unknown"]
    """`unknown`: a write whose outcome nobody knows; it is reconciled, never repeated."""
    reason: str
    """What the model may read and say."""


@dataclass(frozen=True, slots=True)
class PrefetchFinished:
    """A fetch has returned."""

    fetch: FetchId
    result: JsonValue


@dataclass(frozen=True, slots=True)
class PrefetchFailed:
    """A fetch has come to nothing; the model's own call will try again."""

    fetch: FetchId
    reason: str


# --- what the caller hears -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechQueued:
    """The audio of one clause is complete and on its way: from here its length is known."""

    utterance: UtteranceId
    clause: int
    duration_ms: int
    word_ends_ms: tuple[int, ...] | None = None
    """When each of its words is over, as they stand between spaces, from its beginning; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class SpeechFailed:
    """The synthesizer could not say one clause, or no more than the beginning of it."""

    utterance: UtteranceId
    clause: int
    reason: str
    said_ms: int = 0
    """How much audio of it there is: it is heard."""


@dataclass(frozen=True, slots=True)
class PlayoutStarted:
    """The caller hears the first sound of an utterance."""

    utterance: UtteranceId
    at_ms: int


@dataclass(frozen=True, slots=True)
class PlayoutReached:
    """The caller has heard an utterance up to the end of a clause."""

    utterance: UtteranceId
    clause: int
    heard_ms: int
    finished: bool
    """It was the last clause: the utterance is over."""


@dataclass(frozen=True, slots=True)
class PlayoutStopped:
    """Playout was stopped; this much of an unfinished utterance has been heard."""

    utterance: UtteranceId
    heard_ms: int
    exact: bool
    """Whether the far side said so, or it is an estimate."""


# --- phases, host, time ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PhaseSwapped:
    """Prompt and tools of this phase epoch are in force."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class SwapFailed:
    """The voice could not take over the prompt and tools of this phase epoch."""

    epoch: Epoch
    reason: str


@dataclass(frozen=True, slots=True)
class HostEvent:
    """The host application says something happened."""

    name: str
    payload: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class AgentChanged:
    """The agent's author has changed its files: the call goes on with this version from the next entry into a phase.

    Only where an agent is tried by whoever writes it: on the telephone a call keeps the version that it began with.
    """

    version: str
    """Digest of the files, under which they are kept."""
    before: str
    """The same of those that the call had until now."""
    flow_sha256: str
    prompts: Mapping[str, str]
    """Prompt file → hash of its text."""
    changes: tuple[str, ...] = ()
    """What is different, for the record."""


@dataclass(frozen=True, slots=True)
class ServerStops:
    """The server is about to stop: a call that still goes on is to be brought to its end in good order."""


@dataclass(frozen=True, slots=True)
class LimitReached:
    """A limit that is not the flow's is reached, in the words for the record: the call is to be brought to its end."""

    limit: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened, but a deadline of the core has come."""


Event = (
    CallStarted
    | LegAttached
    | LegLost
    | CallResumed
    | HandedOver
    | TransferFailed
    | CallEnded
    | CallerStartedSpeaking
    | CallerPaused
    | TranscriptPartial
    | TranscriptFinal
    | TranscriptFailed
    | TurnJudged
    | VoiceFoundFaint
    | DigitsPressed
    | ToneHeard
    | CarrierDetected
    | ReplyStarted
    | ReplyText
    | ToolRequested
    | ReplyFinished
    | ReplyFailed
    | ReplyInterrupted
    | VoiceChanged
    | VoiceExpiring
    | SessionBegan
    | StandbyClosed
    | ToolFinished
    | ToolFailed
    | PrefetchFinished
    | PrefetchFailed
    | SpeechQueued
    | SpeechFailed
    | PlayoutStarted
    | PlayoutReached
    | PlayoutStopped
    | PhaseSwapped
    | SwapFailed
    | HostEvent
    | AgentChanged
    | ServerStops
    | LimitReached
    | TimePassed
)

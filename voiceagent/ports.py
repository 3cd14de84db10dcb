"""Every port of the framework on one page: what the core's world must provide.

A port is a Protocol; an adapter is a class that fulfils it. Engines (`…Engine`) are process-wide and are opened once;
what they hand out (`…Handle`) belongs to one call and is closed with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from pydantic import JsonValue

from voiceagent.audio import Encoding
from voiceagent.core.effects import Message, ModelRequest, PrimePhase, RenewVoice, SwapPhase
from voiceagent.core.events import Event
from voiceagent.core.ids import CallId, Epoch, LegId, ReplyId, UtteranceId
from voiceagent.spec.flow import Flow
from voiceagent.spec.prompt import DEFAULT_LOCALE

__all__ = [
    "CALL_LEASE_MS",
    "MULAW_8K",
    "Announcement",
    "AttemptLimits",
    "AudioFormat",
    "CallHandler",
    "CallLease",
    "CallerTranscribed",
    "Clock",
    "CredentialBroker",
    "EndOfTurn",
    "Engines",
    "IncomingCall",
    "Leg",
    "LegEvents",
    "LegFeatures",
    "ModelInterrupted",
    "ModelReplyAudio",
    "ModelReplyBegan",
    "ModelReplyEnded",
    "ModelReplyText",
    "ModelToolRequested",
    "OfferedTool",
    "PerhapsUnable",
    "RecognizerEngine",
    "RecognizerHandle",
    "RecordedCall",
    "ReplyDone",
    "ReplyModel",
    "ReplyModelEngine",
    "ReplyPiece",
    "RequestsWithdrawn",
    "SentText",
    "SessionEnding",
    "SessionLost",
    "SessionSetup",
    "SetupInForce",
    "SharedJournals",
    "SharedState",
    "SharedStore",
    "SpeechCapabilities",
    "SpeechModelEngine",
    "SpeechModelEvent",
    "SpeechOff",
    "SpeechOn",
    "SpeechSession",
    "SpentLately",
    "SynthesizerEngine",
    "SynthesizerHandle",
    "ToolRequest",
    "Transcript",
    "VadEngine",
    "VadHandle",
    "Voice",
    "WordsSpoken",
]


# --- audio -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How audio bytes are to be read. Always mono; `pcm16` is signed, little-endian."""

    encoding: Encoding
    rate_hz: int

    @property
    def bytes_per_ms(self) -> int:
        """Bytes that one millisecond of audio takes."""
        return self.rate_hz // 1000 * self.sample_bytes

    @property
    def sample_bytes(self) -> int:
        """Bytes that one sample takes."""
        return 2 if self.encoding == "pcm16" else 1


MULAW_8K = AudioFormat("mulaw", 8000)
"""What telephone media sockets carry: G.711 µ-law, 160 bytes for 20 ms."""


# --- engines ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechOn:
    """The caller's voice began at `at_ms` of audio time (0 = first byte that the handle was fed)."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechOff:
    """The caller's voice ended at `at_ms` of audio time: its true end, not the moment of the decision."""

    at_ms: int


class VadHandle(Protocol):
    """Voice activity of one call. Cheap enough to be called for every frame on the event loop."""

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        """Take the next bytes of caller audio, any length, and return what they decide, but for what is told later.

        Raises what the engine has failed with for this call, now or since it was fed last.
        """
        ...

    @property
    def audible_since_ms(self) -> int | None:
        """Audio time from which the line has not been silent up to what was fed last; None where it is silent.

        Nobody may have told yet whether it is a voice: a sentence that is about to be noticed has begun in it.
        """
        ...

    def close(self) -> None:
        """Forget this call: nothing more is told of it."""
        ...


class VadEngine(Protocol):
    """Voice yes or no; the same engine serves every call of the process."""

    def open(self, audio: AudioFormat, *, later: Callable[[SpeechOn | SpeechOff], None] | None = None) -> VadHandle:
        """Return a handle for one call whose audio has this format.

        What an engine has not decided when `feed` returns it tells `later`, on the event loop, in the order of the
        audio and 10 ms afterwards: so it can judge many calls together. Without `later`, `feed` returns everything.
        What is decided, and of which moment of the audio, does not depend on when it is judged. It may depend on who is
        judged beside it in as much as sums are rounded otherwise: where a moment lies at the very threshold.
        """
        ...

    def close(self) -> None:
        """Release what the engine holds."""
        ...


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a recognizer heard; `text` is empty where it was noise. `confidence` is 0..1, or None where unknown."""

    text: str
    confidence: float | None = None


class RecognizerHandle(Protocol):
    """The recognizer as one call sees it."""

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        """Return the words in one whole utterance, given in the handle's format.

        `hints` are words and names that the caller may say; not every engine can use them. Raises VoiceFailed where
        the engine failed.
        """
        ...

    def close(self) -> None:
        """Forget this call; a transcription under way is abandoned."""
        ...


class RecognizerEngine(Protocol):
    """Speech to text, shared by all calls of the process; one worker per model instance."""

    @property
    def healthy(self) -> bool:
        """Whether utterances come out as words at the moment; where not, no new calls are taken."""
        ...

    @property
    def languages(self) -> Sequence[str]:
        """What it understands, as subtags such as "en"."""
        ...

    def open(self, audio: AudioFormat, *, locale: str) -> RecognizerHandle:
        """Return a handle for one call."""
        ...

    def close(self) -> None:
        """Stop the workers and release the model."""
        ...


@dataclass(frozen=True, slots=True)
class WordsSpoken:
    """When each word of the audio that was yielded last ends, where a synthesizer knows."""

    words: tuple[str, ...]
    ends_ms: tuple[int, ...]
    """When the last sound of each is over, from the beginning of the whole text."""


class SynthesizerHandle(Protocol):
    """The synthesizer as one call hears it."""

    def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes | WordsSpoken]:
        """Yield the audio of `text` in the handle's format, piece by piece, as soon as it is there, and its words.

        `softly`: half as loud, so that it does not take the floor; an engine that cannot is made so by who is before
        it. Words follow their audio; who does not know when they end yields none. Raises VoiceFailed where the engine
        failed. Abandoning the iterator abandons the synthesis.
        """
        ...

    def close(self) -> None:
        """Forget this call."""
        ...


@runtime_checkable
class PerhapsUnable(Protocol):
    """A recognizer's or a synthesizer's handle that was opened although there may be nothing behind it."""

    @property
    def unable(self) -> str | None:
        """Why nothing can be heard or said with it; None where it can."""
        ...


class SynthesizerEngine(Protocol):
    """Text to speech, shared by all calls; what was rendered ahead comes from one process-wide cache, and nothing of
    what a call says enters it."""

    @property
    def healthy(self) -> bool:
        """Whether texts come out as speech at the moment; where not, no new calls are taken."""
        ...

    @property
    def languages(self) -> Sequence[str]:
        """What it speaks, as subtags such as "en"."""
        ...

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> SynthesizerHandle:
        """Return a handle for one manner of speaking in one call; a call that changes it has several.

        `voice` None is the engine's default; `speaking_rate` is 0.5 to 2 times as fast as the voice's own, None as it
        is. Raises OperatorError for what the engine has not got.
        """
        ...

    async def render(
        self,
        text: str,
        audio: AudioFormat,
        *,
        voice: str | None,
        locale: str = DEFAULT_LOCALE,
        speaking_rate: float | None = None,
    ) -> bytes:
        """Synthesise `text` whole and keep it in the cache: fillers and greetings, ahead of their use."""
        ...

    def close(self) -> None:
        """Stop the workers and release the model."""
        ...


class EndOfTurn(Protocol):
    """Hears whether a caller who pauses has finished; the same engine serves every call of the process."""

    async def done(self, audio: bytes, audio_format: AudioFormat) -> float:
        """Return how likely that is, 0..1, by what was said up to the pause; the last 8 s of it count.

        Raises VoiceFailed. An answer that comes late is of no use: nobody waits for one longer than a pause lasts.
        """
        ...

    def close(self) -> None:
        """Release what the engine holds."""
        ...


@dataclass(frozen=True, slots=True)
class Engines:
    """What a process hears and speaks with."""

    vad: VadEngine
    recognizer: RecognizerEngine
    synthesizer: SynthesizerEngine
    end_of_turn: EndOfTurn | None = None
    """None: words and silence decide alone."""

    @property
    def healthy(self) -> bool:
        """Whether a new call would be heard and spoken to."""
        return self.recognizer.healthy and self.synthesizer.healthy

    @property
    def languages(self) -> Sequence[str]:
        """What is both heard and spoken, as subtags such as "en"."""
        return tuple(language for language in self.recognizer.languages if language in self.synthesizer.languages)

    def close(self) -> None:
        """Close all of them, whatever one of them raises."""
        with ExitStack() as closing:
            if self.end_of_turn is not None:
                closing.callback(self.end_of_turn.close)
            closing.callback(self.vad.close)
            closing.callback(self.recognizer.close)
            closing.callback(self.synthesizer.close)


# --- models ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SentText:
    """The next piece of a reply's text, any length: a token, a sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """The model asks for a tool or a move; `arguments` is the JSON text as the model wrote it."""

    request: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The reply is complete. Always the last piece."""

    asks: str | None = None
    """Name of the expected answer that the reply asks for, where the model knows it."""
    input_tokens: int = 0
    output_tokens: int = 0
    understood: bool = True
    """False where the reply only says that it did not understand, and the model can tell."""
    cached_tokens: int = 0
    """Of the input: what the provider had in its prompt cache."""


ReplyPiece = SentText | ToolRequest | ReplyDone


class ReplyModel(Protocol):
    """A text model as one call sees it: text in, text and tool requests streamed out."""

    def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        """Stream one reply. Raises VoiceFailed. Abandoning the iterator cancels the generation."""
        ...

    async def close(self) -> None:
        """Forget this call."""
        ...


class ReplyModelEngine(Protocol):
    """A text model, shared by all calls of the process."""

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> ReplyModel:
        """Return a handle for one call of this flow."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


# --- speech models ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechCapabilities:
    """What a speech-to-speech model can do: one row per provider, the same questions for all of them."""

    name: str
    swap: Literal["in_place", "new_session"]
    """How prompt and tools are replaced: `update` on the live session, or another session is connected."""
    audio_in: tuple[AudioFormat, ...]
    """What it hears, best first; a leg's own format is taken where it is among them."""
    audio_out: tuple[AudioFormat, ...]
    """What it speaks, best first."""
    transcribes: bool
    """Whether the caller's words come as text, at least late."""
    session_limit_ms: int | None = None
    """After this a provider ends the session; it is renewed before."""
    idle_limit_ms: int | None = None
    """Without speech for so long a provider ends the session."""
    turn_ends_after_ms: int | None = None
    """Silence after which it takes the caller's words for said, by itself; None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool or a move as a model is shown it."""

    name: str
    description: str
    parameters: Mapping[str, JsonValue]
    """JSON schema of an object."""


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """What a model session is given to begin with, or is updated to: one phase's prompt and tools, never the flow."""

    epoch: Epoch
    prompt: str
    """Static part: the same for every call of the phase."""
    late_facts: str
    """What day it is; empty where the session is primed ahead, then it follows as a note."""
    tools: tuple[OfferedTool, ...]
    voice: str | None
    """A voice of the provider's; None is its default."""
    audio_in: AudioFormat
    audio_out: AudioFormat
    known: str = ""
    """What tools have found out about the call, as a note: it is told, and is no part of the prompt."""
    language: str | None = None
    """The locale that is spoken; None where nobody has said."""
    speaking_rate: float | None = None
    """Times as fast as the voice speaks by itself; None: as it does. A model that cannot do that speaks as it does."""


@dataclass(frozen=True, slots=True)
class SetupInForce:
    """`update` has been confirmed: what it asked for holds for every reply that begins from here on."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class ModelReplyBegan:
    """The model has begun a reply, asked for or by itself; `reply` is its own id, unique within the session."""

    reply: str


@dataclass(frozen=True, slots=True)
class ModelReplyAudio:
    """The next audio of a reply, in the setup's format, usually faster than it is heard."""

    reply: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class ModelReplyText:
    """The next words of what a reply says aloud; they may come before their audio or after it."""

    reply: str
    text: str


@dataclass(frozen=True, slots=True)
class ModelToolRequested:
    """The model asks for a tool or a move; `arguments` is the JSON text as it wrote it."""

    reply: str
    request: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ModelReplyEnded:
    """Nothing follows of a reply: it is complete, was cancelled or broken off, or failed for `reason`."""

    reply: str
    outcome: Literal["complete", "cancelled", "failed"]
    reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input: what the provider had in its prompt cache."""


@dataclass(frozen=True, slots=True)
class ModelInterrupted:
    """The model has heard the caller cut in and gives up what it was saying: what is queued of it is stale."""

    reply: str


@dataclass(frozen=True, slots=True)
class CallerTranscribed:
    """Words of the caller as the model heard them. A final follows its partials and repeats none of another final."""

    text: str
    final: bool
    heard_ms: tuple[int, int] | None = None
    """From when to when of the audio that the session was given; None where the provider does not say."""


@dataclass(frozen=True, slots=True)
class RequestsWithdrawn:
    """The model no longer wants the results of these requests; nothing is to be sent for them."""

    requests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionEnding:
    """The provider will end the session in so many milliseconds: another one is due."""

    left_ms: int


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The session is over and nobody here asked for it; nothing follows. `permanent`: another would fare the same."""

    reason: str
    permanent: bool


SpeechModelEvent = (
    SetupInForce
    | ModelReplyBegan
    | ModelReplyAudio
    | ModelReplyText
    | ModelToolRequested
    | ModelReplyEnded
    | ModelInterrupted
    | CallerTranscribed
    | RequestsWithdrawn
    | SessionEnding
    | SessionLost
)


class SpeechSession(Protocol):
    """One connection to a speech model that hears, decides when the caller has finished, and speaks.

    Methods queue what is to be sent and return at once, in order; what cannot be sent ends the session: SessionLost.
    """

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio, in the setup's format, any length."""
        ...

    def update(self, setup: SessionSetup) -> None:
        """Replace prompt and tools; SetupInForce follows. Only where `swap` is `in_place`, and no reply is being made.

        Formats cannot change, nor the voice once it has spoken.
        """
        ...

    def tell(self, messages: Sequence[Message]) -> None:
        """Let the model know what happened, in order, without making it speak.

        A result of one of this session's own open requests answers it; all else is told in words, in the provider's
        shape and within its limits. Before the first audio this is the history of the call.
        """
        ...

    def ask(self) -> None:
        """Have the model reply to what it knows. While a reply is being made this waits for its end."""
        ...

    def cancel(self) -> None:
        """Break off the reply that is being made, and forget an `ask` not sent yet. ModelReplyEnded follows."""
        ...

    def truncate(self, reply: str, heard_ms: int) -> None:
        """Cut what the model believes to have said to what was heard of it. Nothing where it cannot, or at 0."""
        ...

    async def close(self) -> None:
        """End the session; nothing is posted after this has been called. Returns in bounded time."""
        ...


class SpeechModelEngine(Protocol):
    """A speech-to-speech model, for all calls of the process."""

    @property
    def capabilities(self) -> SpeechCapabilities:
        """The provider's row."""
        ...

    async def connect(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]) -> SpeechSession:
        """Return a session in which the setup is in force, ready for history and audio.

        `post` is called on the event loop, never before this returns. Raises VoiceFailed; abandoning the call
        (cancellation) leaves no connection behind.
        """
        ...

    async def close(self) -> None:
        """Release what the engine holds."""
        ...


# --- voices ----------------------------------------------------------------------------------------------------------


class Voice(Protocol):
    """How one call hears and speaks: a cascade of engines, or one speech-to-speech model.

    Methods start work and return at once; outcomes are posted as events to the sink that the voice was opened with.
    """

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio, in the leg's incoming format."""
        ...

    def swap(self, swap: SwapPhase) -> None:
        """Replace prompt and tools: PhaseSwapped or SwapFailed follows."""
        ...

    def prime(self, prime: PrimePhase) -> None:
        """Make ready for a phase that may come next."""
        ...

    def use(self, flow: Flow) -> None:
        """The agent has been changed: from the next swap on, phases and tools are those of this flow."""
        ...

    def renew(self, renew: RenewVoice) -> None:
        """Replace the model session, which VoiceExpiring was posted for."""
        ...

    def ask(self, reply: ReplyId, request: ModelRequest) -> None:
        """Make a reply."""
        ...

    def cancel(self, reply: ReplyId) -> None:
        """Stop making a reply, and let nothing more of it be heard."""
        ...

    def play(self, reply: ReplyId, utterance: UtteranceId, *, from_ms: int) -> None:
        """Let the caller hear a reply that the voice makes itself, from here on; until then it is kept back."""
        ...

    def truncate(self, reply: ReplyId, heard_ms: int) -> None:
        """A reply that the voice spoke itself was stopped: this much of it was heard."""
        ...

    def transcribe(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """Transcribe an utterance that has paused."""
        ...

    def transcribe_so_far(self, utterance: UtteranceId, hints: Sequence[str]) -> None:
        """Transcribe what has been said of an utterance that goes on; nothing comes of it where that cannot be."""
        ...

    def speak(self, utterance: UtteranceId, clause: int, text: str, *, last: bool, softly: bool = False) -> None:
        """Synthesise a clause and hand its audio to the leg, after everything before it."""
        ...

    def silence(self) -> tuple[UtteranceId, ...]:
        """Drop what has not been handed to the leg; returns the utterances it belonged to."""
        ...

    async def close(self) -> None:
        """Release the call's handles."""
        ...


# --- legs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LegFeatures:
    """What a dialect does itself (`in_band`), by its provider's REST interface, or not at all."""

    dialect: str
    clear: bool
    """Whether queued audio can be taken back."""
    marks: bool
    """Whether the far side says what has been played."""
    marks_return_on_clear: bool
    """Whether a clear sends pending marks back: then an echo alone does not mean heard."""
    digits_out: Literal["in_band", "rest", "no"]
    """Keys pressed by the agent."""
    transfer: Literal["in_band", "rest", "redirect", "no"]
    """`redirect`: the provider asks what next once the connection is closed."""
    hang_up: Literal["in_band", "rest", "close"]
    digits_in: Literal["in_band", "no"]
    """Keys pressed by the caller."""
    position: Literal["marks", "clock"]
    """By what the agent knows how much of its speech was heard."""
    stop_reason: bool
    """Whether the far side says why its caller has gone."""
    key_ms: int = 0
    """How long the far side presses a key for the agent, the pause after it included. It says nothing when it has."""
    record: Literal["rest", "no"] = "no"
    """Whether the provider records the call when it is asked to."""
    announce: Literal["redirect", "rest", "no"] = "no"
    """Whether the person to whom a caller is handed over is told something first, and the caller comes back where
    nobody takes them: by the document that dials, or by commands."""
    close_is_hang_up: bool = False
    """Whether a connection that the far side closes in good order means that the caller has hung up. Elsewhere the far
    side says so before, and a connection that ends without a word may come back."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What whoever takes a caller over is told before they are connected."""

    text: str
    locale: str
    accept: str | None = None
    """How they are asked to press 1: whoever does not has refused. None: whoever hears it out takes the caller."""


class LegEvents(Protocol):
    """Where a leg reports to: the session of its call."""

    def audio_arrived(self, audio: bytes) -> None:
        """Caller audio in the leg's incoming format, gaps already filled."""
        ...

    def post(self, event: Event) -> None:
        """A leg or playout event, or digits."""
        ...


class Leg(Protocol):
    """One connection to the caller. Methods return at once; the driver paces, keeps the ledger and owns the socket."""

    @property
    def id(self) -> LegId:
        """Unique within the process."""
        ...

    @property
    def features(self) -> LegFeatures:
        """The dialect's row."""
        ...

    @property
    def audio_in(self) -> AudioFormat:
        """Format of what the caller sends."""
        ...

    @property
    def audio_out(self) -> AudioFormat:
        """Format that `play` takes."""
        ...

    def attach(self, events: LegEvents) -> None:
        """Start reporting; audio and digits that came before are handed over first."""
        ...

    def play(self, utterance: UtteranceId, audio: bytes) -> None:
        """Queue audio of the utterance's current clause."""
        ...

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool) -> None:
        """Mark the end of a clause: PlayoutReached follows once it has been heard."""
        ...

    def clear(self) -> None:
        """Be silent: PlayoutStopped follows for every unfinished utterance, at once."""
        ...

    def send_digits(self, digits: str) -> None:
        """Press keys towards the far side."""
        ...

    def record(self, *, on: bool) -> None:
        """Have the provider record the call from now on, or not; one that cannot does not."""
        ...

    async def transfer(
        self, target: str, announcement: Announcement | None = None, *, sorry: Announcement | None = None
    ) -> bool:
        """Hand the caller over, after draining. Raises CallLost where that cannot be done; then the leg is as before.

        True where the carrier connects the caller once more if nobody takes them; else they are gone for good. `sorry`
        is what the carrier's own voice says to a caller whom nobody takes when their time with the agent is over.
        """
        ...

    async def hang_up(self, *, drain: bool) -> None:
        """End the leg; with `drain` after everything queued has been heard, or a bounded time."""
        ...


# --- calls arriving --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A caller has been let in: what the session needs to begin."""

    call: CallId
    leg: Leg
    agent: str
    """Which agent the path named."""
    caller_number: str | None
    called_number: str | None
    parameters: Mapping[str, str]
    again: bool = False
    """The carrier was told to connect this call once more: whoever else may still have it has lost the caller."""
    names_itself: bool = False
    """Nobody but the connection says which call it is: it may be anybody's, and goes on with none."""
    outbound: bool = False
    """We have placed it."""


class CallHandler(Protocol):
    """Who takes calls: the runtime. Returns when the call has ended."""

    async def __call__(self, incoming: IncomingCall, /) -> None:
        """Run one call from its first leg to its end."""
        ...


# --- time ------------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """The only source of time above the core."""

    def now_ms(self) -> int:
        """Monotonic milliseconds; only differences mean anything."""
        ...

    def unix_ms(self) -> int:
        """Wall clock, milliseconds since 1970 in UTC."""
        ...

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once at that monotonic time, on the event loop; returns what cancels it."""
        ...

    async def sleep(self, ms: int) -> None:
        """Wait."""
        ...


# --- attempts --------------------------------------------------------------------------------------------------------


class AttemptLimits(Protocol):
    """Counts attempts, for all who share it. Raises a VoiceAgentError where nobody can say: then none is made."""

    async def count(self, key: str, *, window_ms: int) -> int:
        """Return the how manieth this is since the window was opened; the first opens it, and it closes by itself."""
        ...

    async def reset(self, key: str) -> None:
        """Close the window of a count."""
        ...


# --- credentials -----------------------------------------------------------------------------------------------------


class CredentialBroker(Protocol):
    """Mints what a tool needs to be let in, outside the model's sight."""

    async def token(
        self, *, call: str, phase: str, tool: str, scopes: Sequence[str], subject: str | None
    ) -> Mapping[str, str]:
        """Return HTTP headers that carry a short-lived credential for exactly this call, phase, tool and scopes.

        Raises ToolFailed where none is to be had.
        """
        ...


# --- what workers share ----------------------------------------------------------------------------------------------


class SharedState(Protocol):
    """Small things that all workers have to agree on: what has been used, how often, and what is noted about whom.

    Every method answers in bounded time. StateUnavailable means that nobody knows: whoever asked does then without.
    What is kept is never dropped for want of room; rather is nothing more taken.
    """

    async def once(self, key: str, *, ttl_ms: int) -> bool:
        """Return True to the first who asks about this key, and False for `ttl_ms` to everybody after."""
        ...

    async def note(self, key: str, value: str, *, ttl_ms: int) -> None:
        """Keep a value under this key, instead of one that is there."""
        ...

    async def noted(self, key: str) -> str | None:
        """Return the value kept under this key."""
        ...

    async def take(self, key: str) -> str | None:
        """Return the value kept under this key and keep it no longer: of several who ask at once, one has it."""
        ...

    async def count(self, key: str, *, window_ms: int) -> int:
        """Return the how manieth this is since the window was opened; the first opens it, and it closes by itself.

        Counting before an attempt and not after it keeps parallel attempts from slipping past a limit.
        """
        ...

    async def counted(self, key: str) -> int:
        """Return how many were counted in the window that is open."""
        ...

    async def reset(self, key: str) -> None:
        """Close the window of a count."""
        ...

    async def join(self, key: str, member: str, *, most: int, ttl_ms: int) -> bool:
        """Have a member under this key for so long from now on; False where `most` others are there already."""
        ...

    async def leave(self, key: str, member: str) -> None:
        """Have a member there no longer."""
        ...


class SpentLately(Protocol):
    """What calls have cost within the last hour, for whoever decides about the next one."""

    def over(self, *, agent: str | None = None, caller: str | None = None) -> str | None:
        """Return who has spent too much, in words for the log: this process, the agent or the number; None: nobody."""
        ...


CALL_LEASE_MS = 10_000
"""How long a worker owns a call without a word of it; three renewals may fail before it is taken for dead."""


@dataclass(frozen=True, slots=True)
class CallLease:
    """The right to write a call's shared journal, until somebody has a newer one."""

    call: CallId
    fence: int
    """Rises from owner to owner; what an earlier owner still writes is refused by it."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call's shared journal, or the rest of it."""

    lines: tuple[bytes, ...]
    """As they stand in a journal file, without line breaks; the first is the header."""
    ended: bool
    """It has the mark of its end; if not, its worker goes on with it or has died."""


class SharedJournals(Protocol):
    """Journals of calls outside the process, so that a call outlives the worker that has it.

    A worker owns a call by a lease that it renews, or that runs out by itself when the worker dies. Every method
    answers in bounded time or raises StateUnavailable; then it may have been done or not. The lines of a call are kept
    until it has ended, and otherwise for a retention that begins anew with every line; its id for the retention.
    """

    async def begin(self, call: CallId) -> CallLease | None:
        """Own a call that nothing is recorded of; None where something is."""
        ...

    async def take_over(self, call: CallId, *, seize: bool = False) -> CallLease | None:
        """Own a call that was interrupted; None where none is recorded, it has ended, or its owner is alive.

        With `seize` an owner who is alive loses it: for whoever knows that the caller is connected here by now.
        """
        ...

    async def renew(self, lease: CallLease) -> None:
        """Own the call for another while. LeaseLost where somebody else does."""
        ...

    async def append(self, lease: CallLease, at: int, lines: Sequence[bytes]) -> int:
        """Append lines if `at` is the journal's length, renew the lease, and return the length.

        Since only the owner appends, a length beyond `at` is what an append has done whose answer was lost: asking
        again does nothing twice. LeaseLost where somebody else owns the call or it has ended.
        """
        ...

    async def read(self, call: CallId, *, start: int = 0) -> RecordedCall | None:
        """Return what is recorded of a call from line `start` on; None where nothing is."""
        ...

    async def end(self, lease: CallLease, *, keep: bool = False) -> None:
        """Mark the end: nothing is appended, and nobody takes the call over any more. LeaseLost as for `append`.

        Its lines go at once, since nobody goes on with them; with `keep` they stay for the retention, as that it has
        ended does.
        """
        ...

    async def release(self, lease: CallLease) -> None:
        """Give the call up before its end, so that another worker may have it at once. Nothing if it is lost."""
        ...

    async def interrupted(self) -> tuple[CallId, ...]:
        """Return the calls that have not ended and that nobody owns."""
        ...

    async def recorded(self) -> tuple[CallId, ...]:
        """Return the calls of which something is recorded, those that have ended included."""
        ...

    async def erase(self, call: CallId) -> None:
        """Remove all that is recorded of a call, whoever owns it."""
        ...


class SharedStore(SharedState, SharedJournals, Protocol):
    """One place for all of it."""

    async def close(self) -> None:
        """Release connections. What is kept stays, where it is kept outside the process."""
        ...

"""One clip, listened to as in a call: frames, voice detection, ears, recogniser and conversation, in audio time.

It is the glue of `voiceagent.runtime.cascade` without its tasks: what an utterance's words are is known at the instant
at which the recogniser, started where the conversation asked for it, would have returned them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.turns.recogniser import Heard
from voiceagent.audio import FRAME_MS
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.core.ids import CallId, LegId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.ports import MULAW_8K, SpeechOff, SpeechOn, VadEngine
from voiceagent.runtime.ears import Ears
from voiceagent.spec.expects import Digits, Expects, FreeSpeech, SpokenAmount, SpokenDate, YesNo
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase, Reprompts, Wait
from voiceagent.spec.prompt import Prompt

__all__ = ["EXPECTS", "Judge", "Listened", "Voice", "Word", "listen", "utterances", "voice_in"]

EXPECTS: dict[str, tuple[Expects, ...]] = {
    "digits": (Digits(name="number", length=8),),
    "pin": (Digits(name="code", length=4),),
    "amount": (SpokenAmount(),),
    "date": (SpokenDate(),),
    "yes_no": (YesNo(),),
    "free": (FreeSpeech(),),
}

Judge = Callable[[bytes], tuple[float, int]]
"""Returns how complete the audio of a turn sounds, from 0 to 1, and how long it took to say so."""

Voice = Sequence[tuple[int, SpeechOn | SpeechOff]]
"""What a detector has decided, each with the number of the frame at which it did."""


@dataclass(frozen=True, slots=True)
class Word:
    """One utterance of a clip as the recogniser got it."""

    audio: bytes
    paused_ms: int


@dataclass(slots=True)
class Listened:
    """What was made of one clip."""

    taken_ms: int | None = None
    """When the turn was taken for over, in the clip's time; None: it never was."""
    text: str = ""
    """The words of that turn."""
    asked_again: bool = False
    """Nothing was understood of it."""
    utterances: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """When each was known, and its words."""


def voice_in(engine: VadEngine, frames: Sequence[bytes]) -> Voice:
    """Return what a voice detector decides over these frames."""
    handle = engine.open(MULAW_8K)
    return [(number, change) for number, frame in enumerate(frames) for change in handle.feed(frame)]


def utterances(voice: Voice, frames: Sequence[bytes]) -> list[Word]:
    """Return every utterance of a clip, cut as the recogniser gets it, whether or not the turn was over before."""
    clock, found = _Clock(), list[Word]()

    def post(event: ev.Event) -> None:
        if isinstance(event, ev.CallerPaused):
            waiting.append(event.utterance)

    waiting: list[UtteranceId] = []
    ears = Ears(_Replayed(voice), MULAW_8K, clock, post)
    for frame in frames:
        clock.at_ms += FRAME_MS
        ears.hear(frame)
        while waiting:
            found.append(Word(ears.take(waiting.pop()), clock.at_ms))
    return found


def listen(
    asked: str,
    voice: Voice,
    frames: Sequence[bytes],
    hear: Callable[[bytes], Heard],
    *,
    took_ms: int | None = None,
    judge: Judge | None = None,
) -> Listened:
    """Return when the conversation takes the turn for over; `took_ms` stands for the recogniser's own time.

    `judge` is an end-of-turn model, where there is one.
    """
    call = _Call(asked, voice, hear, took_ms, judge)
    for frame in frames:
        call.pass_to(call.clock.at_ms + FRAME_MS)
        call.hear(frame)
        if call.result.taken_ms is not None or call.result.asked_again:
            break
    return call.result


class _Call:
    def __init__(
        self, asked: str, voice: Voice, hear: Callable[[bytes], Heard], took_ms: int | None, judge: Judge | None
    ) -> None:
        self.clock = _Clock()
        self.result = Listened()
        self._hear = hear
        self._took_ms = took_ms
        self._judge = judge
        self._events: list[ev.Event] = []
        self._coming: list[tuple[int, ev.Event]] = []
        """Words, and when the recogniser has them."""
        self._ears = Ears(_Replayed(voice), MULAW_8K, self.clock, self._events.append)
        self._conversation = Conversation(_flow(asked), Inherited(CallId("turns")))
        self._happens(ev.CallStarted("en-US", "UTC", unix_ms=0))
        self._happens(ev.LegAttached(LegId("leg1"), "twilio"))
        self._happen()

    def pass_to(self, at_ms: int) -> None:
        """Let everything happen that is due by then, each at its own instant."""
        while True:
            due_ms = [at for at, _ in self._coming]
            if (deadline_ms := self._conversation.deadline_ms) is not None:
                due_ms.append(deadline_ms)
            next_ms = min(due_ms, default=at_ms + 1)
            if next_ms > at_ms:
                break
            self.clock.at_ms = max(self.clock.at_ms, next_ms)
            come = [event for at, event in self._coming if at <= self.clock.at_ms]
            self._coming = [(at, event) for at, event in self._coming if at > self.clock.at_ms]
            for event in come or [ev.TimePassed()]:
                self._happens(event)
        self.clock.at_ms = at_ms

    def hear(self, frame: bytes) -> None:
        self._ears.hear(frame)
        self._happen()

    def _happen(self) -> None:
        events, self._events[:] = list(self._events), []
        for event in events:
            self._happens(event)

    def _happens(self, event: ev.Event) -> None:
        for outgoing in self._conversation.handle(event, self.clock.at_ms):
            match outgoing.effect:
                case fx.SwapPhase(request=request):
                    self._events.append(ev.PhaseSwapped(request.epoch))
                case fx.Transcribe(utterance):
                    audio = self._ears.take(utterance)
                    heard = self._hear(audio)
                    known_ms = self.clock.at_ms + (heard.took_ms if self._took_ms is None else self._took_ms)
                    self._coming.append((known_ms, ev.TranscriptFinal(utterance, heard.text)))
                    self.result.utterances.append((known_ms, heard.text))
                    if self._judge is not None and audio:
                        done, judged_ms = self._judge(audio)
                        judged = ev.TurnJudged(utterance, round(done, 3))
                        self._coming.append((self.clock.at_ms + judged_ms, judged))
                case fx.AskModel(request=request) if self.result.taken_ms is None:
                    self.result.taken_ms = self.clock.at_ms
                    self.result.text = " ".join(m.text for m in request.history if m.role == "caller")
                case fx.Speak(text=text) if text and self.result.taken_ms is None:
                    self.result.asked_again = True
                case _:
                    pass


class _Clock:
    """Audio time; fulfils what ears want of `Clock`."""

    def __init__(self) -> None:
        self.at_ms = 0

    def now_ms(self) -> int:
        return self.at_ms

    def unix_ms(self) -> int:
        return self.at_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        del at_ms, callback
        raise AssertionError("ears set no alarm")

    async def sleep(self, ms: int) -> None:
        del ms
        raise AssertionError("ears do not wait")


class _Replayed:
    """A voice detector's decisions over again; fulfils `VadHandle`."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._frame = -1
        self._next = 0

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        del audio
        self._frame += 1
        decided: list[SpeechOn | SpeechOff] = []
        while self._next < len(self._voice) and self._voice[self._next][0] <= self._frame:
            decided.append(self._voice[self._next][1])
            self._next += 1
        return decided

    @property
    def audible_since_ms(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is held."""


_FLOWS: dict[str, Flow] = {}


def _flow(asked: str) -> Flow:
    if asked not in _FLOWS:
        phase = Phase(
            name="asking",
            prompt="turns/asking.md",
            on_enter=Wait(),
            expects=EXPECTS[asked],
            no_input=Reprompts(after_ms=60_000),
        )
        _FLOWS[asked] = Flow(
            name="turns",
            initial="asking",
            phases=(phase,),
            prompts={"turns/asking.md": Prompt("Listen.")},
        )
    return _FLOWS[asked]

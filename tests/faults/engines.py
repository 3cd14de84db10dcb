"""Engines that fail in the way a test wants, a flow with ways out, and how long its callers hear nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from voiceagent import (
    Filler,
    Flow,
    HangUpAfter,
    NotUnderstood,
    Phase,
    Pressed,
    Prompt,
    Requested,
    Say,
    TransferTo,
    Transition,
    VoiceFails,
)
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.errors import VoiceFailed
from voiceagent.ports import AudioFormat, Transcript

GREETING = "Hello, this is the desk. What can I do for you today?"
TO_A_PERSON = "I will put you through to somebody."
BY_KEYS = "Press one for the opening hours."
MS_PER_CHARACTER = 65


def desk(*ways: Transition) -> Flow:
    """A desk with these ways out."""
    return Flow(
        name="desk",
        initial="talk",
        filler=Filler(patience_ms=800),
        phases=(
            Phase(
                name="talk",
                prompt="desk/talk.md",
                on_enter=Say(text=GREETING),
                transitions=(Transition(on=Requested(name="finish", description="They are done."), to="end"), *ways),
            ),
            Phase(
                name="keys",
                on_enter=Say(text=BY_KEYS),
                transitions=(
                    Transition(on=Pressed(digits="1"), to="end"),
                    Transition(on=NotUnderstood(), to="human"),
                ),
            ),
            Phase(name="human", on_enter=Say(text=TO_A_PERSON), ends=TransferTo(target="support")),
            Phase(name="end", on_enter=Say(text="We are open from nine to five. Goodbye."), ends=HangUpAfter()),
        ),
        prompts={"desk/talk.md": Prompt("Be kind.")},
    )


TO_HUMAN = Transition(on=NotUnderstood(), to="human")
TO_KEYS = Transition(on=NotUnderstood(), to="keys")
VOICE_TO_HUMAN = Transition(on=VoiceFails(), to="human")


class Ear:
    """A recognizer engine: answers each utterance as its script says, the last answer again and again."""

    def __init__(self, *answers: str | Exception | None) -> None:
        """None is an answer that never comes."""
        self.answers = answers
        self.opened = self.closed = self.asked = 0
        self.healthy = True

    def open(self, audio: AudioFormat, *, locale: str) -> Ear:
        self.opened += 1
        return self

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return Transcript(str(answer))

    def close(self) -> None:
        self.closed += 1


class Tongue:
    """A synthesizer engine that speaks until it dies: after `dies_after_ms` of a clause that `dies_on` names."""

    def __init__(
        self,
        dies_on: Callable[[str], bool] = lambda _: False,
        *,
        dies_after_ms: int = 0,
        hangs: bool = False,
        sound: bytes = b"\x55",
    ) -> None:
        self.dies_on = dies_on
        self.dies_after_ms = dies_after_ms
        self.hangs = hangs
        self.healthy = True
        self.sound = sound
        self.asked: list[str] = []
        self.rendered: list[str] = []
        self.voices: list[str | None] = []

    def open(self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None) -> Tongue:
        self.voices.append(voice)
        return self

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes]:
        self.asked.append(text)
        if not self.dies_on(text):
            yield self.sound * len(text) * MS_PER_CHARACTER * 8
            return
        if self.dies_after_ms:
            yield self.sound * self.dies_after_ms * 8
        if self.hangs:
            await asyncio.Event().wait()
        raise VoiceFailed("the voice is dead")

    async def render(self, text: str, audio: AudioFormat, *, voice: str | None, **manner: object) -> bytes:
        self.rendered.append(text)
        return self.sound * len(text) * MS_PER_CHARACTER * 8

    def close(self) -> None:
        """Nothing is held."""


class Silences:
    """An observer: the longest time for which a caller who had spoken heard nothing."""

    def __init__(self) -> None:
        self.longest_ms = 0
        self._since_ms: int | None = None
        self._playing: dict[str, None] = {}

    def __call__(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        del call, outgoing
        match event:
            case ev.CallStarted():
                self._since_ms = now_ms
            case ev.CallerStartedSpeaking():
                self._since_ms = None
            case ev.CallerPaused(at_ms=at_ms):
                self._since_ms = at_ms
            case ev.PlayoutStarted(at_ms=at_ms):
                if self._since_ms is not None:
                    self.longest_ms = max(self.longest_ms, at_ms - self._since_ms)
                self._since_ms = None
            case ev.PlayoutReached(finished=True):
                self._since_ms = now_ms
            case _:
                pass
